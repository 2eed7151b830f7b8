//! CIF as programs write computed structures: a cell, all atoms by fractional coordinates, no
//! symmetry but the identity, every site fully occupied. Files that need more are refused: reading
//! them without symmetry or disorder would give another structure.

use std::collections::BTreeMap;
use std::io::BufRead;

use crate::cell;
use crate::element::atomic_number;
use crate::error::{Problem, shown};
use crate::format::aflow::Content;
use crate::limits::MAX_ATOM;
use crate::lines::{Fault, document};
use crate::number::finite;
use crate::structure::Structure;

pub(crate) fn read(
    stream: impl BufRead,
    visit: &mut dyn FnMut(usize, Content) -> Result<(), Fault>,
) -> Result<(), (usize, Fault)> {
    parse(&document(stream).map_err(|fault| (1, fault))?, visit)
}

/// Reads all data blocks of a text; lines are counted from 1.
pub(crate) fn parse(
    text: &str,
    visit: &mut dyn FnMut(usize, Content) -> Result<(), Fault>,
) -> Result<(), (usize, Fault)> {
    let tokens = tokens(text).map_err(|(line, problem)| (line, problem.into()))?;
    let mut rest = &tokens[..];
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
        let block = Block::new(&after[..end]).map_err(|(line, problem)| (line, problem.into()))?;
        let content = block.content(name).map_err(|problem| (head.line, problem.into()))?;
        visit(head.line, content).map_err(|fault| (head.line, fault))?;
        rest = &after[end..];
    }
    Ok(())
}

#[derive(Debug, Clone, Copy)]
struct Token<'a> {
    text: &'a str,
    /// Quoted text is never a name or a keyword.
    quoted: bool,
    line: usize,
}

impl<'a> Token<'a> {
    fn keyword(&self) -> Option<&'a str> {
        (!self.quoted).then_some(self.text)
    }

    fn is_value(&self) -> bool {
        self.keyword().is_none_or(|text| {
            !text.starts_with('_')
                && !text.eq_ignore_ascii_case("loop_")
                && strip_prefix(text, "data_").is_none()
        })
    }
}

fn strip_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

fn tokens(text: &str) -> Result<Vec<Token<'_>>, (usize, Problem)> {
    let mut tokens = Vec::new();
    let mut lines = text.split_inclusive('\n').enumerate().scan(0, |start, (at, line)| {
        let here = *start;
        *start += line.len();
        Some((at + 1, here, line))
    });
    while let Some((line, start, content)) = lines.next() {
        // A field of several lines: from a semicolon that begins a line to the next such.
        if content.starts_with(';') {
            let open = start + 1;
            let close = lines.find(|(_, _, content)| content.starts_with(';'));
            let expected = "the semicolon that ends a text";
            let (_, end, after) = close.ok_or((line, Problem::Truncated { expected }))?;
            tokens.push(Token { text: text[open..end].trim_end(), quoted: true, line });
            words(&after[1..], line, &mut tokens)?;
            continue;
        }
        words(content, line, &mut tokens)?;
    }
    Ok(tokens)
}

fn words<'a>(
    content: &'a str,
    line: usize,
    tokens: &mut Vec<Token<'a>>,
) -> Result<(), (usize, Problem)> {
    let mut rest = content.trim();
    while !rest.is_empty() && !rest.starts_with('#') {
        let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'));
        let end = if let Some(quote) = quote {
            // A quotation mark ends the text only before a blank.
            let ends = rest.match_indices(quote).map(|(at, _)| at).skip(1);
            let mut ends =
                ends.filter(|at| rest[at + 1..].chars().next().is_none_or(char::is_whitespace));
            let expected = "the end of a quoted text";
            let end =
                ends.next().ok_or((line, Problem::Expected { expected, value: shown(rest) }))?;
            tokens.push(Token { text: &rest[1..end], quoted: true, line });
            end + 1
        } else {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            tokens.push(Token { text: &rest[..end], quoted: false, line });
            end
        };
        rest = rest[end..].trim_start();
    }
    Ok(())
}

/// One data block: single values, and columns of loops.
struct Block<'a> {
    single: BTreeMap<String, &'a str>,
    column: BTreeMap<String, Vec<&'a str>>,
}

impl<'a> Block<'a> {
    fn new(tokens: &[Token<'a>]) -> Result<Self, (usize, Problem)> {
        let mut block = Self { single: BTreeMap::new(), column: BTreeMap::new() };
        let mut rest = tokens;
        while let Some((head, after)) = rest.split_first() {
            match head.keyword() {
                Some(word) if word.eq_ignore_ascii_case("loop_") => {
                    let n_name = after
                        .iter()
                        .take_while(|t| t.keyword().is_some_and(|t| t.starts_with('_')))
                        .count();
                    let (names, after) = after.split_at(n_name);
                    let n_value = after.iter().take_while(|token| token.is_value()).count();
                    let (values, after) = after.split_at(n_value);
                    if n_name == 0 || n_value % n_name != 0 {
                        let value = format!("{n_value} values for {n_name} names");
                        return Err((
                            head.line,
                            Problem::Expected { expected: "full rows in a loop", value },
                        ));
                    }
                    for (at, name) in names.iter().enumerate() {
                        let values =
                            values.iter().skip(at).step_by(n_name).map(|t| t.text).collect();
                        block.column.insert(name.text.to_ascii_lowercase(), values);
                    }
                    rest = after;
                }
                Some(name) if name.starts_with('_') => match after.split_first() {
                    Some((value, after)) if value.is_value() => {
                        block.single.insert(name.to_ascii_lowercase(), value.text);
                        rest = after;
                    }
                    _ => {
                        let expected = "a value after its name";
                        return Err((
                            head.line,
                            Problem::Expected { expected, value: shown(name) },
                        ));
                    }
                },
                _ => {
                    let expected = "a name, which begins with `_`";
                    return Err((
                        head.line,
                        Problem::Expected { expected, value: shown(head.text) },
                    ));
                }
            }
        }
        Ok(block)
    }

    fn content(&self, name: &str) -> Result<Content, Problem> {
        self.check_symmetry()?;
        let number = |key: &'static str| match self.single.get(key) {
            Some(value) => finite(value, key),
            None => Err(Problem::Missing { key, remedy: "write the cell's lengths and angles" }),
        };
        let lengths =
            [number("_cell_length_a")?, number("_cell_length_b")?, number("_cell_length_c")?];
        let angles = [
            number("_cell_angle_alpha")?,
            number("_cell_angle_beta")?,
            number("_cell_angle_gamma")?,
        ];
        let cell = cell::vectors(lengths, angles)?;
        let column = |key: &'static str| {
            self.column
                .get(key)
                .ok_or(Problem::Missing { key, remedy: "write the atoms as a loop" })
        };
        let [x, y, z] = [
            column("_atom_site_fract_x")?,
            column("_atom_site_fract_y")?,
            column("_atom_site_fract_z")?,
        ];
        let symbols = self
            .column
            .get("_atom_site_type_symbol")
            .map_or_else(|| column("_atom_site_label"), Ok)?;
        for sites in [y, z, symbols] {
            if sites.len() != x.len() {
                return Err(Problem::Disagree {
                    first_key: "`_atom_site_fract_x`",
                    first: x.len(),
                    second_key: "another column of the sites",
                    second: sites.len(),
                });
            }
        }
        if x.len() > MAX_ATOM {
            return Err(Problem::TooManyAtoms { max: MAX_ATOM });
        }
        for occupancy in self.column.get("_atom_site_occupancy").into_iter().flatten() {
            if !matches!(*occupancy, "?" | ".")
                && (finite(occupancy, "occupancy")? - 1.0).abs() > 1e-6
            {
                return Err(Problem::Occupancy { value: shown(occupancy) });
            }
        }
        let mut structure = Structure { cell: Some(cell), ..Structure::default() };
        for site in 0..x.len() {
            let at = [finite(x[site], "x")?, finite(y[site], "y")?, finite(z[site], "z")?];
            structure.position.push(cell::cartesian(at, &cell));
            structure.atomic_number.push(species(symbols[site])?);
        }
        let property = [("name".to_owned(), name.to_owned())].into();
        Ok((Some(structure), property))
    }

    /// Refuses every operation but the identity.
    fn check_symmetry(&self) -> Result<(), Problem> {
        let mut stated = false;
        for key in ["_symmetry_equiv_pos_as_xyz", "_space_group_symop_operation_xyz"] {
            let single = self.single.get(key);
            for operation in self.column.get(key).into_iter().flatten().chain(single) {
                stated = true;
                let plain: String =
                    operation.chars().filter(|c| !c.is_whitespace() && *c != '+').collect();
                if !plain.eq_ignore_ascii_case("x,y,z") {
                    return Err(Problem::Symmetry { value: shown(operation) });
                }
            }
        }
        let names = ["_symmetry_space_group_name_h-m", "_space_group_name_h-m_alt"];
        let group = names.iter().find_map(|key| self.single.get(*key));
        match group {
            Some(group) if !stated && group.replace(' ', "") != "P1" => {
                Err(Problem::Symmetry { value: shown(group) })
            }
            _ => Ok(()),
        }
    }
}

/// A symbol, which may carry a number (labels) or a charge: `Fe1`, `O2-`.
fn species(word: &str) -> Result<u8, Problem> {
    let letters = word.chars().take_while(char::is_ascii_alphabetic).count();
    atomic_number(&word[..letters]).ok_or_else(|| Problem::Element { value: shown(word) })
}
