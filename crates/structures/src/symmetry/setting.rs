//! Resolves numbers and symbols to a setting of a space group.
//!
//! `groups.txt` has the 530 settings tabulated by spglib, written by `tests/peers/groups.py`.

use std::collections::HashSet;
use std::sync::LazyLock;

use crate::error::{Problem, shown};
use crate::symmetry::{COMMON_PARTS, Operation, PARTS, from_hall_symbol, misfit};

/// A line of `groups.txt`.
struct Setting {
    number: u8,
    /// Axes, cell and origin, if the group has several: `b1`, `-cba`, `2`, `1cab`, `H`.
    choice: &'static str,
    hall: &'static str,
    /// Hermann-Mauguin symbols, as spelled by [`plain`].
    names: Vec<String>,
}

static SETTINGS: LazyLock<Vec<Setting>> = LazyLock::new(|| {
    let setting = |line: &'static str| {
        let mut fields = line.split('|');
        Some(Setting {
            number: fields.next()?.parse().ok()?,
            choice: fields.next()?,
            hall: fields.next()?,
            names: fields.map(plain).collect(),
        })
    };
    include_str!("groups.txt").lines().filter_map(setting).collect()
});

impl Setting {
    fn operations(&self) -> Vec<Operation> {
        from_hall_symbol(self.hall).unwrap_or_default()
    }

    fn has_choice(&self, choice: &str) -> bool {
        let start = self.choice.get(..choice.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(choice))
    }
}

/// What a file says about its space group, besides operations.
#[derive(Debug, Default)]
pub(crate) struct Statement<'a> {
    pub(crate) numbers: Vec<&'a str>,
    /// Hermann-Mauguin symbols.
    pub(crate) symbols: Vec<&'a str>,
    pub(crate) hall_symbols: Vec<&'a str>,
    /// `b1`, `2`, `h`, ...: axes, cell and origin.
    pub(crate) choices: Vec<&'a str>,
}

const CONTRADICTION: &str = "contradicts what else the file says of its symmetry";

impl Statement<'_> {
    fn problem(&self, why: &'static str) -> Problem {
        let stated = [&self.numbers, &self.symbols, &self.hall_symbols, &self.choices];
        let value: Vec<&str> = stated.into_iter().flatten().copied().collect();
        Problem::Symmetry { value: shown(&value.join(", ")), why }
    }

    /// The operations of the group in the intended setting; the identity if nothing is stated.
    pub(crate) fn operations(&self, cell: &[[f64; 3]; 3]) -> Result<Vec<Operation>, Problem> {
        if let Some(symbol) = self.hall_symbols.first() {
            let operations =
                from_hall_symbol(symbol).ok_or_else(|| self.problem("is no known Hall symbol"))?;
            self.check(&operations)?;
            return Ok(operations);
        }
        if self.numbers.is_empty() && self.symbols.is_empty() {
            return Ok(vec![Operation::IDENTITY]);
        }
        let (settings, all_known) = self.settings()?;
        if !all_known {
            return Err(self.problem("is not known"));
        }
        let mut fitting = settings.into_iter().filter_map(|setting| {
            let operations = setting.operations();
            misfit(&operations, cell).is_none().then_some((setting, operations))
        });
        let does_not_fit = "does not fit the lengths and angles of the cell";
        let (first, operations) = fitting.next().ok_or_else(|| self.problem(does_not_fit))?;
        // Among several settings, the first in the tables is meant: unique axis b, cell choice 1,
        // hexagonal axes. But both choices of origin are in use.
        let is_first = SETTINGS
            .iter()
            .find(|setting| setting.number == first.number)
            .is_some_and(|standard| standard.hall == first.hall && !first.choice.starts_with('1'));
        // Two settings of number 68 have the same operations.
        if !is_first && fitting.any(|(setting, _)| setting.hall != first.hall) {
            return Err(self.problem(
                "has several settings that fit the cell, such as two choices of the origin",
            ));
        }
        Ok(operations)
    }

    /// Checks that listed operations belong to the stated group.
    pub(crate) fn check(&self, listed: &[Operation]) -> Result<(), Problem> {
        let (named, all_known) = self.settings()?;
        // The list determines the setting: `P 21/c` stands for all settings of that group.
        let numbers: HashSet<u8> = named.iter().map(|setting| setting.number).collect();
        let settings = SETTINGS.iter().filter(|setting| numbers.contains(&setting.number));
        let groups: Vec<_> = settings.map(Setting::operations).collect();
        let by_hall = self.hall_symbols.iter().filter_map(|symbol| from_hall_symbol(symbol));
        let agrees = by_hall.into_iter().all(|group| is_one_of(&[group], listed, true))
            && (groups.is_empty() || is_one_of(&groups, listed, all_known));
        if agrees { Ok(()) } else { Err(self.problem(CONTRADICTION)) }
    }

    /// The settings consistent with all numbers and known symbols, possibly none, and whether all
    /// symbols are known.
    fn settings(&self) -> Result<(Vec<&'static Setting>, bool), Problem> {
        let mut settings: Vec<&Setting> = SETTINGS.iter().collect();
        for number in &self.numbers {
            let number: Option<u8> = number.parse().ok().filter(|n| (1..=230).contains(n));
            let number = number.ok_or_else(|| self.problem("is no number from 1 to 230"))?;
            settings.retain(|setting| setting.number == number);
        }
        let mut n_known = 0;
        for symbol in &self.symbols {
            let (name, choice) = name_and_choice(symbol);
            let is_named = |setting: &Setting| {
                setting.names.contains(&name)
                    && choice.as_ref().is_none_or(|c| setting.has_choice(c))
            };
            if SETTINGS.iter().any(is_named) {
                settings.retain(|setting| is_named(setting));
                n_known += 1;
            }
        }
        for choice in &self.choices {
            let is_chosen = |setting: &Setting| {
                setting.has_choice(choice) || (setting.choice.is_empty() && *choice == "abc")
            };
            if settings.iter().any(|setting| is_chosen(setting)) {
                settings.retain(|setting| is_chosen(setting));
            }
        }
        if settings.is_empty() {
            return Err(self.problem(CONTRADICTION));
        }
        if n_known == 0 && self.numbers.is_empty() {
            settings.clear();
        }
        Ok((settings, n_known == self.symbols.len()))
    }
}

/// Whether listed operations are one of several groups. For other axes, for example if symbols are
/// unknown, the setting is not in the tables, and only the class can be compared.
fn is_one_of(groups: &[Vec<Operation>], listed: &[Operation], all_known: bool) -> bool {
    let is_tabulated = all_known && groups.iter().any(|group| has_same_axes(group, listed));
    let is_same = if is_tabulated { is_same_group } else { is_same_class };
    groups.iter().any(|group| is_same(group, listed))
}

/// A Hermann-Mauguin symbol without spelling variations between files.
fn plain(symbol: &str) -> String {
    let is_left_out = |c: &char| c.is_whitespace() || matches!(c, '_' | '(' | ')');
    symbol.chars().filter(|c| !is_left_out(c)).collect::<String>().to_ascii_lowercase()
}

/// The choice of axes or origin follows a colon, or is the last letter: H and R for hexagonal and
/// rhombohedral axes, S and Z for the first and the second choice of origin.
fn name_and_choice(symbol: &str) -> (String, Option<String>) {
    if let Some((name, choice)) = symbol.split_once(':') {
        return (plain(name), Some(plain(choice)));
    }
    let name = plain(symbol);
    let is_rhombohedral = name.len() > 1 && name.starts_with('r');
    let ends = [("o1", "1"), ("o2", "2"), ("s", "1"), ("z", "2"), ("h", "h"), ("r", "r")];
    for (end, choice) in ends {
        if let Some(name) = name.strip_suffix(end)
            && (is_rhombohedral || !matches!(end, "h" | "r"))
        {
            return (name.to_owned(), Some(choice.to_owned()));
        }
    }
    (name, None)
}

fn rotations(group: &[Operation]) -> HashSet<[[i32; 3]; 3]> {
    group.iter().map(|operation| operation.rotation).collect()
}

fn has_same_axes(group: &[Operation], other: &[Operation]) -> bool {
    rotations(group) == rotations(other)
}

/// Whether two groups have rotations of the same kinds, along any axes.
fn is_same_class(group: &[Operation], other: &[Operation]) -> bool {
    let kinds = |group: &[Operation]| {
        let mut kinds: Vec<_> = rotations(group)
            .into_iter()
            .map(|rotation| {
                let trace: i32 = (0..3).map(|k| rotation[k][k]).sum();
                (trace, Operation::new(rotation, [0; 3]).determinant())
            })
            .collect();
        kinds.sort_unstable();
        kinds
    };
    kinds(group) == kinds(other)
}

/// Whether two groups differ by their origins alone.
fn is_same_group(group: &[Operation], other: &[Operation]) -> bool {
    let listed: HashSet<&Operation> = other.iter().collect();
    let is_there = |shift| group.iter().all(|operation| listed.contains(&operation.about(shift)));
    let part = |at: i32| at % COMMON_PARTS * (PARTS / COMMON_PARTS);
    listed.len() == group.len()
        && (0..COMMON_PARTS.pow(3))
            .any(|at| is_there([part(at), part(at / COMMON_PARTS), part(at / COMMON_PARTS.pow(2))]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell;

    fn cell(lengths: [f64; 3], angles: [f64; 3]) -> [[f64; 3]; 3] {
        cell::vectors(lengths, angles).unwrap()
    }

    fn symbol<'a>(symbols: &[&'a str]) -> Statement<'a> {
        Statement { symbols: symbols.to_vec(), ..Statement::default() }
    }

    fn number(numbers: &[&'static str]) -> Statement<'static> {
        Statement { numbers: numbers.to_vec(), ..Statement::default() }
    }

    /// The Hall symbol of the operations that a statement has in a cell, or why there are none.
    fn hall(statement: &Statement, cell: &[[f64; 3]; 3]) -> String {
        let found = match statement.operations(cell) {
            Ok(found) => found.into_iter().collect::<HashSet<_>>(),
            Err(error) => return error.to_string(),
        };
        let is_it =
            |setting: &&Setting| setting.operations().into_iter().collect::<HashSet<_>>() == found;
        SETTINGS.iter().find(is_it).map_or_else(String::new, |setting| setting.hall.to_owned())
    }

    #[test]
    fn the_table_is_whole_and_its_settings_differ() {
        assert_eq!(SETTINGS.len(), 530);
        let mut known = HashSet::new();
        for (at, setting) in SETTINGS.iter().enumerate() {
            let mut operations = setting.operations();
            operations.sort_unstable();
            assert!(!operations.is_empty() && operations.len() <= 192, "{}", setting.hall);
            assert!(operations.windows(2).all(|pair| pair[0] != pair[1]));
            let is_new = known.insert(operations);
            let same = SETTINGS[..at].iter().find(|before| before.hall == setting.hall);
            assert_eq!(is_new, same.is_none(), "{}", setting.hall);
            assert!(at == 0 || setting.number - SETTINGS[at - 1].number <= 1);
        }
    }

    #[test]
    fn symbols_and_numbers_mean_one_setting() {
        let cube = cell([5.0; 3], [90.0; 3]);
        let (b, c) = (cell([4., 5., 6.], [90., 100., 90.]), cell([4., 5., 6.], [90., 90., 100.]));
        let (hexagonal, rhombohedral) =
            (cell([4., 4., 9.], [90., 90., 120.]), cell([5.; 3], [60.; 3]));
        for (text, cell, expected) in [
            ("P 1", &cube, "P 1"),
            ("F m -3 m", &cube, "-F 4 2 3"),
            ("Fm3m", &cube, "-F 4 2 3"),
            ("F 4/m -3 2/m", &cube, "-F 4 2 3"),
            ("F D -3 M Z", &cube, "-F 4vw 2vw 3"),
            ("F d -3 m S", &cube, "F 4d 2 3 -1d"),
            ("F d -3 m :2", &cube, "-F 4vw 2vw 3"),
            ("P 21/c", &b, "-P 2ybc"),
            ("P2_1/n", &b, "-P 2yn"),
            ("P 2(1)/a", &b, "-P 2yab"),
            ("P 21/n", &cube, "-P 2yn"),
            ("P 1 1 21/b", &c, "-P 2bc"),
            ("P 21/b", &c, "-P 2bc"),
            ("P 1 21/c 1:b1", &b, "-P 2ybc"),
            ("C m c e", &cube, "-C 2ac 2"),
            ("C m c a", &cube, "-C 2ac 2"),
            ("P b n m", &cube, "-P 2c 2ab"),
            ("R -3 m", &hexagonal, "-R 3 2\""),
            ("R -3 m", &rhombohedral, "-P 3* 2"),
            ("R -3 m :R", &rhombohedral, "-P 3* 2"),
            ("R -3 m H", &hexagonal, "-R 3 2\""),
            ("R-3mR", &rhombohedral, "-P 3* 2"),
            ("P 63/m m c", &hexagonal, "-P 6c 2c"),
            ("C 2/c 2/c 2/e :1", &cube, "C 2 2 -1ac"),
        ] {
            assert_eq!(hall(&symbol(&[text]), cell), expected, "{text}");
        }
        for (text, cell, expected) in [
            ("225", &cube, "-F 4 2 3"),
            ("14", &b, "-P 2ybc"),
            ("62", &cube, "-P 2ac 2n"),
            ("166", &rhombohedral, "-P 3* 2"),
            ("3", &c, "P 2"),
        ] {
            assert_eq!(hall(&number(&[text]), cell), expected, "{text}");
        }
        let both = Statement { numbers: vec!["14"], ..symbol(&["P 21/n", "P 1 21/n 1"]) };
        assert_eq!(hall(&both, &b), "-P 2yn");
        let choice = Statement { choices: vec!["2"], ..number(&["227"]) };
        assert_eq!(hall(&choice, &cube), "-F 4vw 2vw 3");
        let origin = Statement { hall_symbols: vec!["F 4d 2 3 -1d"], ..number(&["227"]) };
        assert_eq!(hall(&origin, &cube), "F 4d 2 3 -1d");
    }

    #[test]
    fn what_is_unclear_or_contradictory_is_refused() {
        let cube = cell([5.0; 3], [90.0; 3]);
        let (b, c) = (cell([4., 5., 6.], [90., 100., 90.]), cell([4., 5., 6.], [90., 90., 100.]));
        let refused = |statement: &Statement, cell, why: &str| {
            let message = hall(statement, cell);
            assert!(message.contains(why), "{statement:?}: {message}");
        };
        refused(&symbol(&["F d -3 m"]), &cube, "`F d -3 m` has several settings");
        refused(&number(&["227"]), &cube, "has several settings");
        refused(&number(&["14"]), &c, "has several settings");
        refused(&symbol(&["F m -3 m"]), &b, "does not fit the lengths and angles");
        refused(&symbol(&["P 21/c"]), &c, "does not fit");
        refused(&symbol(&["P q"]), &cube, "is not known");
        refused(&symbol(&["F m -3 m :7"]), &cube, "is not known");
        refused(&number(&["0"]), &cube, "is no number from 1 to 230");
        refused(&Statement { numbers: vec!["225"], ..symbol(&["P 1"]) }, &cube, "contradicts");
        refused(&Statement { hall_symbols: vec!["P 1"], ..number(&["225"]) }, &cube, "contradicts");
        refused(
            &Statement { hall_symbols: vec!["P 9"], ..Statement::default() },
            &cube,
            "no known Hall",
        );
    }

    #[test]
    fn listed_operations_are_of_the_stated_group() {
        let listed = |hall: &str| from_hall_symbol(hall).unwrap();
        let agree = |statement: &Statement, hall: &str| statement.check(&listed(hall)).is_ok();
        // Another origin, another cell of the same group, a setting not in the tables.
        assert!(agree(&symbol(&["P 21 21 21"]), "P 2ac 2ab (0 0 3)"));
        assert!(agree(&symbol(&["P 21/c"]), "-P 2yn"));
        assert!(
            agree(&number(&["227"]), "F 4d 2 3 -1d") && agree(&number(&["227"]), "-F 4vw 2vw 3")
        );
        assert!(agree(&number(&["166"]), "-P 3* 2"));
        assert!(agree(&Statement { numbers: vec!["5"], ..symbol(&["F 2"]) }, "F 2y"));
        assert!(agree(&Statement::default(), "P 4"));
        for (statement, hall) in [
            (number(&["225"]), "P 1"),
            (number(&["225"]), "-I 4 2 3"),
            (number(&["221"]), "-P 4n 2 3"),
            (symbol(&["P 21/c"]), "-P 2yc"),
            (symbol(&["P 1"]), "-P 1"),
            (Statement { hall_symbols: vec!["-P 2ybc"], ..Statement::default() }, "-P 2yc"),
        ] {
            assert!(!agree(&statement, hall), "{statement:?} {hall}");
        }
    }
}
