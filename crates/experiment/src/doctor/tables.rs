//! Reads every file under `tables/` from beginning to end, as any reader would.

use std::fs::{self, File};
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use batchlab_core::record::Table;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::Damaged;
use crate::RunError;

/// The number of files, and those that are damaged.
pub(super) fn examine(tables: &Path) -> Result<(usize, Vec<Damaged>), RunError> {
    let mut n_file = 0;
    let mut damaged = Vec::new();
    for table in Table::ALL {
        for path in files(&tables.join(table.name()))? {
            n_file += 1;
            if let Err(reason) = read(table, &path) {
                damaged.push(Damaged { path, reason });
            }
        }
    }
    Ok((n_file, damaged))
}

/// The files of a folder, in order; none if there is no folder.
fn files(folder: &Path) -> Result<Vec<PathBuf>, RunError> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let failed = |source| RunError::Read { path: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        files.push(entry.map_err(failed)?.path());
    }
    files.sort();
    Ok(files)
}

/// The reader of Parquet files panics over a few kinds of damage; the other files must be looked at
/// all the same.
fn read(table: Table, path: &Path) -> Result<(), String> {
    catch_unwind(|| read_file(table, path))
        .unwrap_or_else(|_| Err("it cannot be decoded (the reader gave up)".into()))
}

fn read_file(table: Table, path: &Path) -> Result<(), String> {
    if path.extension().is_none_or(|extension| extension != "parquet") {
        return Err("it is no Parquet file, and some readers open every file of a table".into());
    }
    let file = File::open(path).map_err(|error| error.to_string())?;
    let builder =
        ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| error.to_string())?;
    // Files of other versions may have fewer or more columns, but none of another type.
    for field in table.schema().fields() {
        let found = builder.schema().field_with_name(field.name()).ok();
        if let Some(found) = found.filter(|found| found.data_type() != field.data_type()) {
            let (name, found, right) = (field.name(), found.data_type(), field.data_type());
            return Err(format!("column {name} is of type {found}, not {right}"));
        }
    }
    let n_row = builder.metadata().file_metadata().num_rows();
    let mut found = 0;
    for rows in builder.build().map_err(|error| error.to_string())? {
        found += rows.map_err(|error| error.to_string())?.num_rows();
    }
    if found as i64 == n_row { Ok(()) } else { Err(format!("it has {found} of {n_row} rows")) }
}
