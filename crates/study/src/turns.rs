//! The runs of a cell: opened together, trained in turns.

use std::sync::atomic::Ordering;
use std::time::Instant;

use batchlab_config::Blocks;
use batchlab_results::Block;
use batchlab_run::{
    ActiveRun, Data, Ending, FinishedRun, Membership, Observer, RunError, RunHeader, RunOptions,
    Turn,
};
use batchlab_stats::disturbed;

use crate::Cell;
use crate::blocks::{StoppingRule, first_block, later_blocks, least_steps, order, with_repeated};
use crate::look::{FEWEST, InterimAnalysis, LOOKS, Scatter, look, next_look};

pub trait CellObserver: Observer {
    /// A run of the cell begins its turn.
    fn turn(&self, _run: &RunHeader, _at: &CellProgress) {}
    /// A few pairs have been measured, from which the variation of times is known.
    fn scattered(&self, _outlook: &Outlook) {}
    /// The pairs so far have been analysed to decide whether the cell continues. `batchers` belong
    /// to the columns of `look`.
    fn looked(&self, _look: &InterimAnalysis, _batchers: &[&str]) {}
}

/// Progress of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CellProgress {
    pub block: u64,
    /// Known from block 1 on; it can grow under a width-based stopping rule.
    pub n_block: Option<u64>,
    /// Steps done by all runs of the cell together.
    pub n_step: u64,
    /// Steps that they will have done together after these blocks.
    pub n_step_all: u64,
}

/// Expected result of a cell's pairs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outlook {
    /// Final number of pairs; approximate under a width-based stopping rule.
    pub n_pair: u64,
    /// Whether the stopping rule is width-based.
    pub stops_at_ci_width: bool,
    /// Steps of a run per block.
    pub n_step: u64,
    /// The relative difference that they detect with 80 % power.
    pub difference: f64,
}

pub(crate) struct CellEnd {
    /// Steps per block, starting with block 0.
    pub(crate) blocks: Vec<u64>,
    /// Batcher and outcome of every run, in study order.
    pub(crate) runs: Vec<(String, Outcome)>,
    pub(crate) is_interrupted: bool,
    /// Whether the deadline came before the last pair.
    pub(crate) is_cut_short: bool,
}

pub(crate) struct Outcome {
    /// `None` if it could not be opened.
    pub(crate) run_id: Option<String>,
    pub(crate) result: Result<FinishedRun, RunError>,
}

/// How long a cell is trained.
#[derive(Clone, Copy)]
pub(crate) struct Length<'a> {
    pub(crate) blocks: &'a Blocks,
    pub(crate) rule: StoppingRule,
    /// Whether the times can be compared.
    pub(crate) is_exclusive: bool,
    /// No pair for timing only begins after this time.
    pub(crate) deadline: Option<Instant>,
}

/// Trains the runs of a cell, block by block, and records them under a label. If one fails, the
/// others continue. If `superseded` finally reports that another process has taken over, the runs
/// are recorded as interrupted.
///
/// # Errors
/// Data that cannot be loaded, and results that cannot be stored.
pub(crate) fn train_in_turns(
    cell: &Cell,
    label: &str,
    length: Length<'_>,
    options: RunOptions<'_>,
    superseded: &dyn Fn() -> Option<String>,
    observer: &dyn CellObserver,
) -> Result<CellEnd, RunError> {
    RunError::require_open_files(cell.runs.len())?;
    let data = Data::load(&cell.runs[0], options.cache, observer)?;
    let has_looks = matches!(length.rule, StoppingRule::Width(_));
    let membership = Membership {
        cell: label.to_owned(),
        repeat: cell.info.repeat,
        n_repeat: cell.n_repeat,
        is_exclusive: length.is_exclusive,
        n_look: if has_looks { LOOKS.len() as u32 } else { 0 },
    };
    let mut outcomes: Vec<Option<Outcome>> = Vec::new();
    let mut open: Vec<Option<ActiveRun<'_>>> = Vec::new();
    for loaded in &cell.runs {
        match ActiveRun::of_cell(loaded, &data, options, observer, &membership) {
            Ok(run) => {
                open.push(Some(run));
                outcomes.push(None);
            }
            Err(error) if error.is_storage() => {
                open.into_iter().flatten().for_each(ActiveRun::discard);
                return Err(error.with_remedy(cell.runs.len()));
            }
            Err(error) => {
                open.push(None);
                outcomes.push(Some(Outcome { run_id: None, result: Err(error) }));
            }
        }
    }
    let mut turns = Turns {
        cell,
        open,
        outcomes,
        done: Vec::new(),
        n_turn: 0,
        is_timed_beyond: length.rule != StoppingRule::Planned,
        is_cut_short: false,
        options,
        observer,
    };
    turns.train(length)?;
    match superseded() {
        None => {
            turns.record_disturbed();
            turns.complete()?;
        }
        Some(reason) => turns.give_up(&reason)?,
    }
    let labels = cell.info.batchers.iter().cloned();
    Ok(CellEnd {
        is_cut_short: turns.is_cut_short,
        blocks: turns.done,
        is_interrupted: options.interrupted.load(Ordering::Relaxed),
        runs: labels.zip(turns.outcomes.into_iter().flatten()).collect(),
    })
}

/// A mirrored pair excluded from comparisons.
struct Disturbed {
    /// Index, from 1.
    pair: u64,
    reason: String,
}

struct Turns<'a, 'b> {
    cell: &'a Cell,
    open: Vec<Option<ActiveRun<'a>>>,
    /// `None` for runs that have not ended.
    outcomes: Vec<Option<Outcome>>,
    /// Steps of each run in the blocks so far.
    done: Vec<u64>,
    n_turn: i64,
    /// Whether runs continue for timing only when all requested steps are done.
    is_timed_beyond: bool,
    is_cut_short: bool,
    options: RunOptions<'b>,
    observer: &'b dyn CellObserver,
}

impl Turns<'_, '_> {
    fn train(&mut self, Length { blocks, rule, deadline, .. }: Length<'_>) -> Result<(), RunError> {
        self.block(&[first_block(self.cell, blocks, rule)], None)?;
        // The warm-up contains the very first steps; the first pair estimates step times better.
        let mut least = least_steps(blocks, self.fastest_step());
        let mut n_pair = rule.least_pairs();
        while self.open.iter().any(Option::is_some) {
            let n_left = if self.open.iter().flatten().all(ActiveRun::is_complete) {
                0
            } else if self.cell.info.n_step == 0 {
                // Epochs with a different number of steps for each strategy: pair by pair until all
                // are done.
                2 * least
            } else {
                self.cell.info.n_step.saturating_sub(self.n_step())
            };
            let lengths = later_blocks(n_left, n_pair.saturating_sub(self.n_pair()), least);
            if lengths.is_empty() {
                let Some(more) = self.next_goal(rule) else { break };
                n_pair = more;
                continue;
            }
            if n_left == 0 && deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                self.is_cut_short = true;
                break;
            }
            let n_block = (self.done.len() + lengths.len()) as u64;
            for place in 0..lengths.len().min(2) {
                self.block(&lengths[place..], Some(n_block))?;
            }
            match self.n_pair() {
                1 => least = least_steps(blocks, self.fastest_step()),
                FEWEST => self.tell_outlook(rule, n_block / 2),
                _ => {}
            }
        }
        Ok(())
    }

    /// Trains the first of these blocks with every run, and publishes the runs that have ended.
    fn block(&mut self, lengths: &[u64], n_block: Option<u64>) -> Result<(), RunError> {
        let block = self.done.len() as u64;
        let (before, goal) = (self.n_step(), self.n_step() + lengths[0]);
        let mut ended: Vec<(usize, Result<Ending, RunError>)> = Vec::new();
        for run in order(seed(self.cell), block, self.open.len()) {
            let n_open = self.open.iter().flatten().count() as u64;
            let n_step = self.open.iter().flatten().map(ActiveRun::n_step).sum();
            let Some(active) = &mut self.open[run] else { continue };
            let n_step_all = n_open * (before + lengths.iter().sum::<u64>());
            let place = CellProgress { block, n_block, n_step, n_step_all };
            self.observer.turn(active.header(), &place);
            let turn = Turn { block: block as i64, turn: self.n_turn };
            self.n_turn += 1;
            let interrupted = self.options.interrupted;
            let outcome =
                active.take_turn(turn, goal, self.is_timed_beyond, interrupted, self.observer);
            if let Some(outcome) = outcome.transpose() {
                ended.push((run, outcome));
            }
        }
        self.done.push(lengths[0]);
        ended.into_iter().try_for_each(|(run, outcome)| self.finish(run, outcome))
    }

    /// Publishes the runs that have done everything requested.
    fn complete(&mut self) -> Result<(), RunError> {
        (0..self.open.len()).try_for_each(|run| self.finish(run, Ok(Ending::COMPLETED)))
    }

    /// Publishes the runs as interrupted because another process has taken over the cell.
    fn give_up(&mut self, reason: &str) -> Result<(), RunError> {
        let ending = || Ending::interrupted(reason.to_owned());
        (0..self.open.len()).try_for_each(|run| self.finish(run, Ok(ending())))
    }

    fn finish(&mut self, run: usize, outcome: Result<Ending, RunError>) -> Result<(), RunError> {
        let Some(active) = self.open[run].take() else { return Ok(()) };
        let run_id = Some(active.header().run_id.clone());
        match active.finish(outcome) {
            Err(error) if error.is_storage() => Err(error),
            result => {
                self.outcomes[run] = Some(Outcome { run_id, result });
                Ok(())
            }
        }
    }

    /// Steps of each run.
    fn n_step(&self) -> u64 {
        self.done.iter().sum()
    }

    fn n_pair(&self) -> u64 {
        self.done.len().saturating_sub(1) as u64 / 2
    }

    /// Step time of the fastest run in its last turn, in seconds.
    fn fastest_step(&self) -> f64 {
        let runs = self.open.iter().flatten();
        runs.map(ActiveRun::step_seconds).min_by(f64::total_cmp).unwrap_or(0.0)
    }

    /// The new number of pairs, if the requested ones are not enough.
    fn next_goal(&self, rule: StoppingRule) -> Option<u64> {
        let n_pair = self.n_pair();
        let width = match rule {
            StoppingRule::Width(width) => width,
            StoppingRule::Planned => return None,
            StoppingRule::Pairs(n_asked) => {
                let disturbed = self.disturbed();
                let goal = with_repeated(n_asked, n_pair, disturbed.len() as u64)?;
                for Disturbed { pair, reason } in &disturbed {
                    let message = format!("note: pair {pair} is repeated: {reason}");
                    self.observer.progress().note(&message);
                }
                return Some(goal);
            }
        };
        if !LOOKS.contains(&n_pair) {
            return next_look(n_pair);
        }
        let rows = self.rows();
        if rows.first().is_none_or(|row| row.len() < 2) {
            return None;
        }
        if let Some(look) = look(&rows) {
            let open = self.open.iter().zip(&self.cell.info.batchers);
            let batchers: Vec<&str> =
                open.filter(|(run, _)| run.is_some()).map(|(_, name)| name.as_str()).collect();
            self.observer.looked(&look, &batchers);
            if look.half_width <= width {
                return None;
            }
        }
        next_look(n_pair)
    }

    fn tell_outlook(&self, rule: StoppingRule, n_pair: u64) {
        let Some(scatter) = Scatter::of(&self.rows()) else { return };
        let (n_pair, stops_at_ci_width) = match rule {
            StoppingRule::Width(width) => (scatter.look_for(width).max(n_pair), true),
            StoppingRule::Planned | StoppingRule::Pairs(_) => (n_pair, false),
        };
        if let Some(difference) = scatter.detectable(n_pair, stops_at_ci_width) {
            let n_step = self.done.last().copied().unwrap_or_default();
            self.observer.scattered(&Outlook { n_pair, stops_at_ci_width, n_step, difference });
        }
    }

    /// Undisturbed mirrored pairs in chronological order: for each active run, the mean of two
    /// logarithms of the time per output.
    fn rows(&self) -> Vec<Vec<f64>> {
        let disturbed = self.disturbed();
        let is_quiet = |pair: u64| disturbed.iter().all(|disturbed| disturbed.pair != pair);
        let pairs =
            self.pairs(Block::ns_per_output).into_iter().filter(|(pair, _)| is_quiet(*pair));
        let mean = |[first, second]: [f64; 2]| f64::midpoint(first, second);
        pairs.map(|(_, row)| row.into_iter().map(mean).collect()).collect()
    }

    /// For each active run, the logarithms of a quantity in both blocks of every pair, with the
    /// pair's index, from 1.
    fn pairs(&self, of: fn(&Block) -> f64) -> Vec<(u64, Vec<[f64; 2]>)> {
        let log = |run: &ActiveRun<'_>, block: u64| Some(of(&run.block(block as i64)?).ln());
        let both = |pair: u64, run| Some([log(run, 2 * pair - 1)?, log(run, 2 * pair)?]);
        let row = |pair| {
            let of_runs = self.open.iter().flatten().map(|run| both(pair, run));
            Some((pair, of_runs.collect::<Option<Vec<_>>>()?))
        };
        (1..=self.n_pair()).filter_map(row).collect()
    }

    fn disturbed(&self) -> Vec<Disturbed> {
        let (numbers, rows): (Vec<u64>, Vec<_>) =
            self.pairs(Block::known_ns_per_output).into_iter().unzip();
        let open = self.open.iter().zip(&self.cell.info.batchers);
        let batchers: Vec<&str> =
            open.filter(|(run, _)| run.is_some()).map(|(_, name)| name.as_str()).collect();
        let found = disturbed(&rows).into_iter().map(|unusual| Disturbed {
            pair: numbers[unusual.pair],
            reason: format!(
                "a block of {} took {:.2} times as long as usual",
                batchers[unusual.strategy],
                unusual.log.exp()
            ),
        });
        found.collect()
    }

    /// Without a comparison, no pairs are excluded.
    fn record_disturbed(&mut self) {
        if !self.is_timed_beyond {
            return;
        }
        for Disturbed { pair, reason } in self.disturbed() {
            self.open.iter_mut().flatten().for_each(|run| run.leave_out_pair(pair, &reason));
        }
    }
}

/// Every cell has its own orders, which are the same if it is trained again.
fn seed(cell: &Cell) -> u64 {
    let hash = cell.info.id.rsplit('-').next().unwrap_or_default();
    u64::from_str_radix(hash, 16).unwrap_or_default()
}
