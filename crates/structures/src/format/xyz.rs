//! XYZ: a number of atoms, a comment, one atom per line. In *extended* XYZ the comment is
//! `key=value`, with `Properties` naming the columns and `Lattice` the cell vectors. QM9's own
//! files ([`gdb9`]) are recognised by their comment.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::BufRead;
use std::ops::Range;

use crate::cell::{self, Cell};
use crate::element::{any_case, symbol};
use crate::error::{Problem, shown};
use crate::format::aflow::Content;
use crate::format::gdb9;
use crate::format::pairs::Pairs;
use crate::limits::{MAX_ATOM, MAX_KEY, TRUSTED_ATOM};
use crate::lines::{Fault, Lines};
use crate::number::{finite, three};
use crate::structure::{AtomArray, Numbers, Structure};

pub(crate) fn read(
    stream: impl BufRead,
    arrays: &[String],
    visit: &mut dyn FnMut(usize, Content) -> Result<(), Fault>,
) -> Result<(), (usize, Fault)> {
    let mut lines = Lines::new(stream);
    let mut before = None;
    while let Some(n_atom) = count(&mut lines, before).map_err(|fault| (lines.number(), fault))? {
        let start = lines.number();
        let content =
            structure(&mut lines, n_atom, arrays).map_err(|fault| (lines.number(), fault))?;
        visit(start, content).map_err(|fault| (start, fault))?;
        before = Some(n_atom);
    }
    let expected = "the number of atoms";
    before.map(drop).ok_or_else(|| (lines.number(), Problem::Truncated { expected }.into()))
}

/// The number of atoms of the next structure; skips blank lines before it. `before` is that of the
/// previous structure.
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

/// Whether a line that should be something else looks like an atom.
fn is_atom(line: &str) -> bool {
    let mut words = line.split_whitespace();
    words.clone().count() >= 4 && words.any(|word| any_case(word).is_some())
}

fn structure(
    lines: &mut Lines<impl BufRead>,
    n_atom: usize,
    arrays: &[String],
) -> Result<Content, Fault> {
    let Comment { layout, mut columns, known, cell, property } =
        comment(lines.expect("the line after the number of atoms")?, arrays)?;
    let mut structure = Structure { cell, known, ..Structure::default() };
    structure.position.reserve(n_atom.min(TRUSTED_ATOM));
    for found in 0..n_atom {
        let (z, position) = atom(lines.expect("an atom")?, layout, &mut columns, n_atom, found)?;
        structure.atomic_number.push(z);
        structure.position.push(position);
    }
    let array = |column: Column| {
        (column.name, AtomArray { width: column.place.len(), numbers: column.numbers })
    };
    structure.array = columns.into_iter().map(array).collect();
    if layout == QM9 {
        gdb9::rest(lines, n_atom)?;
    } else if let Some(cell) = vectors(lines)? {
        structure.cell = Some(cell);
    }
    Ok((Some(structure), property))
}

/// The cell vectors in lines `VEC1 x y z` after the atoms, as written by ADF; other directions are
/// not periodic.
fn vectors(lines: &mut Lines<impl BufRead>) -> Result<Option<Cell>, Fault> {
    let (mut cell, mut n) = ([[0.0; 3]; 3], 0);
    while let Some(line) = lines.next()? {
        let Some(rest) = line.trim_start().strip_prefix("VEC") else {
            lines.put_back();
            break;
        };
        let expected = "`VEC1`, `VEC2`, `VEC3` in this order, each with three numbers";
        let wrong = || Problem::Expected { expected, value: shown(line) };
        let (number, vector) = rest.split_once(char::is_whitespace).ok_or_else(wrong)?;
        if number.parse() != Ok(n + 1) || n == 3 {
            return Err(wrong().into());
        }
        cell[n] = three(vector, "a vector of the cell")?.0;
        n += 1;
    }
    Ok(cell::repeating(&cell, [0, 1, 2].map(|direction| direction < n))?)
}

struct Comment {
    layout: Layout,
    /// Further columns to keep, and the names of all available ones.
    columns: Vec<Column>,
    known: Vec<String>,
    cell: Option<Cell>,
    property: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Layout {
    species: usize,
    position: usize,
    /// Column of a charge, which is checked and dropped. There are then exactly `n_column` columns;
    /// otherwise there may be more.
    charge: Option<usize>,
    n_column: usize,
}

/// A column, or several under one name, with the values read so far.
struct Column {
    name: String,
    place: Range<usize>,
    numbers: Numbers,
}

const PLAIN: Layout = Layout { species: 0, position: 1, charge: None, n_column: 4 };
const QM9: Layout = Layout { charge: Some(4), n_column: gdb9::N_COLUMN, ..PLAIN };

fn comment(line: &str, arrays: &[String]) -> Result<Comment, Problem> {
    let (mut columns, mut known) = (Vec::new(), Vec::new());
    if gdb9::is_comment(line) {
        let property = gdb9::properties(line)?;
        return Ok(Comment { layout: QM9, columns, known, cell: None, property });
    }
    let mut property = BTreeMap::new();
    if !line.contains('=') {
        if !line.trim().is_empty() {
            property.insert("comment".to_owned(), line.trim().to_owned());
        }
        return Ok(Comment { layout: PLAIN, columns, known, cell: None, property });
    }
    let mut pairs = Pairs::of(line);
    while let Some((key, value)) = pairs.next()? {
        match property.entry(key) {
            Entry::Vacant(place) => drop(place.insert(value)),
            Entry::Occupied(before) if *before.get() == value => {}
            Entry::Occupied(before) => {
                return Err(Problem::RepeatedKey { value: shown(before.key()) });
            }
        }
        if property.len() > MAX_KEY {
            return Err(Problem::TooManyKeys);
        }
    }
    let mut layout_of_atoms = PLAIN;
    if let Some(value) = property.remove("Properties") {
        layout_of_atoms = layout(&value, arrays, &mut columns, &mut known)?;
    }
    let lattice = property.remove("Lattice").map(|value| lattice(&value)).transpose()?;
    let periodic = property.remove("pbc").map(|value| pbc(&value)).transpose()?;
    let periodic = periodic.unwrap_or([lattice.is_some(); 3]);
    let cell = cell::repeating(&lattice.unwrap_or_default(), periodic)?;
    Ok(Comment { layout: layout_of_atoms, columns, known, cell, property })
}

/// Parses `species:S:1:pos:R:3`, in any order and among others.
fn layout(
    value: &str,
    arrays: &[String],
    columns: &mut Vec<Column>,
    known: &mut Vec<String>,
) -> Result<Layout, Problem> {
    let expected = "`Properties` with `species:S:1` (or `Z:I:1`) and `pos:R:3`";
    let wrong = || Problem::Expected { expected, value: shown(value) };
    let (mut species, mut number, mut position, mut n_column) = (None, None, None, 0_usize);
    let mut parts = value.trim().split(':');
    while let Some(name) = parts.next() {
        let kind = parts.next().ok_or_else(wrong)?;
        let width: usize = parts.next().and_then(|width| width.parse().ok()).ok_or_else(wrong)?;
        let known = match (name, kind, width) {
            ("species" | "symbols", "S", 1) => Some(&mut species),
            ("Z" | "numbers", "I", 1) => Some(&mut number),
            ("pos" | "positions", "R" | "I", 3) => Some(&mut position),
            ("species" | "pos", ..) => return Err(wrong()),
            (_, "S", _) => None,
            (_, "R" | "I" | "L", _) => {
                if !arrays.is_empty() {
                    known.push(name.to_owned());
                }
                if width > 0 && arrays.iter().any(|wanted| wanted == name) {
                    let end = n_column.checked_add(width).ok_or_else(wrong)?;
                    let numbers = match kind {
                        "R" => Numbers::Float(Vec::new()),
                        "I" => Numbers::Integer(Vec::new()),
                        _ => Numbers::Flag(Vec::new()),
                    };
                    columns.push(Column { name: name.to_owned(), place: n_column..end, numbers });
                }
                None
            }
            _ => return Err(wrong()),
        };
        // If there are two, it is ambiguous which is meant.
        if known.is_some_and(|column| column.replace(n_column).is_some()) {
            return Err(wrong());
        }
        n_column = n_column.checked_add(width).ok_or_else(wrong)?;
    }
    // As in ASE, numbers take precedence over symbols.
    let (species, position) = number.or(species).zip(position).ok_or_else(wrong)?;
    Ok(Layout { species, position, charge: None, n_column })
}

/// The words of a list, separated by blanks and commas.
fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty())
}

fn lattice(value: &str) -> Result<Cell, Problem> {
    let numbers: Vec<f64> =
        words(value).map(|word| finite(word, "`Lattice`")).collect::<Result<_, _>>()?;
    match numbers[..] {
        [ax, ay, az, bx, by, bz, cx, cy, cz] => Ok([[ax, ay, az], [bx, by, bz], [cx, cy, cz]]),
        _ => Err(Problem::Expected { expected: "`Lattice` with 9 numbers", value: shown(value) }),
    }
}

impl Column {
    fn push(&mut self, word: &str) -> Result<(), Problem> {
        let wrong = |expected| {
            let (name, value) = (shown(&self.name), shown(word));
            Problem::Array { name, expected, value }
        };
        match &mut self.numbers {
            Numbers::Float(values) => {
                let value = finite(word, "").map_err(|_| wrong("a finite number"))?;
                values.push(value);
            }
            Numbers::Integer(values) => {
                let value = word.parse().map_err(|_| wrong("a whole number of 32 bits"))?;
                values.push(value);
            }
            Numbers::Flag(values) => {
                values.push(flag(word).ok_or_else(|| wrong("T or F"))?);
            }
        }
        Ok(())
    }
}

fn flag(word: &str) -> Option<bool> {
    match word.trim_matches('.').to_ascii_lowercase().as_str() {
        "t" | "true" | "1" => Some(true),
        "f" | "false" | "0" => Some(false),
        _ => None,
    }
}

/// The cell vectors along which the structure is periodic.
fn pbc(value: &str) -> Result<[bool; 3], Problem> {
    match words(value).map(flag).collect::<Vec<_>>()[..] {
        [Some(all)] => Ok([all; 3]),
        [Some(a), Some(b), Some(c)] => Ok([a, b, c]),
        _ => Err(Problem::Expected { expected: "`pbc` such as `T T F`", value: shown(value) }),
    }
}

fn atom(
    line: &str,
    layout: Layout,
    columns: &mut [Column],
    stated: usize,
    found: usize,
) -> Result<(u8, [f64; 3]), Problem> {
    let words = line.split_whitespace();
    let element =
        |word: &str| any_case(word).or_else(|| word.parse().ok().filter(|&z| symbol(z).is_some()));
    let n_word = words.clone().count();
    let is_exact = layout.charge.is_some();
    if n_word < layout.n_column || (is_exact && n_word > layout.n_column) {
        let value = shown(line);
        // The next count, or QM9's frequencies, came too early.
        let first = words.clone().next().unwrap_or_default();
        let is_number =
            layout.species == 0 && element(first).is_none() && finite(first, "").is_ok();
        return Err(if is_number || line.trim().parse::<usize>().is_ok() {
            Problem::FewerAtoms { stated, found, value }
        } else {
            Problem::Columns { expected: layout.n_column, found: n_word, value }
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
        } else if let Some(column) = columns.iter_mut().find(|column| column.place.contains(&at)) {
            column.push(word)?;
        }
    }
    Ok((z, position))
}
