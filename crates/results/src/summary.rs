//! One run, reduced to the numbers to compare.

mod new_shapes;
mod parts;
mod steps;

use std::collections::BTreeSet;
use std::path::Path;

use batchlab_core::record::{
    BlockRecord, EvalRecord, EventRecord, MetricRecord, RunRecord, SCHEMA_VERSION, StepRecord,
    Table,
};
use rayon::prelude::*;
use serde_json::Value;

use crate::ResultsError;
use crate::counted::Counted;
use crate::read::{DamagedRun, Published, path_of, records, stems, verify};
pub use new_shapes::NewShapes;
pub use parts::{DeviceTimes, Parts};
pub use steps::{Block, StepSummary, StepSums, Times, Work};

/// Kind of event that excludes a mirrored pair of blocks from comparisons.
pub const DISTURBED: &str = "disturbed";

/// A run: its row, its configuration, and the totals of its steps and evaluations.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSummary {
    /// The row of the run.
    pub run: RunRecord,
    /// The configuration, which the row contains as text.
    pub config: Value,
    /// Totals of the steps.
    pub steps: StepSummary,
    /// Evaluations in step order, one per state and subset, with the batcher that is common to all
    /// strategies.
    pub evals: Vec<EvalRecord>,
    /// State of the machine during the blocks of a run in a cell, in order.
    pub conditions: Vec<BlockRecord>,
}

impl RunSummary {
    /// Combines the parts.
    #[must_use]
    pub fn new(run: RunRecord, steps: StepSummary, mut evals: Vec<EvalRecord>) -> Self {
        evals.sort_by_key(|eval| eval.step);
        // A run that diverges at its first step, or continues after its last one, evaluates the
        // same state twice.
        let mut seen = BTreeSet::new();
        evals.retain(|eval| {
            seen.insert((eval.step, eval.subset.clone(), eval.eval_batcher.clone()))
        });
        let config = serde_json::from_str(&run.config).unwrap_or_default();
        evals.retain(|eval| {
            eval.eval_batcher.as_ref().is_none_or(|batcher| *batcher == run.evaluation_batcher)
        });
        Self { run, config, steps, evals, conditions: Vec::new() }
    }

    /// Reads one published run; `None` if its row is not published.
    ///
    /// # Errors
    /// A damaged file.
    pub fn read(dir: &Path, run_id: &str) -> Result<Option<Self>, ResultsError> {
        if !path_of(dir, Table::Runs, run_id).exists() {
            return Ok(None);
        }
        Ok(read_run(dir, run_id)?.0)
    }

    /// Reads all published runs of a study, in order of their names. Also returns the runs that are
    /// excluded because they are damaged, or because another attempt at their cell counts.
    ///
    /// # Errors
    /// A folder without results.
    pub fn read_all(dir: &Path) -> Result<(Vec<Self>, Published), ResultsError> {
        let counted = Counted::read(dir);
        let known = stems(dir)?;
        let all: Vec<_> = known.par_iter().map(|stem| (stem, read_run(dir, stem))).collect();
        let mut published = Published::default();
        let mut runs = Vec::new();
        for (stem, read) in all {
            let mut leave_out = |reason| {
                published.damaged.push(DamagedRun { stem: stem.clone(), reason });
            };
            let (run, is_verified) = match read {
                Ok(read) => read,
                Err(error) => {
                    leave_out(error.to_string());
                    continue;
                }
            };
            if let Some(run) = run {
                let cell = run.run.cell.as_deref();
                if let Some(cell) = cell.filter(|cell| counted.is_unfinished(cell)) {
                    published.unfinished.insert(cell.to_owned());
                }
                match why_not_counted(&counted, &run.run) {
                    None => runs.push(run),
                    Some(reason) => leave_out(reason),
                }
            }
            published.n_unverified += usize::from(!is_verified);
            published.stems.push(stem.clone());
        }
        for (cell, run_id) in counted.runs {
            if !known.contains(&run_id) {
                let reason = format!(
                    "cell {cell} is done with run {run_id}, whose results are gone; `batchlab sweep` with \
                     the study's file trains the cell again"
                );
                published.damaged.push(DamagedRun { stem: run_id, reason });
            }
        }
        Ok((runs, published))
    }

    /// Why its times cannot be compared with others, if so.
    #[must_use]
    pub fn untimed(&self) -> Option<Untimed> {
        if self.run.n_attempt.is_some_and(|n| n > 1) || self.run.parent.is_some() {
            return Some(Untimed::Resumed);
        }
        (self.run.is_exclusive == Some(false)).then_some(Untimed::SharedDevice)
    }
}

/// Why the times of a run cannot be compared with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Untimed {
    /// It was interrupted and resumed: its times come from several processes.
    Resumed,
    /// Other runs may have used its device.
    SharedDevice,
}

/// A run, `None` without a file in the `runs` table, and whether its tables have checksums.
fn read_run(dir: &Path, stem: &str) -> Result<(Option<RunSummary>, bool), ResultsError> {
    let is_verified = verify(dir, stem)?;
    let Some(run) = row_of(dir, stem)? else { return Ok((None, is_verified)) };
    let (mut sums, mut evals) = (StepSums::new(&run), Vec::new());
    let mut fault = None;
    let stranger = |run_id: &str| {
        let message = || format!("it contains rows of run {run_id}, not only of run {stem}");
        (run_id != stem).then(message)
    };
    records(dir, stem, |step: StepRecord| {
        if step.step_ns < 0 || step.n_output < 0 {
            fault = Some(format!("step {} has a time or a number of outputs below 0", step.step));
        }
        fault = fault.take().or_else(|| stranger(&step.run_id));
        sums.add(&step);
    })?;
    refuse(dir, Table::Steps, stem, fault.take())?;
    records(dir, stem, |eval: EvalRecord| {
        fault = fault.take().or_else(|| stranger(&eval.run_id));
        evals.push(eval);
    })?;
    refuse(dir, Table::Evals, stem, fault)?;
    if !is_verified {
        // These rows are not used, but damage is detected.
        records(dir, stem, |_: MetricRecord| {})?;
    }
    let (mut conditions, mut disturbed) = (Vec::new(), BTreeSet::new());
    records(dir, stem, |block: BlockRecord| conditions.push(block))?;
    records(dir, stem, |event: EventRecord| disturbed.extend(disturbed_pair(&event)))?;
    conditions.sort_by_key(|block| block.block);
    let mut summary = RunSummary::new(run, sums.summary(), evals);
    for block in &mut summary.steps.blocks {
        block.is_disturbed = disturbed.contains(&block.pair());
    }
    Ok((Some(RunSummary { conditions, ..summary }), is_verified))
}

/// The mirrored pair that an event marks as disturbed.
fn disturbed_pair(event: &EventRecord) -> Option<i64> {
    let is_one = event.kind == DISTURBED;
    let payload: Value = serde_json::from_str(event.payload.as_deref().filter(|_| is_one)?).ok()?;
    payload["pair"].as_i64()
}

/// The row of a run, if it has a file in the `runs` table.
///
/// # Errors
/// A file with the row of another run, or of another version.
pub(crate) fn row_of(dir: &Path, stem: &str) -> Result<Option<RunRecord>, ResultsError> {
    let (mut row, mut fault) = (None, None);
    records(dir, stem, |run: RunRecord| {
        fault = fault.take().or_else(|| fault_of_run(stem, &run));
        row = Some(run);
    })?;
    refuse(dir, Table::Runs, stem, fault)?;
    Ok(row)
}

/// Why a row cannot belong to the run whose file contains it.
fn fault_of_run(stem: &str, run: &RunRecord) -> Option<String> {
    if run.schema_version != SCHEMA_VERSION {
        return Some(format!(
            "it has schema version {}, but this program reads version {SCHEMA_VERSION}",
            run.schema_version
        ));
    }
    (run.run_id != stem).then(|| format!("its row is that of run {}", run.run_id))
}

/// Why a run does not count for its cell, if so.
fn why_not_counted(counted: &Counted, run: &RunRecord) -> Option<String> {
    let cell = run.cell.as_deref().filter(|_| run.status == "completed")?;
    (!counted.counts(cell)).then(|| "another attempt has finished the same cell".to_owned())
}

fn refuse(dir: &Path, table: Table, stem: &str, fault: Option<String>) -> Result<(), ResultsError> {
    match fault {
        Some(reason) => Err(ResultsError::damaged(&path_of(dir, table, stem), reason)),
        None => Ok(()),
    }
}
