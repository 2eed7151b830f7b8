//! XYZ: a number of atoms, a comment, one atom a line. In *extended* XYZ the comment is
//! `key=value`, with `Properties` naming the columns and `Lattice` the vectors of the cell. QM9's
//! own files ([`gdb9`]) are recognised by their comment.

use std::collections::BTreeMap;
use std::io::BufRead;

use crate::element::{atomic_number, symbol};
use crate::error::{Problem, shown};
use crate::format::aflow::Content;
use crate::format::gdb9;
use crate::limits::{MAX_ATOM, MAX_KEY, TRUSTED_ATOM};
use crate::lines::{Fault, Lines};
use crate::number::finite;
use crate::structure::Structure;

pub(crate) fn read(
    stream: impl BufRead,
    visit: &mut dyn FnMut(usize, Content) -> Result<(), Fault>,
) -> Result<(), (usize, Fault)> {
    let mut lines = Lines::new(stream);
    let mut before = None;
    while let Some(n_atom) = count(&mut lines, before).map_err(|fault| (lines.number(), fault))? {
        let start = lines.number();
        let content = structure(&mut lines, n_atom).map_err(|fault| (lines.number(), fault))?;
        visit(start, content).map_err(|fault| (start, fault))?;
        before = Some(n_atom);
    }
    let expected = "the number of atoms";
    before.map(drop).ok_or_else(|| (lines.number(), Problem::Truncated { expected }.into()))
}

/// The number of atoms of the next structure; blank lines before it are passed over. `before` is that
/// of the last one.
fn count(lines: &mut Lines<impl BufRead>, before: Option<usize>) -> Result<Option<usize>, Fault> {
    while let Some(line) = lines.next()? {
        if line.trim().is_empty() {
            continue;
        }
        return match (line.trim().parse(), before) {
            (Ok(n), _) if n > MAX_ATOM => Err(Problem::TooManyAtoms { max: MAX_ATOM }.into()),
            (Ok(n), _) => Ok(Some(n)),
            (Err(_), Some(stated)) if is_atom(line) => {
                Err(Problem::MoreAtoms { stated, value: shown(line) }.into())
            }
            (Err(_), _) => {
                let expected = "the number of atoms, which begins a structure";
                Err(Problem::Expected { expected, value: shown(line) }.into())
            }
        };
    }
    Ok(None)
}

/// Whether a line that should be another looks like that of an atom.
fn is_atom(line: &str) -> bool {
    let mut words = line.split_whitespace();
    words.clone().count() >= 4 && words.any(|word| atomic_number(word).is_some())
}

fn structure(lines: &mut Lines<impl BufRead>, n_atom: usize) -> Result<Content, Fault> {
    let Comment { layout, cell, property } =
        comment(lines.expect("the line after the number of atoms")?)?;
    let mut structure = Structure { cell, ..Structure::default() };
    structure.position.reserve(n_atom.min(TRUSTED_ATOM));
    for found in 0..n_atom {
        let (z, position) = atom(lines.expect("an atom")?, layout, n_atom, found)?;
        structure.atomic_number.push(z);
        structure.position.push(position);
    }
    if layout == QM9 {
        gdb9::rest(lines, n_atom)?;
    }
    Ok((Some(structure), property))
}

struct Comment {
    layout: Layout,
    cell: Option<[[f64; 3]; 3]>,
    property: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Layout {
    species: usize,
    position: usize,
    /// Column of a charge, which is checked and dropped.
    charge: Option<usize>,
    /// Exactly so many columns; without it, at least those of the two.
    n_column: Option<usize>,
}

const PLAIN: Layout = Layout { species: 0, position: 1, charge: None, n_column: None };
const QM9: Layout = Layout { charge: Some(4), n_column: Some(gdb9::N_COLUMN), ..PLAIN };

fn comment(line: &str) -> Result<Comment, Problem> {
    if gdb9::is_comment(line) {
        return Ok(Comment { layout: QM9, cell: None, property: gdb9::properties(line)? });
    }
    let mut comment = Comment { layout: PLAIN, cell: None, property: BTreeMap::new() };
    if !line.contains('=') {
        if !line.trim().is_empty() {
            comment.property.insert("comment".to_owned(), line.trim().to_owned());
        }
        return Ok(comment);
    }
    let mut periodic = None;
    let mut rest = line;
    while let Some((key, value, after)) = pair(rest)? {
        rest = after;
        match key {
            "Properties" => comment.layout = layout(value)?,
            "Lattice" => comment.cell = Some(lattice(value)?),
            "pbc" => periodic = Some(pbc(value)?),
            _ => {
                let before = comment.property.insert(key.to_owned(), value.to_owned());
                if before.is_some_and(|before| before != value) {
                    return Err(Problem::RepeatedKey { value: shown(key) });
                }
                if comment.property.len() > MAX_KEY {
                    return Err(Problem::TooManyKeys);
                }
            }
        }
    }
    match (periodic, comment.cell) {
        (Some(false), _) => comment.cell = None,
        (Some(true), None) => {
            let remedy = "add the vectors of the cell, or set `pbc` to `F F F`";
            return Err(Problem::Missing { key: "Lattice", remedy });
        }
        _ => {}
    }
    Ok(comment)
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
    for (open, close) in [('"', '"'), ('\'', '\''), ('[', ']'), ('{', '}')] {
        if let Some(inner) = after.strip_prefix(open) {
            let expected = "the end of a quoted value";
            let (value, after) = inner
                .split_once(close)
                .ok_or_else(|| Problem::Expected { expected, value: shown(inner) })?;
            // A value without quotes may begin with a bracket, too: a SMILES such as `[H]C=O`.
            if open == close || !after.starts_with(|next: char| !next.is_whitespace()) {
                return Ok(Some((key, value, after)));
            }
        }
    }
    let end = after.find(char::is_whitespace).unwrap_or(after.len());
    let (value, after) = after.split_at(end);
    Ok(Some((key, value, after)))
}

/// Reads `species:S:1:pos:R:3`, in any order and among others.
fn layout(value: &str) -> Result<Layout, Problem> {
    let expected = "`Properties` with `species:S:1` (or `Z:I:1`) and `pos:R:3`";
    let wrong = || Problem::Expected { expected, value: shown(value) };
    let (mut species, mut position, mut n_column) = (None, None, 0_usize);
    let mut parts = value.split(':');
    while let Some(name) = parts.next() {
        let kind = parts.next().ok_or_else(wrong)?;
        let width: u8 = parts.next().and_then(|width| width.parse().ok()).ok_or_else(wrong)?;
        match (name, kind, width) {
            ("species", "S", 1) => species = Some(n_column),
            ("Z", "I", 1) => species = species.or(Some(n_column)),
            ("pos", "R", 3) => position = Some(n_column),
            ("species" | "pos", ..) => return Err(wrong()),
            _ => {}
        }
        n_column += usize::from(width);
    }
    let (species, position) = species.zip(position).ok_or_else(wrong)?;
    Ok(Layout { species, position, charge: None, n_column: Some(n_column) })
}

fn lattice(value: &str) -> Result<[[f64; 3]; 3], Problem> {
    let what = "`Lattice`";
    let numbers: Vec<f64> = value
        .split([' ', ','])
        .filter(|w| !w.is_empty())
        .map(|word| finite(word, what))
        .collect::<Result<_, _>>()?;
    match numbers[..] {
        [ax, ay, az, bx, by, bz, cx, cy, cz] => Ok([[ax, ay, az], [bx, by, bz], [cx, cy, cz]]),
        _ => Err(Problem::Expected { expected: "`Lattice` with 9 numbers", value: shown(value) }),
    }
}

fn pbc(value: &str) -> Result<bool, Problem> {
    let words: Vec<&str> = value.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    let is = |words: &[&str], letter: char, digit: &str| {
        words.iter().all(|word| word.to_ascii_uppercase().starts_with(letter) || *word == digit)
    };
    if words.len() == 3 && is(&words, 'T', "1") {
        Ok(true)
    } else if words.len() == 3 && is(&words, 'F', "0") {
        Ok(false)
    } else {
        Err(Problem::PartlyPeriodic { value: shown(value) })
    }
}

fn atom(
    line: &str,
    layout: Layout,
    stated: usize,
    found: usize,
) -> Result<(u8, [f64; 3]), Problem> {
    let words = line.split_whitespace();
    let element = |word: &str| {
        atomic_number(word).or_else(|| word.parse().ok().filter(|&z| symbol(z).is_some()))
    };
    let (n_word, least) = (words.clone().count(), layout.species.max(layout.position + 2) + 1);
    let has_columns = layout.n_column.map_or(n_word >= least, |n| n_word == n);
    if !has_columns {
        let value = shown(line);
        // The next count, or QM9's frequencies, have come early.
        let first = words.clone().next().unwrap_or_default();
        let is_number =
            layout.species == 0 && element(first).is_none() && finite(first, "").is_ok();
        return Err(if is_number || line.trim().parse::<usize>().is_ok() {
            Problem::FewerAtoms { stated, found, value }
        } else {
            Problem::Columns { expected: layout.n_column.unwrap_or(least), found: n_word, value }
        });
    }
    let (mut z, mut position) = (0, [0.0; 3]);
    for (at, word) in words.enumerate() {
        if at == layout.species {
            z = element(word).ok_or_else(|| Problem::Element { value: shown(word) })?;
        } else if let Some(axis) = at.checked_sub(layout.position).filter(|&axis| axis < 3) {
            position[axis] = finite(word, ["x", "y", "z"][axis])?;
        } else if layout.charge == Some(at) {
            finite(word, "the Mulliken charge")?;
        }
    }
    Ok((z, position))
}
