//! What the tables of a run hold of an earlier attempt.

use std::path::Path;

use batchlab_core::record::{RunRecord, Table};

use crate::read::{TableFile, path_of, records, verify};

/// The steps in the tables of a run, if an earlier attempt came further than this one, which has broken
/// off with so many rows of steps: what is published stays. What a run says that has ended for good is
/// published in any case.
pub(crate) fn further(out: &Path, run: &RunRecord, n_row: u64) -> Option<i64> {
    if is_final(run) {
        return None;
    }
    // Damaged tables are no reason to keep whole rows back.
    verify(out, &run.run_id).ok()?;
    let mut n_step = None;
    records(out, &run.run_id, |row: RunRecord| n_step = row.n_step).ok()?;
    let steps = TableFile::open_if_there(&path_of(out, Table::Steps, &run.run_id)).ok()??;
    // Rows for timing alone are not among the steps of a run.
    let published = (n_step?, steps.n_row().unsigned_abs());
    (published > (run.n_step.unwrap_or(0), n_row)).then_some(published.0)
}

/// Whether a run has ended in a way after which it cannot go on.
pub(crate) fn is_final(run: &RunRecord) -> bool {
    matches!(run.status.as_str(), "completed" | "nan")
}
