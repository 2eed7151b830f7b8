//! The runs of a cell: opened together, trained in turns.

use std::sync::atomic::Ordering;

use batchlab_config::Blocks;
use batchlab_run::{
    ActiveRun, Data, Ending, FinishedRun, Membership, Observer, RunError, RunHeader, RunOptions,
    Turn,
};

use crate::Cell;
use crate::blocks::{first_block, later_blocks, order};

pub trait CellObserver: Observer {
    /// A run of the cell begins its turn. `n_block` is known from block 1 on; `n_step` is what all
    /// runs of the cell have done together.
    fn turn(&self, _run: &RunHeader, _block: u64, _n_block: Option<u64>, _n_step: u64) {}
}

pub(crate) struct CellEnd {
    /// Steps in the blocks, beginning with block 0.
    pub(crate) blocks: Vec<u64>,
    /// Batcher and outcome of every run, in the order of the study.
    pub(crate) runs: Vec<(String, Outcome)>,
    pub(crate) is_interrupted: bool,
}

pub(crate) struct Outcome {
    /// `None` if it could not be opened.
    pub(crate) run_id: Option<String>,
    pub(crate) result: Result<FinishedRun, RunError>,
}

/// Trains the runs of a cell, block by block, and records them under a label. The others
/// continue when one fails.
///
/// # Errors
/// Data that cannot be loaded, and results that cannot be stored.
pub(crate) fn train_in_turns(
    cell: &Cell,
    label: &str,
    blocks: &Blocks,
    options: RunOptions<'_>,
    observer: &dyn CellObserver,
) -> Result<CellEnd, RunError> {
    let data = Data::load(&cell.runs[0], options.cache, observer)?;
    let membership = Membership {
        cell: label.to_owned(),
        repeat: cell.info.repeat,
        is_exclusive: blocks.exclusive,
    };
    let mut outcomes: Vec<Option<Outcome>> = Vec::new();
    let mut open: Vec<Option<ActiveRun<'_>>> = Vec::new();
    for loaded in &cell.runs {
        match ActiveRun::of_cell(loaded, &data, options, observer, &membership) {
            Ok(run) => {
                open.push(Some(run));
                outcomes.push(None);
            }
            Err(error) if error.is_storage() => return Err(error),
            Err(error) => {
                open.push(None);
                outcomes.push(Some(Outcome { run_id: None, result: Err(error) }));
            }
        }
    }
    let n_step = cell.info.n_step;
    let mut turns = Turns { open, outcomes, seed: seed(cell), n_turn: 0, options, observer };
    let first = first_block(blocks, n_step);
    turns.block(0, None, first)?;
    let mut lengths = vec![first];
    if let Some(step_s) = turns.fastest_step() {
        lengths.extend(later_blocks(blocks, n_step, step_s));
        let n_block = lengths.len() as u64;
        let mut goal = first;
        for (block, length) in (0..n_block).zip(&lengths).skip(1) {
            goal += length;
            turns.block(block, Some(n_block), goal)?;
        }
    }
    let labels = cell.info.batchers.iter().cloned();
    Ok(CellEnd {
        blocks: lengths,
        is_interrupted: options.interrupted.load(Ordering::Relaxed),
        runs: labels.zip(turns.outcomes.into_iter().flatten()).collect(),
    })
}

struct Turns<'a, 'b> {
    open: Vec<Option<ActiveRun<'a>>>,
    /// `None` for runs that have not ended.
    outcomes: Vec<Option<Outcome>>,
    seed: u64,
    n_turn: i64,
    options: RunOptions<'b>,
    observer: &'b dyn CellObserver,
}

impl Turns<'_, '_> {
    /// Trains every run until `goal`, and publishes those that have ended.
    fn block(&mut self, block: u64, n_block: Option<u64>, goal: u64) -> Result<(), RunError> {
        let mut ended: Vec<(usize, Result<Ending, RunError>)> = Vec::new();
        for run in order(self.seed, block, self.open.len()) {
            let n_step = self.open.iter().flatten().map(ActiveRun::n_step).sum();
            let Some(active) = &mut self.open[run] else { continue };
            self.observer.turn(active.header(), block, n_block, n_step);
            active.take_turn(Turn { block: block as i64, turn: self.n_turn });
            self.n_turn += 1;
            let outcome = active.advance(goal, self.options.interrupted, self.observer);
            if let Some(outcome) = outcome.transpose() {
                ended.push((run, outcome));
            }
        }
        for (run, outcome) in ended {
            if let Some(active) = self.open[run].take() {
                let run_id = Some(active.header().run_id.clone());
                let result = active.finish(outcome);
                match result {
                    Err(error) if error.is_storage() => return Err(error),
                    result => self.outcomes[run] = Some(Outcome { run_id, result }),
                }
            }
        }
        Ok(())
    }

    /// Time of a step of the fastest run that has not ended, in seconds.
    fn fastest_step(&self) -> Option<f64> {
        let runs = self.open.iter().flatten();
        runs.map(ActiveRun::step_seconds).min_by(f64::total_cmp)
    }
}

/// Every cell has its own orders, and the same ones again if it is trained again.
fn seed(cell: &Cell) -> u64 {
    let hash = cell.info.id.rsplit('-').next().unwrap_or_default();
    u64::from_str_radix(hash, 16).unwrap_or_default()
}
