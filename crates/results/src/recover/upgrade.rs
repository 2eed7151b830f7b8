//! Tables of an earlier version, rewritten in the present one.

use std::path::Path;

use batchlab_core::record::{RunRecord, SCHEMA_VERSION, Table};

use super::OlderRun;
use super::republish::republish;
use crate::read::{TableFile, path_of, records, stems};
use crate::{Publisher, ResultsError};

/// Finds the runs whose tables are of an earlier version; rewrites them if asked to.
pub(super) fn upgrade(out: &Path, rewrite: bool) -> Result<Vec<OlderRun>, ResultsError> {
    let stems = match stems(out) {
        Err(ResultsError::NoTables { .. }) => return Ok(Vec::new()),
        stems => stems?,
    };
    let mut older = Vec::new();
    for run_id in stems {
        // What cannot be opened is found when all files are read.
        let Ok(Some(file)) = TableFile::open_if_there(&path_of(out, Table::Runs, &run_id)) else {
            continue;
        };
        let version = file.version();
        if version >= SCHEMA_VERSION {
            continue;
        }
        let rewritten = if rewrite { Some(rewrite_run(out, &run_id)) } else { None };
        older.push(OlderRun {
            run_id,
            version,
            is_upgraded: matches!(rewritten, Some(Ok(()))),
            error: rewritten.and_then(Result::err).map(|error| error.to_string()),
        });
    }
    Ok(older)
}

fn rewrite_run(out: &Path, run_id: &str) -> Result<(), ResultsError> {
    let mut runs: Vec<RunRecord> = Vec::new();
    records(out, run_id, |run| runs.push(run))?;
    let [run] = &runs[..] else {
        let reason = format!("it holds {} runs; import them again", runs.len());
        return Err(ResultsError::damaged(&path_of(out, Table::Runs, run_id), reason));
    };
    let publisher = Publisher::lock(out, run_id)?;
    republish(&publisher, run, |writers| {
        for table in Table::ALL.into_iter().filter(|table| *table != Table::Runs) {
            if let Some(file) = TableFile::open_if_there(&path_of(out, table, run_id))? {
                for rows in file.rows(table)? {
                    writers.write_all(&[(table, rows?)])?;
                }
            }
        }
        Ok(())
    })?;
    publisher.close(false)
}
