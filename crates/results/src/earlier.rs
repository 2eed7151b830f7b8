//! Compares a run with the tables published by an earlier attempt.

use std::path::Path;

use batchlab_core::record::{RunRecord, Table};

use crate::read::{TableFile, path_of, records, verify};

/// Number of steps in the published tables of a run, if an earlier attempt got further than this
/// one, which was broken off with `n_row` rows of steps: the published tables are then kept. A run
/// that has ended for good is always published.
pub(crate) fn further(out: &Path, run: &RunRecord, n_row: u64) -> Option<i64> {
    if is_final(run) {
        return None;
    }
    // Damaged tables are no reason to withhold complete rows.
    verify(out, &run.run_id).ok()?;
    let mut n_step = None;
    records(out, &run.run_id, |row: RunRecord| n_step = row.n_step).ok()?;
    let steps = TableFile::open_if_there(&path_of(out, Table::Steps, &run.run_id)).ok()??;
    // Rows for timing only do not count as steps of a run.
    let published = (n_step?, steps.n_row().unsigned_abs());
    (published > (run.n_step.unwrap_or(0), n_row)).then_some(published.0)
}

/// Whether a run has ended in a way that it cannot be resumed from.
pub(crate) fn is_final(run: &RunRecord) -> bool {
    matches!(run.status.as_str(), "completed" | "nan")
}
