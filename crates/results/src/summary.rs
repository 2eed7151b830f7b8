//! One run, reduced to the numbers to compare.

mod new_shapes;
mod parts;
mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use batchlab_core::record::{
    BlockRecord, EvalRecord, EventRecord, MetricRecord, RunRecord, SCHEMA_VERSION, StepRecord,
    Table,
};
use rayon::prelude::*;
use serde_json::Value;

use crate::counted::Counted;
use crate::read::{DamagedRun, Published, path_of, records, stems, verify};
use crate::{ResultsError, manifest};
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
    /// Evaluations with the strategy's own batcher.
    pub own_evals: Vec<EvalRecord>,
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
        let is_common = |eval: &EvalRecord| {
            eval.eval_batcher.as_ref().is_none_or(|batcher| *batcher == run.evaluation_batcher)
        };
        let (evals, own_evals) = evals.into_iter().partition(is_common);
        Self { run, config, steps, evals, own_evals, conditions: Vec::new() }
    }

    /// Reads one published run; `None` if its row is not published.
    ///
    /// # Errors
    /// A damaged file.
    pub fn read(dir: &Path, run_id: &str) -> Result<Option<Self>, ResultsError> {
        if !path_of(dir, Table::Runs, run_id).exists() {
            return Ok(None);
        }
        Ok(read_stem(dir, run_id)?.0.remove(run_id))
    }

    /// Reads all published runs of a study, each with the name of its file, in order of file name.
    /// Also returns the runs that are excluded because they are damaged, or because another attempt
    /// at their cell counts.
    ///
    /// # Errors
    /// A folder without results.
    pub fn read_all(dir: &Path) -> Result<(Vec<(String, Self)>, Published), ResultsError> {
        let counted = Counted::read(dir);
        let known = stems(dir)?;
        let all: Vec<_> = known.par_iter().map(|stem| (stem, read_stem(dir, stem))).collect();
        let mut published = Published::default();
        let mut runs: Vec<(String, Self)> = Vec::new();
        for (stem, read) in all {
            let mut leave_out = |reason| {
                published.damaged.push(DamagedRun { stem: stem.clone(), reason });
            };
            let (of_stem, is_verified) = match read {
                Ok(read) => read,
                Err(error) => {
                    leave_out(error.to_string());
                    continue;
                }
            };
            for run in of_stem.into_values() {
                let cell = run.run.cell.as_deref();
                if let Some(cell) = cell.filter(|cell| counted.is_unfinished(cell)) {
                    published.unfinished.insert(cell.to_owned());
                }
                match why_not_counted(&counted, &run.run) {
                    None => runs.push((stem.clone(), run)),
                    Some(reason) => leave_out(reason),
                }
            }
            published.n_unverified += usize::from(!is_verified);
            published.stems.push(stem.clone());
        }
        for (cell, run_id) in counted.runs {
            if !known.contains(&run_id) && runs.iter().all(|(_, run)| run.run.run_id != run_id) {
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

/// The rows read from a run.
struct Rows {
    run: RunRecord,
    sums: StepSums,
    evals: Vec<EvalRecord>,
    conditions: Vec<BlockRecord>,
    /// Disturbed mirrored pairs of blocks, numbered from 1.
    disturbed: BTreeSet<i64>,
}

/// The runs of one file of the `runs` table, usually one, and whether its tables have checksums. If
/// there is no such file, rows of other tables are skipped.
fn read_stem(dir: &Path, stem: &str) -> Result<(BTreeMap<String, RunSummary>, bool), ResultsError> {
    let is_verified = verify(dir, stem)?;
    let mut runs: BTreeMap<String, Rows> = BTreeMap::new();
    let mut fault = None;
    records(dir, stem, |run: RunRecord| {
        fault = fault.take().or_else(|| fault_of_run(dir, stem, &run));
        let sums = StepSums::new(&run);
        let rows = Rows {
            run,
            sums,
            evals: Vec::new(),
            conditions: Vec::new(),
            disturbed: BTreeSet::new(),
        };
        runs.insert(rows.run.run_id.clone(), rows);
    })?;
    refuse(dir, Table::Runs, stem, fault.take())?;
    records(dir, stem, |step: StepRecord| {
        if step.step_ns < 0 || step.n_output < 0 {
            fault = Some(format!("step {} has a time or a number of outputs below 0", step.step));
        }
        match runs.get_mut(&step.run_id) {
            Some(rows) => rows.sums.add(&step),
            None => fault = fault.take().or_else(|| stranger(&runs, &step.run_id)),
        }
    })?;
    refuse(dir, Table::Steps, stem, fault.take())?;
    records(dir, stem, |eval: EvalRecord| match runs.get_mut(&eval.run_id) {
        Some(rows) => rows.evals.push(eval),
        None => fault = fault.take().or_else(|| stranger(&runs, &eval.run_id)),
    })?;
    refuse(dir, Table::Evals, stem, fault.take())?;
    if !is_verified {
        // These rows are not used, but damage is detected.
        records(dir, stem, |_: MetricRecord| {})?;
    }
    records(dir, stem, |block: BlockRecord| {
        if let Some(rows) = runs.get_mut(&block.run_id) {
            rows.conditions.push(block);
        }
    })?;
    records(dir, stem, |event: EventRecord| {
        if let (Some(rows), Some(pair)) = (runs.get_mut(&event.run_id), disturbed_pair(&event)) {
            rows.disturbed.insert(pair);
        }
    })?;
    let summary = |(run_id, Rows { run, sums, evals, mut conditions, disturbed })| {
        conditions.sort_by_key(|block| block.block);
        let mut summary = RunSummary::new(run, sums.summary(), evals);
        for block in &mut summary.steps.blocks {
            block.is_disturbed = disturbed.contains(&block.pair());
        }
        (run_id, RunSummary { conditions, ..summary })
    };
    Ok((runs.into_iter().map(summary).collect(), is_verified))
}

/// The mirrored pair that an event marks as disturbed.
fn disturbed_pair(event: &EventRecord) -> Option<i64> {
    let is_one = event.kind == DISTURBED;
    let payload: Value = serde_json::from_str(event.payload.as_deref().filter(|_| is_one)?).ok()?;
    payload["pair"].as_i64()
}

/// Error message for a row of a run that is not in the file of the `runs` table; that file may be
/// missing.
fn stranger(runs: &BTreeMap<String, Rows>, run_id: &str) -> Option<String> {
    let own = runs.keys().next()?;
    Some(format!("it contains rows of run {run_id} in addition to those of run {own}"))
}

/// Checks the rows of a file of the `runs` table only.
///
/// # Errors
/// A row of a run that cannot belong to this file.
pub(crate) fn check_runs(dir: &Path, stem: &str) -> Result<(), ResultsError> {
    let mut fault = None;
    records(dir, stem, |run: RunRecord| {
        fault = fault.take().or_else(|| fault_of_run(dir, stem, &run));
    })?;
    refuse(dir, Table::Runs, stem, fault)
}

/// Why a row cannot belong to the run whose file contains it.
fn fault_of_run(dir: &Path, stem: &str, run: &RunRecord) -> Option<String> {
    if run.schema_version != SCHEMA_VERSION {
        return Some(format!(
            "it has schema version {}, but this program reads version {SCHEMA_VERSION}",
            run.schema_version
        ));
    }
    // Unmodified files may contain any runs, including copies of others.
    let folder_of = |name: &str| dir.join("runs").join(name);
    let is_copy = run.run_id != stem
        && !folder_of(stem).join(manifest::NAME).exists()
        && folder_of(&run.run_id).is_dir();
    is_copy.then(|| format!("its row is that of run {}", run.run_id))
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
