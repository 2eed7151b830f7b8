//! Estimates the time, disk space and detectable difference of a study from a few steps of every
//! kind of run.

use std::time::Duration;

use batchlab_config::Blocks;
use batchlab_run::{Cache, Measured, Observer, measure};

use super::blocks::{StoppingRule, first_block, later_blocks, least_steps};
use super::look::Scatter;
use super::{Cell, Study};

/// A kind of run is measured in turns of this length (at least one step), for `TRIAL` in total.
const TURN: Duration = Duration::from_millis(50);
const TRIAL: Duration = Duration::from_millis(400);
/// In a study with many kinds of runs, turns are shortened so that one turn of all kinds takes
/// about this time.
const TURNS: Duration = Duration::from_millis(125);

/// Bytes per row of the `steps` table in Parquet: 15 to 30 were measured.
const STEP_BYTES: u64 = 30;
/// Bytes of a run's six files without rows, and of its configuration.
const RUN_BYTES: u64 = 60_000;

#[derive(Debug, Clone, PartialEq)]
pub struct CellEstimate {
    /// For each run its batcher and its measurement, or the error.
    pub runs: Vec<(String, Result<Estimated, String>)>,
    /// Number of mirrored pairs of blocks.
    pub n_pair: u64,
    /// The relative difference between two strategies that these pairs detect with 80 % power.
    /// `None`: there is nothing to compare, or steps are too slow to estimate it from a few of
    /// them.
    pub difference: Option<f64>,
    /// Training and evaluation time in seconds of the runs that could be measured.
    pub seconds: f64,
    pub n_byte: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimated {
    /// Time of a step whose padded shape was used before.
    pub step_s: f64,
    pub n_step: u64,
    /// Time of the whole run including evaluations, in seconds.
    pub run_s: f64,
}

/// Estimates the waiting cells, in study order; `None` for the others. All repetitions are assumed
/// to take equally long.
#[must_use]
pub fn estimate(
    study: &Study,
    is_waiting: &[bool],
    ci_width: Option<f64>,
    cache: &Cache,
    observer: &dyn Observer,
) -> Vec<Option<CellEstimate>> {
    // Every repetition has the same cells in the same order.
    let n_cell = study.cells.iter().filter(|cell| cell.info.repeat == 0).count().max(1);
    let mut known: Vec<Option<CellEstimate>> = vec![None; n_cell];
    let n_run: usize = waiting(study, is_waiting).map(|cell| cell.runs.len()).sum();
    let turn = TURN.min(TURNS / u32::try_from(n_run.max(1)).unwrap_or(u32::MAX));
    let estimate = |(place, (cell, &is_waiting)): (usize, (&Cell, &bool))| {
        is_waiting.then(|| {
            let known = &mut known[place % n_cell];
            let of_cell = || of_cell(cell, &study.blocks, ci_width, turn, cache, observer);
            known.get_or_insert_with(of_cell).clone()
        })
    };
    study.cells.iter().zip(is_waiting).enumerate().map(estimate).collect()
}

/// The cells to measure: of the waiting cells, those of the first repetition.
fn waiting<'a>(study: &'a Study, is_waiting: &'a [bool]) -> impl Iterator<Item = &'a Cell> {
    let cells = study.cells.iter().zip(is_waiting);
    cells.filter(|(cell, is_waiting)| cell.info.repeat == 0 && **is_waiting).map(|(cell, _)| cell)
}

fn of_cell(
    cell: &Cell,
    blocks: &Blocks,
    ci_width: Option<f64>,
    turn: Duration,
    cache: &Cache,
    observer: &dyn Observer,
) -> CellEstimate {
    let most = TRIAL * u32::try_from(cell.runs.len()).unwrap_or(u32::MAX);
    let measured: Vec<Result<Measured, String>> =
        match measure(&cell.runs, cache, observer, turn, most) {
            Ok(measured) => measured.into_iter().map(|m| m.map_err(|e| e.to_string())).collect(),
            Err(error) => cell.runs.iter().map(|_| Err(error.to_string())).collect(),
        };
    let rule = StoppingRule::of(cell, blocks, ci_width);
    let Course { n_step, n_pair, difference } = Course::of(cell, blocks, rule, &measured);
    // Without steps beyond them, epochs have a different number of steps for each strategy.
    let is_own_epochs = rule == StoppingRule::Planned && cell.info.n_step == 0;
    let run = |measured: Result<Measured, String>| {
        measured.map(|run| {
            let n_step = if is_own_epochs { run.n_step } else { n_step };
            Estimated { step_s: run.step_s, n_step, run_s: run.seconds(n_step) }
        })
    };
    let batchers = cell.info.batchers.iter().cloned();
    let runs: Vec<(String, Result<Estimated, String>)> =
        batchers.zip(measured.into_iter().map(run)).collect();
    let estimated = || runs.iter().filter_map(|(_, run)| run.as_ref().ok());
    let n_step_all: u64 = estimated().map(|run| run.n_step).sum();
    CellEstimate {
        seconds: estimated().map(|run| run.run_s).sum(),
        n_byte: STEP_BYTES
            .saturating_mul(n_step_all)
            .saturating_add(RUN_BYTES.saturating_mul(runs.len() as u64)),
        n_pair,
        difference,
        runs,
    }
}

/// How long the runs of a cell train.
struct Course {
    /// Steps of each run, including those for timing only.
    n_step: u64,
    n_pair: u64,
    difference: Option<f64>,
}

impl Course {
    fn of(
        cell: &Cell,
        blocks: &Blocks,
        rule: StoppingRule,
        measured: &[Result<Measured, String>],
    ) -> Self {
        let measured: Vec<&Measured> = measured.iter().flatten().collect();
        let Some(step_s) = measured.iter().map(|run| run.step_s).min_by(f64::total_cmp) else {
            return Self { n_step: cell.info.n_step, n_pair: 0, difference: None };
        };
        // For epochs, the number for the strategy with the most steps per epoch.
        let n_step = match cell.info.n_step {
            0 => measured.iter().map(|run| run.n_step).max().unwrap_or(0),
            n_step => n_step,
        };
        let (first, least) = (first_block(cell, blocks, rule), least_steps(blocks, step_s));
        let scatter = scatter(&measured);
        let has_looks = matches!(rule, StoppingRule::Width(_));
        let n_pair = match (rule, scatter) {
            (StoppingRule::Width(width), Some(scatter)) => scatter.look_for(width),
            _ => rule.least_pairs(),
        };
        let lengths = later_blocks(n_step.saturating_sub(first), n_pair, least);
        let n_pair = lengths.len() as u64 / 2;
        Self {
            n_step: first + lengths.iter().sum::<u64>(),
            n_pair,
            difference: scatter.and_then(|scatter| scatter.detectable(n_pair, has_looks)),
        }
    }
}

/// Variation between pairs of turns in the trial. Pairs of longer blocks would vary less if
/// neighbouring steps were independent, but disturbances of a machine last for seconds.
fn scatter(measured: &[&Measured]) -> Option<Scatter> {
    let n_turn = measured.iter().map(|run| run.turns.len()).min()?;
    let log = |run: &Measured, turn: usize| {
        let turn = run.turns[turn];
        (turn.seconds / turn.n_output.max(1.0)).ln()
    };
    let row = |pair: usize| {
        let mean = |run: &&Measured| f64::midpoint(log(run, 2 * pair), log(run, 2 * pair + 1));
        measured.iter().map(mean).collect()
    };
    Scatter::of(&(0..n_turn / 2).map(row).collect::<Vec<Vec<f64>>>())
}
