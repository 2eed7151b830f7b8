//! CIF: a cell, sites in fractional coordinates, and the atoms that symmetry generates from them.
//! Disordered structures are rejected.

mod group;
mod token;

use std::collections::BTreeMap;
use std::io::BufRead;

use batchlab_core::memory::OverBudget;

use self::token::{Token, strip_prefix, tokens};
use crate::cell;
use crate::element::{any_case, atomic_number};
use crate::error::{Problem, shown};
use crate::format::aflow::Content;
use crate::limits::{MAX_ATOM, MAX_EXPANDED};
use crate::lines::{Fault, bytes};
use crate::number::finite;
use crate::structure::Structure;
use crate::symmetry::{self, Expanded};

/// A line and the problem there.
type At = (usize, Problem);

/// Reserves bytes of the memory budget.
pub(crate) type Take<'a> = &'a dyn Fn(u64) -> Result<(), OverBudget>;

/// Bytes per atom while symmetry is applied: itself, its position in the structure, and its box.
const BYTES_PER_ATOM: u64 = 256;

/// Columns that mark a block as a structure.
const SITE: [&str; 3] = ["_atom_site_fract_x", "_atom_site_fract_y", "_atom_site_fract_z"];

const REMEDY: &str = "write the cell and the atoms of a structure";

/// Columns that name the elements: directly, or at the beginning of a label.
const SYMBOL: &str = "_atom_site_type_symbol";
const LABEL: &str = "_atom_site_label";

/// Prefixes of other names to read.
const READ: [&str; 8] = [
    "_atom_site_occupancy",
    "_atom_site_disorder_group",
    "_atom_site_attached_hydrogens",
    "_cell_length_",
    "_cell_angle_",
    "_cell_modulation_dimension",
    "_space_group_",
    "_symmetry_",
];

/// Reads all structures, and counts the data blocks that are not.
pub(crate) fn read(
    stream: impl BufRead,
    take: Take,
    visit: &mut dyn FnMut(usize, Content) -> Result<(), Fault>,
) -> Result<u64, (usize, Fault)> {
    let bytes = bytes(stream).map_err(|fault| (1, fault))?;
    // Author names may be in Latin-1.
    let latin = |bytes: Vec<u8>| bytes.into_iter().map(char::from).collect();
    let mut text = String::from_utf8(bytes).unwrap_or_else(|error| latin(error.into_bytes()));
    if !text.contains('\n') {
        // Lines may end with a bare carriage return.
        text = text.replace('\r', "\n");
    }
    let mut is_empty = true;
    let n_other = parse(&text, take, &mut |line, content| {
        is_empty = false;
        visit(line, content)
    })?;
    if is_empty {
        return Err((1, Problem::Missing { key: "data_", remedy: REMEDY }.into()));
    }
    Ok(n_other)
}

/// Like [`read`]; lines are counted from 1.
pub(crate) fn parse(
    text: &str,
    take: Take,
    visit: &mut dyn FnMut(usize, Content) -> Result<(), Fault>,
) -> Result<u64, (usize, Fault)> {
    let tokens = tokens(text).map_err(|(line, problem)| (line, problem.into()))?;
    let mut rest = &tokens[..];
    let (mut n_structure, mut n_other) = (0, 0);
    while let Some((head, after)) = rest.split_first() {
        let Some(name) = head.keyword().and_then(|text| strip_prefix(text, "data_")) else {
            let expected = "`data_`, which begins a structure";
            return Err((
                head.line,
                Problem::Expected { expected, value: shown(head.text) }.into(),
            ));
        };
        let is_next =
            |token: &Token| token.keyword().is_some_and(|t| strip_prefix(t, "data_").is_some());
        let end = after.iter().position(is_next).unwrap_or(after.len());
        let block = Block::new(head.line, &after[..end]);
        let block = block.map_err(|(line, problem)| (line, problem.into()))?;
        if block.has_structure() {
            let content = block.content(name, take);
            let content = content.map_err(|(line, problem)| (line, problem.into()))?;
            visit(head.line, content).map_err(|fault| (head.line, fault))?;
            n_structure += 1;
        } else {
            n_other += 1;
        }
        rest = &after[end..];
    }
    if n_structure == 0 && n_other > 0 {
        return Err((1, Problem::Missing { key: SITE[0], remedy: REMEDY }.into()));
    }
    Ok(n_other)
}

/// One data block: the columns of its loops; a single value is a column of one.
struct Block<'a> {
    line: usize,
    column: BTreeMap<String, Vec<Token<'a>>>,
}

impl<'a> Block<'a> {
    fn new(line: usize, tokens: &[Token<'a>]) -> Result<Self, At> {
        let mut block = Self { line, column: BTreeMap::new() };
        let mut rest = tokens;
        while let Some((head, after)) = rest.split_first() {
            let fault = |expected, value| Err((head.line, Problem::Expected { expected, value }));
            match head.keyword() {
                Some(word) if word.eq_ignore_ascii_case("loop_") => {
                    let is_name = |t: &&Token| t.keyword().is_some_and(|t| t.starts_with('_'));
                    let (names, after) = after.split_at(after.iter().take_while(is_name).count());
                    let n_value = after.iter().take_while(|token| token.is_value()).count();
                    let (values, after) = after.split_at(n_value);
                    if names.is_empty() || n_value % names.len() != 0 {
                        let value = format!("{n_value} values for {} names", names.len());
                        return fault("full rows in a loop", value);
                    }
                    for (at, name) in names.iter().enumerate() {
                        block.insert(name, values.iter().skip(at).step_by(names.len()).copied())?;
                    }
                    rest = after;
                }
                Some(name) if name.starts_with('_') => match after.split_first() {
                    Some((value, after)) if value.is_value() => {
                        block.insert(head, [*value])?;
                        rest = after;
                    }
                    _ => return fault("a value after its name", shown(name)),
                },
                _ => return fault("a name, which begins with `_`", shown(head.text)),
            }
        }
        Ok(block)
    }

    /// Stores relevant items, with names in lower case and `_` for the dots of CIF 2.
    fn insert(
        &mut self,
        name: &Token,
        values: impl IntoIterator<Item = Token<'a>>,
    ) -> Result<(), At> {
        let key = name.text.to_ascii_lowercase().replace('.', "_");
        let is_site = SITE.contains(&&*key) || [SYMBOL, LABEL].contains(&&*key);
        if !is_site && !READ.iter().any(|start| key.starts_with(start)) {
            return Ok(());
        }
        let values: Vec<_> = values.into_iter().collect();
        let is_same = |before: &Vec<Token>| {
            before.iter().map(|value| value.text).eq(values.iter().map(|value| value.text))
        };
        if self.column.get(&key).is_some_and(|before| !is_same(before)) {
            return Err((name.line, Problem::RepeatedKey { value: shown(name.text) }));
        }
        self.column.insert(key, values);
        Ok(())
    }

    /// Whether there are sites, which a template may leave blank. Blocks without sites describe a
    /// publication or a measurement.
    fn has_structure(&self) -> bool {
        let is_open = |key: &str| {
            self.column.get(key).is_none_or(|values| values.iter().all(Token::is_absent))
        };
        !(is_open(SYMBOL) && is_open(LABEL)) || SITE.iter().any(|key| !is_open(key))
    }

    fn content(&self, name: &str, take: Take) -> Result<Content, At> {
        let cell = cell::vectors(
            [
                self.single("_cell_length_a")?,
                self.single("_cell_length_b")?,
                self.single("_cell_length_c")?,
            ],
            [
                self.single("_cell_angle_alpha")?,
                self.single("_cell_angle_beta")?,
                self.single("_cell_angle_gamma")?,
            ],
        );
        let cell = cell.map_err(|problem| (self.line, problem))?;
        let [x, y, z] = [self.column(SITE[0])?, self.column(SITE[1])?, self.column(SITE[2])?];
        let is_label = !self.column.contains_key(SYMBOL);
        let symbols = self.column(if is_label { LABEL } else { SYMBOL })?;
        for sites in [y, z, symbols] {
            if sites.len() != x.len() {
                let problem = Problem::Disagree {
                    first_key: "`_atom_site_fract_x`",
                    first: x.len(),
                    second_key: "another column of the sites",
                    second: sites.len(),
                };
                return Err((self.line, problem));
            }
        }
        self.check_order()?;
        if x.len() > MAX_ATOM {
            return Err((self.line, Problem::TooManyAtoms { max: MAX_ATOM }));
        }
        let (mut sites, mut elements) = (Vec::new(), Vec::new());
        for (site, symbol) in symbols.iter().enumerate() {
            let number = |token: &Token, axis| {
                finite(token.text, axis).map_err(|problem| (token.line, problem))
            };
            sites.push([number(&x[site], "x")?, number(&y[site], "y")?, number(&z[site], "z")?]);
            let element = element(symbol.text, is_label);
            elements.push(element.map_err(|problem| (symbol.line, problem))?);
        }
        let group = self.group(&cell)?;
        let mut structure = Structure { cell: Some(cell), ..Structure::default() };
        let max = if group.len() == 1 { MAX_ATOM } else { MAX_EXPANDED };
        let n_atom = sites.len().saturating_mul(group.len()).min(max);
        let taken = take(n_atom as u64 * BYTES_PER_ATOM);
        taken.map_err(|over| (self.line, Problem::Memory(over)))?;
        let atoms = match symmetry::expand(&sites, &group, &cell, max) {
            // Without symmetry, positions stay as stated.
            Expanded::Atoms(_) if group.len() == 1 => sites.into_iter().enumerate().collect(),
            Expanded::Atoms(atoms) => atoms,
            Expanded::TooMany => return Err((self.line, Problem::TooManyAtoms { max })),
            Expanded::TooClose { sites: [first, second], distance } => {
                let labels = self.column.get(LABEL).filter(|l| l.len() == symbols.len());
                let label = |site: usize| shown(labels.map_or(symbols, Vec::as_slice)[site].text);
                let (first, second, line) = (label(first), label(second), symbols[second].line);
                let distance = format!("{distance:.2}");
                return Err((line, Problem::TooClose { first, second, distance }));
            }
        };
        for (site, at) in atoms {
            structure.position.push(cell::cartesian(at, &cell));
            structure.atomic_number.push(elements[site]);
        }
        let property = [("name".to_owned(), name.to_owned())].into();
        Ok((Some(structure), property))
    }

    fn single(&self, key: &'static str) -> Result<f64, At> {
        let remedy = "write the cell's lengths and angles";
        match self.column.get(key).map(Vec::as_slice) {
            Some([value]) => finite(value.text, key).map_err(|problem| (value.line, problem)),
            _ => Err((self.line, Problem::Missing { key, remedy })),
        }
    }

    fn column(&self, key: &'static str) -> Result<&[Token<'a>], At> {
        let remedy = "write the atoms as a loop, by fractional coordinates";
        let column = self.column.get(key).map(Vec::as_slice);
        column.ok_or((self.line, Problem::Missing { key, remedy }))
    }

    /// Rejects partially occupied sites, and atoms without a site.
    fn check_order(&self) -> Result<(), At> {
        type IsOrdered = fn(f64) -> bool;
        let ordered: [(&'static str, IsOrdered); 4] = [
            ("_atom_site_occupancy", |x| (x - 1.0).abs() < 1e-6),
            ("_atom_site_disorder_group", |x| x == 0.0),
            ("_atom_site_attached_hydrogens", |x| x == 0.0),
            ("_cell_modulation_dimension", |x| x == 0.0),
        ];
        for (key, is_ordered) in ordered {
            for token in self.column.get(key).into_iter().flatten() {
                let is_ordered = finite(token.text, key).is_ok_and(is_ordered);
                if !token.is_absent() && !is_ordered {
                    return Err((
                        token.line,
                        Problem::Disordered { key, value: shown(token.text) },
                    ));
                }
            }
        }
        Ok(())
    }
}

/// The element of a symbol, which may carry a charge (`O2-`), or of a label that begins with one
/// (`Fe1A`).
fn element(word: &str, is_label: bool) -> Result<u8, Problem> {
    let letters = word.chars().take_while(char::is_ascii_alphabetic).count();
    let letters = &word[..letters];
    // `T1` of a zeolite is silicon or aluminium, not tritium.
    let not_a_site = |name: &&str| *name != "T";
    let of_label = || {
        // Water and hydroxyl have hydrogens that the label does not count, and a vacancy has no
        // atom.
        let is_group = ["Wat", "OH", "Vac"].iter().any(|group| letters.starts_with(group));
        let two = letters.get(..2).filter(|two| any_case(two).is_some());
        match two {
            _ if is_group => None,
            // `CA` may be calcium, or a carbon called A.
            Some(two) => known(two),
            None => letters.get(..1).filter(not_a_site).and_then(known),
        }
    };
    let whole = Some(letters).filter(|name| !is_label || not_a_site(name)).and_then(known);
    let found = whole.or_else(|| if is_label { of_label() } else { any_case(letters) });
    found.ok_or_else(|| Problem::Element { value: shown(word) })
}

/// Atomic numbers of symbols, including the isotopes of hydrogen.
fn known(symbol: &str) -> Option<u8> {
    if matches!(symbol, "D" | "T") { Some(1) } else { atomic_number(symbol) }
}
