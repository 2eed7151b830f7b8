//! The time and disk space that a study will take, measured with a few steps of every kind of run.

use std::time::Duration;

use batchlab_run::{Cache, Measured, Observer, measure};

use super::{Cell, Study};

/// Each kind of run is measured for this time, and for one step at least.
const TRIAL: Duration = Duration::from_millis(400);

/// Bytes of a row of the table `steps` in Parquet: 15 to 30 were measured.
const STEP_BYTES: u64 = 30;
/// Bytes of the five files of a run without their rows, and of its configuration.
const RUN_BYTES: u64 = 50_000;

#[derive(Debug, Clone, PartialEq)]
pub struct CellEstimate {
    /// For each run its batcher, and what was measured or why it could not be.
    pub runs: Vec<(String, Result<Measured, String>)>,
    /// Seconds of training and evaluation of the runs that could be measured.
    pub seconds: f64,
    pub n_byte: u64,
}

/// Estimates every cell, in the order of the study. Repetitions are taken to last as long as the
/// first one.
#[must_use]
pub fn estimate(study: &Study, cache: &Cache, observer: &dyn Observer) -> Vec<CellEstimate> {
    // Every repetition has the same cells in the same order.
    let is_first = |cell: &&Cell| cell.info.repeat == 0;
    let first: Vec<CellEstimate> =
        study.cells.iter().filter(is_first).map(|cell| of_cell(cell, cache, observer)).collect();
    first.iter().cycle().take(study.cells.len()).cloned().collect()
}

fn of_cell(cell: &Cell, cache: &Cache, observer: &dyn Observer) -> CellEstimate {
    let batchers = cell.info.batchers.iter().cloned();
    let runs: Vec<(String, Result<Measured, String>)> =
        match measure(&cell.runs, cache, observer, TRIAL) {
            Ok(measured) => {
                batchers.zip(measured.into_iter().map(|m| m.map_err(|e| e.to_string()))).collect()
            }
            Err(error) => batchers.map(|batcher| (batcher, Err(error.to_string()))).collect(),
        };
    let n_run = runs.len() as u64;
    CellEstimate {
        seconds: runs.iter().filter_map(|(_, m)| Some(m.as_ref().ok()?.run_s)).sum(),
        n_byte: n_run * (RUN_BYTES + STEP_BYTES * cell.info.n_step),
        runs,
    }
}
