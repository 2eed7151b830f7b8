//! Properties without geometries: the table of `MoleculeNet` and `DeepChem`, `gdb9.sdf.csv` or
//! `qm9.csv`.
//!
//! Columns are found by name; `mol_id` is `gdb_<index>`. Units are those of QM9's own files. The
//! table's atomisation energies are ignored: they follow from the other columns.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use batchlab_core::MemoryBudget;
use batchlab_structures::{ReadError, UnixLines, finite};
use csv::StringRecord;

use crate::error::{Problem, Qm9Error, shown};
use crate::molecule::gdb_index;
use crate::properties::{N_PROPERTY, PROPERTIES};

/// The whole table has 30 MB.
const MAX_BYTE: u64 = 1 << 28;

/// Bytes per row, while the table grows.
const ROW_BYTES: u64 = 384;

/// Properties by index.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) property: HashMap<u32, [f64; N_PROPERTY]>,
    /// Number of duplicate rows.
    pub(crate) n_repeated: u64,
}

pub(crate) fn read(path: &Path, memory: &MemoryBudget) -> Result<Table, Qm9Error> {
    let failed = |source| ReadError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let n_byte = file.metadata().map_err(failed)?.len();
    if n_byte > MAX_BYTE {
        let problem = Problem::TooLarge { found: n_byte, max: MAX_BYTE };
        return Err(Qm9Error::Line { path: path.to_owned(), line: 1, problem });
    }
    parse(path, BufReader::new(file), memory)
}

pub(crate) fn parse(
    path: &Path,
    content: impl Read,
    memory: &MemoryBudget,
) -> Result<Table, Qm9Error> {
    let at =
        |line: u64, problem| Qm9Error::Line { path: path.to_owned(), line: line as usize, problem };
    let broken = |error: &csv::Error| {
        let line = error.position().map_or(1, csv::Position::line);
        at(line, Problem::Table { message: error.to_string() })
    };
    let mut reader = csv::ReaderBuilder::new().from_reader(UnixLines::new(BufReader::new(content)));
    let head = reader.headers().map_err(|error| broken(&error))?.clone();
    let place = |name: &'static str| {
        let missing =
            || Problem::Column { name, found: shown(&head.iter().collect::<Vec<_>>().join(", ")) };
        head.iter().position(|found| found == name).ok_or_else(|| at(1, missing()))
    };
    let id = place("mol_id")?;
    let mut places = [0; N_PROPERTY];
    for (slot, named) in places.iter_mut().zip(&PROPERTIES) {
        *slot = place(named.column)?;
    }
    let mut table = Table::default();
    let mut row = StringRecord::new();
    while reader.read_record(&mut row).map_err(|error| broken(&error))? {
        let line = row.position().map_or(0, csv::Position::line);
        let (index, property) = read_row(&row, id, &places).map_err(|problem| at(line, problem))?;
        memory.take(ROW_BYTES, "the rows").map_err(|over| at(line, over.into()))?;
        match table.property.insert(index, property) {
            None => {}
            Some(before) if before.map(f64::to_bits) == property.map(f64::to_bits) => {
                table.n_repeated += 1;
            }
            Some(_) => return Err(at(line, Problem::OtherRow { index })),
        }
    }
    if table.property.is_empty() {
        return Err(ReadError::Empty { path: path.to_owned() }.into());
    }
    Ok(table)
}

fn read_row(
    row: &StringRecord,
    id: usize,
    places: &[usize; N_PROPERTY],
) -> Result<(u32, [f64; N_PROPERTY]), Problem> {
    let field = |place: usize| row.get(place).unwrap_or_default().trim();
    let index = field(id);
    let index = gdb_index(index.strip_prefix("gdb_").unwrap_or(index))?;
    let mut property = [0.0; N_PROPERTY];
    for ((slot, &place), named) in property.iter_mut().zip(places).zip(&PROPERTIES) {
        *slot = finite(field(place), named.name)?;
    }
    Ok((index, property))
}

#[cfg(test)]
pub(crate) mod tests;
