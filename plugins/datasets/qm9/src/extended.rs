//! Extended XYZ: a count, a line of `key=value` pairs, and columns that the key `Properties` names.
//!
//! Both spellings in circulation are understood: `homo`, `lumo`, `gap`, `r2`, and `epsHOMO`,
//! `epsLUMO`, `epsgap`, `<R2>`. Units are those of QM9's own files. Further keys and columns are
//! ignored.

use std::io::BufRead;

use crate::error::{Problem, shown};
use crate::lines::{LineFault, Lines};
use crate::molecule::{Molecule, N_PROPERTY, atomic_number};
use crate::number::{finite, gdb_index};
use crate::properties::PROPERTIES;

/// What the second line of a molecule says.
#[derive(Debug, PartialEq)]
pub(crate) struct Comment {
    gdb_index: Option<u32>,
    property: [f64; N_PROPERTY],
    columns: Columns,
}

/// Where element and position stand in the line of an atom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Columns {
    species: usize,
    position: usize,
    n_column: usize,
}

/// Whether the second line of a molecule is one of this format.
pub(crate) fn is_comment(line: &str) -> bool {
    line.contains('=')
}

/// Index, properties and columns from the second line.
pub(crate) fn comment(line: &str) -> Result<Comment, Problem> {
    let mut columns = None;
    let mut index = None;
    let mut property = [None; N_PROPERTY];
    let mut rest = line;
    while let Some((key, value, after)) = pair(rest)? {
        rest = after;
        let known = PROPERTIES.iter().position(|p| p.name == key || p.alias == Some(key));
        let repeated = match (key, known) {
            ("Properties", _) => columns.replace(layout(value)?).is_some(),
            // The implied edges know no images, so they would be wrong.
            ("pbc", _) if value.contains(['T', 't', '1']) => {
                return Err(Problem::Periodic { value: shown(value) });
            }
            ("gdb", _) => index.replace(gdb_index(value)?).is_some(),
            (_, Some(at)) => property[at].replace(finite(value, PROPERTIES[at].name)?).is_some(),
            (_, None) => false,
        };
        if repeated {
            return Err(Problem::RepeatedKey { value: shown(key) });
        }
    }
    let columns = columns.ok_or(Problem::Properties { value: String::new() })?;
    let mut complete = [0.0; N_PROPERTY];
    for ((to, from), named) in complete.iter_mut().zip(property).zip(&PROPERTIES) {
        *to =
            from.ok_or(Problem::MissingProperty { name: named.name, spellings: named.spellings })?;
    }
    Ok(Comment { gdb_index: index, property: complete, columns })
}

/// The next key, its value (empty for a bare key) and the text after them.
fn pair(text: &str) -> Result<Option<(&str, &str, &str)>, Problem> {
    let text = text.trim_start();
    if text.is_empty() {
        return Ok(None);
    }
    let end = text.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(text.len());
    let (key, after) = text.split_at(end);
    let Some(after) = after.strip_prefix('=') else {
        return Ok(Some((key, "", after)));
    };
    // SMILES hold backslashes but no quotation marks, so there is nothing to unescape.
    if let Some(quoted) = after.strip_prefix('"') {
        let (value, after) =
            quoted.split_once('"').ok_or_else(|| Problem::OpenQuote { value: shown(quoted) })?;
        return Ok(Some((key, value, after)));
    }
    let end = after.find(char::is_whitespace).unwrap_or(after.len());
    let (value, after) = after.split_at(end);
    Ok(Some((key, value, after)))
}

/// Reads `species:S:1:pos:R:3`, in any order and among others.
fn layout(value: &str) -> Result<Columns, Problem> {
    let wrong = || Problem::Properties { value: shown(value) };
    let (mut species, mut position, mut n_column) = (None, None, 0_usize);
    let mut parts = value.split(':');
    while let Some(name) = parts.next() {
        let kind = parts.next().ok_or_else(wrong)?;
        let width: u8 = parts.next().and_then(|width| width.parse().ok()).ok_or_else(wrong)?;
        match (name, kind, width) {
            ("species", "S", 1) => species = Some(n_column),
            ("pos", "R", 3) => position = Some(n_column),
            ("species" | "pos", ..) => return Err(wrong()),
            _ => {}
        }
        n_column += usize::from(width);
    }
    let (species, position) = species.zip(position).ok_or_else(wrong)?;
    Ok(Columns { species, position, n_column })
}

/// The rest of a molecule after its second line.
pub(crate) fn rest<R: BufRead>(
    lines: &mut Lines<R>,
    n_node: usize,
    comment: &Comment,
) -> Result<Molecule, LineFault> {
    let mut atomic_number = Vec::with_capacity(n_node);
    let mut position = Vec::with_capacity(n_node);
    for found in 0..n_node {
        let (z, at) = atom(lines.expect("a line of an atom")?, comment.columns, n_node, found)?;
        atomic_number.push(z);
        position.push(at);
    }
    let &Comment { gdb_index, property, .. } = comment;
    Ok(Molecule { gdb_index, atomic_number, position, property: Some(property) })
}

/// Element and position of one line.
fn atom(
    line: &str,
    columns: Columns,
    stated: usize,
    found: usize,
) -> Result<(u8, [f64; 3]), Problem> {
    let n_column = line.split_whitespace().count();
    if n_column != columns.n_column {
        // The next molecule's count has come early.
        return Err(match line.trim().parse::<usize>() {
            Ok(_) => Problem::TooFewAtoms { stated, found, value: shown(line) },
            Err(_) => {
                Problem::Columns { expected: columns.n_column, found: n_column, value: shown(line) }
            }
        });
    }
    let (mut z, mut position) = (0, [0.0; 3]);
    for (at, token) in line.split_whitespace().enumerate() {
        if at == columns.species {
            z = atomic_number(token)?;
        } else if let Some(axis) = at.checked_sub(columns.position).filter(|&axis| axis < 3) {
            position[axis] = finite(token, ["x", "y", "z"][axis])?;
        }
    }
    Ok((z, position))
}
