//! Reads every file under `tables/` completely, like any reader, and compares it with its published
//! checksum.

use std::path::Path;

use batchlab_core::record::Table;

use super::DamagedFile;
use crate::publish::unfinished;
use crate::read::{TableFile, list};
use crate::{Manifest, ResultsError};

/// What was checked and found.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) n_file: usize,
    pub(super) n_verified: usize,
    pub(super) damaged: Vec<DamagedFile>,
}

/// Reads the files under `tables/`, and verifies the checksums of published files.
pub(super) fn verify(out: &Path) -> Result<Findings, ResultsError> {
    let mut found = Findings::default();
    for table in Table::ALL {
        for path in list(&out.join("tables").join(table.name()))? {
            found.n_file += 1;
            if let Err(reason) = read(table, &path) {
                found.damaged.push(DamagedFile { path, reason });
            }
        }
    }
    // Only folders are runs; anything else was not published.
    for folder in list(&out.join("runs"))?.into_iter().filter(|path| path.is_dir()) {
        let run_id = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        compare(out, run_id, &mut found)?;
    }
    Ok(found)
}

/// Collects the files of a run that differ from the published ones.
fn compare(out: &Path, run_id: &str, found: &mut Findings) -> Result<(), ResultsError> {
    let manifest = match Manifest::read(out, run_id) {
        Ok(Some(manifest)) => manifest,
        Ok(None) => return Ok(()),
        Err(error) => {
            let path = out.join("runs").join(run_id).join("files.json");
            found.damaged.push(DamagedFile { path, reason: error.to_string() });
            return Ok(());
        }
    };
    if let Err(error) = manifest.check_owner(out, run_id) {
        let path = out.join("runs").join(run_id);
        found.damaged.push(DamagedFile { path, reason: error.to_string() });
        return Ok(());
    }
    let mut faults = Vec::new();
    for file in &manifest.files {
        let path = file.path.split('/').fold(out.to_owned(), |path, part| path.join(part));
        let fault = file.fault(out);
        faults.extend(fault.map(|reason| {
            let reason = format!("{reason} (compared with runs/{run_id}/files.json)");
            DamagedFile { path, reason }
        }));
    }
    // Files of a run that is being published, or that crashed while publishing, may belong to the
    // previous attempt. A run that has ended since must be checked again.
    if !faults.is_empty() && unfinished(out).iter().any(|other| other == run_id) {
        return Ok(());
    }
    if !faults.is_empty() && Manifest::read(out, run_id)?.as_ref() != Some(&manifest) {
        return compare(out, run_id, found);
    }
    found.n_verified += manifest.files.len();
    for fault in faults {
        let is_new = |known: &DamagedFile| known.path != fault.path;
        if found.damaged.iter().all(is_new) {
            let is_counted = fault.path.starts_with(out.join("tables")) && fault.path.exists();
            found.n_file += usize::from(!is_counted);
            found.damaged.push(fault);
        }
    }
    Ok(())
}

/// Reads a file completely.
fn read(table: Table, path: &Path) -> Result<(), String> {
    if path.extension().is_none_or(|extension| extension != "parquet") {
        return Err("it is not a Parquet file, and some readers open every file of a table".into());
    }
    let read = || {
        let file = TableFile::open(path)?;
        let (n_row, mut found) = (file.n_row(), 0);
        for rows in file.rows(table)? {
            found += rows?.num_rows() as i64;
        }
        Ok((n_row, found))
    };
    match read() {
        Ok((n_row, found)) if n_row == found => Ok(()),
        Ok((n_row, found)) => Err(format!("it has {found} of {n_row} rows")),
        // The reader of this message already knows the file and has run the doctor.
        Err(ResultsError::Damaged { reason, .. }) => Err(reason),
        Err(error) => Err(error.to_string()),
    }
}
