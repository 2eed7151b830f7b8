//! The `SQLite` database of ASE (the Atomic Simulation Environment), table `systems`.

mod data;

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row, limits::Limit};
use serde_json::{Map, Value as Json};

use crate::cell;
use crate::element::symbol;
use crate::error::{Problem, shown};
use crate::format::aflow::{Content, plain};
use crate::limits::{MAX_ATOM, MAX_ENTRY};
use crate::lines::Fault;
use crate::structure::{AtomArray, Numbers, Structure};
use data::PerAtom;

/// Reads all rows, ordered by ID.
pub(crate) fn read(
    path: &Path,
    arrays: &[String],
    visit: &mut dyn FnMut(usize, Content) -> Result<(), Fault>,
) -> Result<(), (usize, Fault)> {
    let broken = |error: rusqlite::Error| (1, syntax(&error));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(path, flags).map_err(broken)?;
    database.set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_ENTRY as i32).map_err(broken)?;
    database.pragma_update(None, "trusted_schema", false).map_err(broken)?;
    // A `systems` that is not a table but a query could sort endlessly. Sorting is therefore
    // confined to memory, which is limited, instead of temporary files, and to the number of steps
    // that a table of the file's length could take.
    database.pragma_update(None, "temp_store", "memory").map_err(broken)?;
    database.pragma_update(None, "hard_heap_limit", MAX_HEAP).map_err(broken)?;
    let n_byte = std::fs::metadata(path).map_err(|error| (1, Fault::Io(error)))?.len();
    let most = (n_byte.saturating_mul(STEPS_PER_BYTE)).saturating_add(MIN_STEPS) / STEPS_AT_ONCE;
    let mut n = 0;
    database.progress_handler(
        STEPS_AT_ONCE as i32,
        Some(move || {
            n += 1;
            n > most
        }),
    );
    let is_asked = |known: &&Known| arrays.iter().any(|name| name == known.name);
    let asked: Vec<&Known> = KNOWN.iter().filter(is_asked).collect();
    let mut columns = COLUMNS.to_vec();
    columns.extend(asked.iter().map(|known| known.name));
    let has_data = database.prepare("SELECT data FROM systems").is_ok();
    columns.extend(has_data.then_some("data"));
    let query = format!("SELECT {} FROM systems ORDER BY id", columns.join(", "));
    let mut statement = database.prepare(&query).map_err(broken)?;
    let mut rows = statement.query([]).map_err(broken)?;
    let (mut line, mut per_atom) = (0, PerAtom::default());
    loop {
        let Some(row) = rows.next().map_err(|error| (line + 1, syntax(&error)))? else {
            return Ok(());
        };
        line += 1;
        let mut content = content(row).map_err(|problem| (line, problem.into()))?;
        if !arrays.is_empty() {
            add_arrays(row, &asked, &mut content).map_err(|problem| (line, problem.into()))?;
        }
        if has_data {
            let data = get(row, columns.len() - 1);
            per_atom.add(data, arrays, &mut content).map_err(|problem| (line, problem.into()))?;
        }
        visit(line, content).map_err(|fault| (line, fault))?;
    }
}

const COLUMNS: [&str; 7] =
    ["id", "numbers", "positions", "cell", "pbc", "energy", "key_value_pairs"];

/// A database column with an array.
struct Known {
    name: &'static str,
    /// Numbers per atom; 0: numbers of the structure, which become a property.
    width: usize,
    /// 32-bit integers; otherwise 64-bit floats.
    is_integer: bool,
}

const fn of_atoms(name: &'static str, width: usize) -> Known {
    Known { name, width, is_integer: false }
}

const KNOWN: [Known; 10] = [
    of_atoms("forces", 3),
    of_atoms("magmoms", 1),
    of_atoms("charges", 1),
    of_atoms("initial_magmoms", 1),
    of_atoms("initial_charges", 1),
    of_atoms("masses", 1),
    of_atoms("momenta", 3),
    Known { name: "tags", width: 1, is_integer: true },
    of_atoms("stress", 0),
    of_atoms("dipole", 0),
];

/// Adds the requested arrays; missing ones are omitted.
fn add_arrays(row: &Row, asked: &[&Known], content: &mut Content) -> Result<(), Problem> {
    let (Some(structure), property) = content else { return Ok(()) };
    structure.known = KNOWN.iter().map(|known| known.name.to_owned()).collect();
    for (place, known) in asked.iter().enumerate() {
        let &&Known { name, width, is_integer } = known;
        let bytes = match get(row, COLUMNS.len() + place) {
            ValueRef::Null => continue,
            ValueRef::Blob(bytes) => bytes,
            other => return Err(unexpected("an array as bytes", other)),
        };
        let numbers = if is_integer { integers(bytes) } else { floats(bytes, name)? };
        if let (0, Numbers::Float(numbers)) = (width, &numbers) {
            let texts: Vec<String> = numbers.iter().map(f64::to_string).collect();
            property.insert(name.to_owned(), texts.join(","));
            continue;
        }
        let expected = bytes.len() / if is_integer { 4 } else { 8 };
        if expected != width * structure.atomic_number.len() {
            return Err(Problem::Disagree {
                first_key: "`numbers`",
                first: structure.atomic_number.len(),
                second_key: name,
                second: expected / width,
            });
        }
        structure.array.insert(name.to_owned(), AtomArray { width, numbers });
    }
    Ok(())
}

fn integers(bytes: &[u8]) -> Numbers {
    let (numbers, _) = bytes.as_chunks();
    Numbers::Integer(numbers.iter().map(|bytes| i32::from_le_bytes(*bytes)).collect())
}

/// Finite in single precision.
fn floats(bytes: &[u8], name: &'static str) -> Result<Numbers, Problem> {
    let (numbers, _) = bytes.as_chunks();
    let numbers: Vec<f64> = numbers.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
    match numbers.iter().find(|x| !(**x as f32).is_finite()) {
        Some(value) => Err(Problem::Number { what: name, value: value.to_string() }),
        None => Ok(Numbers::Float(numbers)),
    }
}

/// Maximum allocation of the database in bytes; its rows are limited to [`MAX_ENTRY`].
const MAX_HEAP: i64 = 1 << 28;
/// Allowed steps of the database engine per byte of the file, and minimum. A table row takes about
/// twenty, and more than twenty bytes.
const STEPS_PER_BYTE: u64 = 64;
const MIN_STEPS: u64 = 10_000_000;
const STEPS_AT_ONCE: u64 = 10_000;

fn syntax(error: &rusqlite::Error) -> Fault {
    if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) {
        let message = "the database computes more than a table of its length holds, so `systems` is no \
                       table of ASE's";
        return Problem::syntax(message).into();
    }
    Problem::syntax(format!("the database says: {error}")).into()
}

fn content(row: &Row) -> Result<Content, Problem> {
    let numbers = blob(row, 1, "numbers")?;
    let position: Vec<[f64; 3]> = vectors(blob(row, 2, "positions")?, "positions")?;
    let cell = vectors(blob(row, 3, "cell")?, "cell")?;
    let atomic_number = protons(numbers, position.len())?;
    let ValueRef::Integer(mask) = get(row, 4) else {
        return Err(unexpected("`pbc` as a number", get(row, 4)));
    };
    let periodic = [1, 2, 4].map(|bit| mask & bit != 0);
    let cell = match cell[..] {
        [a, b, c] => cell::repeating(&[a, b, c], periodic)?,
        _ if mask == 0 => None,
        _ => {
            let (expected, value) = ("a cell of 9 numbers", (3 * cell.len()).to_string());
            return Err(Problem::Expected { expected, value });
        }
    };
    let structure = Structure { atomic_number, position, cell, ..Structure::default() };
    Ok((Some(structure), properties(row)?))
}

fn properties(row: &Row) -> Result<BTreeMap<String, String>, Problem> {
    let mut property = BTreeMap::new();
    if let ValueRef::Real(energy) = get(row, 5) {
        property.insert("energy".to_owned(), energy.to_string());
    }
    if let ValueRef::Integer(id) = get(row, 0) {
        property.insert("id".to_owned(), id.to_string());
    }
    let pairs = match get(row, 6) {
        ValueRef::Null => return Ok(property),
        ValueRef::Text(text) => text,
        other => return Err(unexpected("`key_value_pairs` as JSON text", other)),
    };
    let pairs: Map<String, Json> = serde_json::from_slice(pairs)
        .map_err(|error| Problem::syntax(format!("`key_value_pairs`: {error}")))?;
    property.extend(pairs.iter().filter_map(|(key, value)| Some((key.clone(), plain(value)?))));
    Ok(property)
}

fn get<'a>(row: &'a Row, column: usize) -> ValueRef<'a> {
    row.get_ref(column).unwrap_or(ValueRef::Null)
}

fn blob<'a>(row: &'a Row, column: usize, what: &'static str) -> Result<&'a [u8], Problem> {
    match get(row, column) {
        ValueRef::Blob(bytes) => Ok(bytes),
        other => Err(unexpected(what, other)),
    }
}

fn unexpected(expected: &'static str, found: ValueRef) -> Problem {
    Problem::Expected { expected, value: shown(&format!("{found:?}")) }
}

/// Little-endian f64, three per row.
fn vectors(bytes: &[u8], expected: &'static str) -> Result<Vec<[f64; 3]>, Problem> {
    let (rows, rest) = bytes.as_chunks::<24>();
    if !rest.is_empty() {
        return Err(Problem::Expected { expected, value: format!("{} bytes", bytes.len()) });
    }
    let number = |row: &[u8; 24], k: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&row[8 * k..8 * k + 8]);
        f64::from_le_bytes(bytes)
    };
    let rows: Vec<[f64; 3]> = rows.iter().map(|row| [0, 1, 2].map(|k| number(row, k))).collect();
    match rows.iter().flatten().find(|x| !(**x as f32).is_finite()) {
        Some(value) => Err(Problem::Number { what: expected, value: value.to_string() }),
        None => Ok(rows),
    }
}

/// Little-endian 32-bit or 64-bit integers.
fn protons(bytes: &[u8], n_atom: usize) -> Result<Vec<u8>, Problem> {
    if n_atom > MAX_ATOM {
        return Err(Problem::TooManyAtoms { max: MAX_ATOM });
    }
    let width = match bytes.len() {
        len if len == 4 * n_atom => 4,
        len if len == 8 * n_atom => 8,
        len => {
            return Err(Problem::Disagree {
                first_key: "`numbers`",
                first: len / 4,
                second_key: "`positions`",
                second: n_atom,
            });
        }
    };
    let number = |bytes: &[u8]| {
        let is_small = bytes[1..].iter().all(|&byte| byte == 0) && symbol(bytes[0]).is_some();
        is_small.then_some(bytes[0]).ok_or_else(|| Problem::Element { value: format!("{bytes:?}") })
    };
    bytes.chunks_exact(width).map(number).collect()
}
