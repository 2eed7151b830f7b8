//! Reads every file under `tables/` from beginning to end, as any reader would, and compares its bytes
//! with those that were published.

use std::fs::{self, File};
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use batchlab_core::record::Table;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::Damaged;
use crate::RunError;
use crate::publish::{Seal, unfinished};

/// What was looked at and found.
#[derive(Default)]
pub(super) struct Found {
    pub(super) n_file: usize,
    pub(super) n_sealed: usize,
    pub(super) damaged: Vec<Damaged>,
}

/// Reads the files under `tables/`, and compares what was published with its checksums.
pub(super) fn examine(out: &Path) -> Result<Found, RunError> {
    let mut found = Found::default();
    for table in Table::ALL {
        for path in files(&out.join("tables").join(table.name()))? {
            found.n_file += 1;
            if let Err(reason) = read(table, &path) {
                found.damaged.push(Damaged { path, reason });
            }
        }
    }
    // Only folders are runs; whatever else lies there is nothing that was published.
    for folder in files(&out.join("runs"))?.into_iter().filter(|path| path.is_dir()) {
        let run_id = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        compare(out, run_id, &mut found)?;
    }
    Ok(found)
}

/// Files of a run that are not as they were published.
fn compare(out: &Path, run_id: &str, found: &mut Found) -> Result<(), RunError> {
    let seal = match Seal::read(out, run_id) {
        Ok(Some(seal)) => seal,
        Ok(None) => return Ok(()),
        Err(error) => {
            let path = out.join("runs").join(run_id).join("files.json");
            found.damaged.push(Damaged { path, reason: error.to_string() });
            return Ok(());
        }
    };
    let mut faults = Vec::new();
    for file in &seal.files {
        let path = file.path.split('/').fold(out.to_owned(), |path, part| path.join(part));
        faults.extend(file.fault(out).map(|reason| Damaged { path, reason }));
    }
    // Of a run that is publishing in this moment, or that crashed while it did, files may be of the
    // attempt before. One that has ended since is to be looked at again.
    if !faults.is_empty() && unfinished(out).iter().any(|other| other == run_id) {
        return Ok(());
    }
    if !faults.is_empty() && Seal::read(out, run_id)?.as_ref() != Some(&seal) {
        return compare(out, run_id, found);
    }
    found.n_sealed += seal.files.len();
    for fault in faults {
        let is_new = |known: &Damaged| known.path != fault.path;
        if found.damaged.iter().all(is_new) {
            let is_counted = fault.path.starts_with(out.join("tables")) && fault.path.exists();
            found.n_file += usize::from(!is_counted);
            found.damaged.push(fault);
        }
    }
    Ok(())
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
