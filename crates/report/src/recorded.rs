//! Verdicts on times recorded by other programs, by the same procedure as all verdicts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use batchlab_core::record::RunRecord;
use batchlab_results::{Block, RunSummary, StepSummary, Times, Work};
use batchlab_stats::disturbed;

use crate::pairing::all_pairs;
use crate::verdict::{Unit, Verdict, verdicts};
use crate::{Questions, Results, Run, settings};

/// The time of one strategy in one block, or in a separate run.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedTime {
    /// Line of the file, or row of the table, for messages.
    pub line: u64,
    pub strategy: String,
    pub seconds: f64,
    /// Number of graphs (or other outputs) trained in this time.
    pub n_output: f64,
    pub replicate: Replicate,
}

/// The unit of replication to which a time belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replicate {
    /// The strategies of a cell were interleaved in blocks numbered from 1; blocks 2, 4, ... run
    /// them in the reverse order of the block before. Block 0 is the warm-up.
    Block { cell: String, number: i64 },
    /// A separate process. Times of one run are added up.
    Run(String),
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RecordedError {
    #[error("line {line}: {column} is {value}, but must be more than 0")]
    NotPositive { line: u64, column: &'static str, value: f64 },
    #[error("line {line}: there is a time of \"{strategy}\" in {place} already, in line {earlier}")]
    Twice { line: u64, earlier: u64, strategy: String, place: String },
    #[error("all times are of \"{0}\"; a verdict compares at least two strategies")]
    OneStrategy(String),
    #[error("there are no times")]
    Empty,
    #[error(
        "no two strategies have times in both blocks of a mirrored pair (1 and 2, 3 and 4, ...); train the \
         strategies in turns, in blocks numbered without gaps, or give a column `run` if each time is of a \
         process of its own"
    )]
    NoPairs,
}

/// Judges recorded times: by pairs if they are in blocks, by run otherwise.
///
/// # Errors
/// See [`RecordedError`].
pub fn verdict_of_times(
    times: &[RecordedTime],
    questions: &Questions,
) -> Result<Verdict, RecordedError> {
    let strategies: BTreeSet<&str> = times.iter().map(|time| time.strategy.as_str()).collect();
    match strategies.len() {
        0 => return Err(RecordedError::Empty),
        1 => return Err(RecordedError::OneStrategy(times[0].strategy.clone())),
        _ => {}
    }
    let results = Results { runs: runs(times)?, ..Results::default() };
    let verdict = verdicts(&settings(&results), questions).pop();
    let verdict = verdict.ok_or(RecordedError::NoPairs)?;
    let has_blocks = times.iter().any(|time| matches!(time.replicate, Replicate::Block { .. }));
    if has_blocks && matches!(verdict.unit, Unit::Runs { .. } | Unit::Seeds { .. }) {
        return Err(RecordedError::NoPairs);
    }
    // This program cannot train more pairs of them.
    Ok(Verdict { pair_s: None, ..verdict })
}

/// One run per strategy and cell, or per strategy and run.
fn runs(times: &[RecordedTime]) -> Result<Vec<Run>, RecordedError> {
    let mut by_run: BTreeMap<(&str, &str), Vec<&RecordedTime>> = BTreeMap::new();
    for time in times {
        for (column, value) in [("seconds", time.seconds), ("n_output", time.n_output)] {
            if !(value > 0.0 && value.is_finite()) {
                return Err(RecordedError::NotPositive { line: time.line, column, value });
            }
        }
        let place = match &time.replicate {
            Replicate::Block { cell, .. } => cell,
            Replicate::Run(run) => run,
        };
        by_run.entry((&time.strategy, place)).or_default().push(time);
    }
    let mut runs = by_run.into_values().map(|times| run(&times)).collect::<Result<Vec<_>, _>>()?;
    mark_disturbed(&mut runs);
    Ok(runs)
}

/// By the same rule as a sweep, cell by cell.
fn mark_disturbed(runs: &mut [Run]) {
    let cells: BTreeSet<String> = runs.iter().filter_map(|run| run.run.cell.clone()).collect();
    for cell in cells {
        let own = || runs.iter().filter(|run| run.run.cell.as_ref() == Some(&cell));
        let pairs = all_pairs(own().map(|run| &run.summary));
        let rows: Vec<Vec<[f64; 2]>> = pairs.iter().map(|(_, row)| row.clone()).collect();
        let found: Vec<i64> =
            disturbed(&rows).iter().map(|unusual| pairs[unusual.pair].0).collect();
        for run in runs.iter_mut().filter(|run| run.run.cell.as_ref() == Some(&cell)) {
            for block in &mut run.summary.steps.blocks {
                block.is_disturbed = found.contains(&block.pair());
            }
        }
    }
}

fn run(times: &[&RecordedTime]) -> Result<Run, RecordedError> {
    let first = times[0];
    let mut blocks: BTreeMap<i64, (&RecordedTime, Block)> = BTreeMap::new();
    for time in times {
        let Replicate::Block { number, .. } = time.replicate else { continue };
        let (ns, n_output) = (1e9 * time.seconds, time.n_output);
        let known = (ns, n_output);
        let block = Block { number, ns, n_step: 1.0, n_output, known, is_disturbed: false };
        if let Some((earlier, _)) = blocks.insert(number, (time, block)) {
            let (line, earlier) = (time.line, earlier.line);
            let (strategy, place) = (time.strategy.clone(), format!("block {number}"));
            return Err(RecordedError::Twice { line, earlier, strategy, place });
        }
    }
    let cell = match &first.replicate {
        Replicate::Block { cell, .. } => Some(cell.clone()),
        Replicate::Run(_) => None,
    };
    let counted = || times.iter().filter(|time| !is_warm_up(time));
    let ns: f64 = counted().map(|time| 1e9 * time.seconds).sum();
    let n_output: f64 = counted().map(|time| time.n_output).sum();
    let is_timed = n_output > 0.0;
    let steps = StepSummary {
        times: is_timed.then_some(Times {
            batching_mean: 0.0,
            update_mean: ns,
            combined_mean: ns,
            combined_median: ns,
        }),
        work: is_timed.then(|| Work {
            outputs_per_s: 1e9 * n_output / ns,
            outputs_per_step: n_output,
            edges_per_s: 0.0,
            node_fill: 1.0,
            edge_fill: 1.0,
            data_share: 0.0,
        }),
        blocks: blocks.into_values().map(|(_, block)| block).filter(|b| b.number > 0).collect(),
        ..StepSummary::default()
    };
    let record = RunRecord {
        // Cells are ordered as they appear in the input.
        run_id: format!("{:012}", first.line),
        status: "completed".into(),
        batcher: first.strategy.clone(),
        output: Some("graph".into()),
        cell,
        ..RunRecord::default()
    };
    Ok(Run::new(Path::new(""), RunSummary::new(record, steps, Vec::new())))
}

fn is_warm_up(time: &RecordedTime) -> bool {
    matches!(time.replicate, Replicate::Block { number: 0, .. })
}
