//! Trains the cells of a study.

mod time;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use batchlab_core::hash::sha256;
use batchlab_run::{Observer, RunHeader, RunOptions, Status, crowding};

use super::blocks::StoppingRule;
use super::cells::{CellState, Cells, Claim, Claimed, DoneCell, DoneRun, Progress};
use super::device_lock::DeviceLock;
use super::look::InterimAnalysis;
use super::turns::{CellEnd, CellObserver, CellProgress, Length, Outlook, train_in_turns};
use super::{Cell, CellInfo, Study};
use crate::claims::{ClaimError, ClaimSettings};
use crate::{StudyError, now};
use time::cut_short;

#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools, reason = "each is an option of the command")]
pub struct SweepOptions<'a> {
    pub run: RunOptions<'a>,
    /// Cells done on other hardware are trained again on this one.
    pub hardware: &'a str,
    pub claims: ClaimSettings,
    /// When the first process of the sweep started. What a time limit has ended since is not
    /// trained again.
    pub started: SystemTime,
    /// Train cells again that failed before this time.
    pub retry_before: Option<SystemTime>,
    /// Continue cells until the intervals of all strategies that may be the fastest have this half
    /// width, relative to the time of the best. Cells that were trained with a wider target are
    /// trained again.
    pub ci_width: Option<f64>,
    /// Time limit for starting cells and pairs of blocks for timing only; cells that no
    /// time limit has ended before get equal shares of it.
    pub time_limit: Option<Duration>,
    /// When the scheduler will end this process: cells that are known to take longer are not
    /// started.
    pub ends_at: Option<Instant>,
    /// Whether other jobs may be running on this machine, so that times cannot be compared.
    pub is_node_shared: bool,
    /// End the sweep after a cell of several runs with compared times, if others may be waiting:
    /// each such cell is then trained in its own process.
    pub is_one_cell: bool,
    /// Whether this process is the first one of the sweep.
    pub is_first_process: bool,
    /// Wait for a device in use by another sweep.
    pub wait: bool,
}

/// Polling interval for a device in use by another sweep.
const DEVICE_PAUSE: Duration = Duration::from_millis(500);

pub trait SweepObserver: CellObserver {
    /// A cell begins, the `n`-th of the study, from 1.
    fn cell_begins(&self, _n: usize, _n_cell: usize, _cell: &CellInfo, _enough: StoppingRule) {}
    fn cell_ended(&self, _cell: &CellInfo, _done: &DoneCell) {}
}

impl CellObserver for () {}
impl SweepObserver for () {}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "several reasons to end may hold at once")]
pub struct Sweep {
    pub n_done: usize,
    pub n_done_before: usize,
    /// Cells being trained by other processes.
    pub n_taken: usize,
    /// Cells with unknown state: which file, why, and what to do.
    pub unreadable: Vec<String>,
    /// Finished cells with a failed run.
    pub failed: Vec<String>,
    /// Finished cells with a non-finite loss in a run.
    pub diverged: Vec<String>,
    pub is_interrupted: bool,
    /// Cells that have fewer pairs than requested, because time ran out.
    pub cut_short: Vec<String>,
    /// Whether cells are waiting because time ran out.
    pub is_time_up: bool,
    /// Whether the next process should look for waiting cells.
    pub is_for_next_process: bool,
    /// Whether cells are waiting because this process can no longer use the device.
    pub is_device_lost: bool,
}

impl Sweep {
    /// Returns the number of cells that this completes, which is 0 for one that was cut short.
    fn note(&mut self, cell: &Cell, done: &DoneCell) -> usize {
        let id = || cell.info.id.clone();
        self.is_time_up |= done.is_cut_short;
        self.cut_short.extend(done.is_cut_short.then(id));
        self.failed.extend(done.has_failed().then(id));
        self.diverged.extend(done.has_diverged().then(id));
        usize::from(!done.is_cut_short)
    }
}

impl SweepOptions<'_> {
    /// Whether this sweep need not train a finished cell again.
    fn is_enough(&self, done: &DoneCell) -> bool {
        let retry = self.retry_before.is_some_and(|time| done.is_before(time));
        let is_own = done.is_cut_short && !done.is_before(self.started);
        is_own || done.is_enough(retry, self.ci_width)
    }

    /// Whether reports compare the times that this sweep measures.
    fn compares_times(&self, study: &Study) -> bool {
        study.blocks.exclusive && !self.is_node_shared
    }
}

/// Trains every cell of a study that is neither done nor taken by another process. Several
/// processes may share a study: one per device if times matter, otherwise any number.
///
/// # Errors
/// A device locked by another study, or results that cannot be stored. Failures within a cell are
/// recorded with the cell.
pub fn sweep(
    study: &Study,
    options: &SweepOptions<'_>,
    observer: &dyn SweepObserver,
) -> Result<Sweep, StudyError> {
    let cells = Cells::of(options.run.out, options.hardware, options.claims.clone());
    cells.write_list(study, options.run.n_thread)?;
    let mut sweep = Sweep::default();
    let Some(_devices) = lock_devices(study, options, observer)? else {
        return Ok(Sweep { is_interrupted: true, ..sweep });
    };
    if options.is_first_process {
        note_crowding(study, options.run.n_thread, observer);
    }
    let early = |sweep| Ok(ended_early(sweep, study, &cells, options));
    let start = Instant::now();
    let mut pending: Vec<(usize, &Cell)> = (1..).zip(&study.cells).collect();
    // Cells that an earlier sweep's time limit ended come last.
    pending.sort_by_cached_key(|(_, cell)| cut_short(&cells, &cell.info).is_some());
    let (mut pause, mut has_said) = (Duration::from_millis(50).min(cells.pause()), false);
    loop {
        let n_pending = pending.len();
        let (mut taken, mut all_live) = (Vec::new(), true);
        for (place, &(n, cell)) in pending.iter().enumerate() {
            if options.run.interrupted.load(Ordering::Relaxed) {
                return early(Sweep { is_interrupted: true, ..sweep });
            }
            let is_enough = |done: &DoneCell| options.is_enough(done);
            let left = options.time_left(start);
            if let Some(reason) = options.lacks_time(&cell.info, &cells, study, left) {
                observer.progress().note(&format!("note: not started: {reason}"));
                sweep.is_time_up = true;
                continue;
            }
            let claim = match cells.claim(&cell.info, options.retry_before.is_some(), is_enough)? {
                Claimed::Mine(claim) => claim,
                Claimed::Taken { is_alive } => {
                    all_live &= is_alive;
                    taken.push((n, cell));
                    continue;
                }
                Claimed::Done(done) => {
                    sweep.n_done_before += sweep.note(cell, &done);
                    continue;
                }
                Claimed::Unreadable(reason) => {
                    sweep.unreadable.push(reason);
                    continue;
                }
            };
            if left.is_some_and(|left| left.is_zero()) {
                claim.release()?;
                return early(Sweep { is_time_up: true, ..sweep });
            }
            let others = &pending[place + 1..];
            let length = Length {
                blocks: &study.blocks,
                rule: StoppingRule::of(cell, &study.blocks, options.ci_width),
                is_exclusive: options.compares_times(study),
                deadline: left.map(|left| options.share_of(left, cell, others, &cells)),
            };
            note_gone(claim.gone.as_deref(), cell, observer);
            observer.cell_begins(n, study.cells.len(), &cell.info, length.rule);
            let trained = train(cell, length, options, &claim, observer)?;
            let Trained::Done { done, is_device_lost } = trained else {
                claim.release()?;
                return early(Sweep { is_interrupted: true, ..sweep });
            };
            match claim.done(options.run.out, &done) {
                Ok(()) => {
                    observer.cell_ended(&cell.info, &done);
                    sweep.n_done += sweep.note(cell, &done);
                }
                Err(error @ ClaimError::Superseded { .. }) => {
                    observer.progress().note(&format!("note: {error}; its results count"));
                    taken.push((n, cell));
                }
                Err(error) => return Err(error.into()),
            }
            let has_others = place + 1 < n_pending || !taken.is_empty();
            let is_compared = options.compares_times(study) && cell.runs.len() > 1;
            let is_for_next_process =
                !is_device_lost && options.is_one_cell && is_compared && has_others;
            if is_device_lost || is_for_next_process {
                return Ok(Sweep { is_for_next_process, is_device_lost, ..sweep });
            }
        }
        sweep.n_taken = taken.len();
        let has_progress = taken.len() < n_pending;
        // As long as it is unknown whether the processes of other cells are alive, they are
        // watched.
        if taken.is_empty() || !has_progress && all_live {
            return Ok(sweep);
        }
        if !has_progress {
            // A process that has just started is visible at the second look.
            if pause == cells.pause() && !has_said {
                has_said = true;
                note_waiting(taken.len(), options, observer);
            }
            wait(pause, options.run.interrupted);
            pause = (2 * pause).min(cells.pause());
            if options.time_left(start).is_some_and(|left| left.is_zero()) {
                return early(Sweep { is_time_up: true, ..sweep });
            }
        }
        pending = taken;
    }
}

/// Counts the cells that it has not come to, but which are done as well.
fn ended_early(sweep: Sweep, study: &Study, cells: &Cells, options: &SweepOptions<'_>) -> Sweep {
    let is_done = |cell: &&Cell| match cells.state(&cell.info) {
        Ok(CellState::Done(done)) => options.is_enough(&done),
        // One that was cut short is not done.
        _ => false,
    };
    let n_done = study.cells.iter().filter(is_done).count();
    Sweep { n_done_before: n_done.saturating_sub(sweep.n_done), ..sweep }
}

/// Reports why a finished cell is trained again.
fn note_gone(gone: Option<&str>, cell: &Cell, observer: &dyn SweepObserver) {
    if let Some(gone) = gone {
        observer.progress().note(&format!("note: {}: {gone}", cell.info.title()));
    }
}

fn note_waiting(n_cell: usize, options: &SweepOptions<'_>, observer: &dyn SweepObserver) {
    let stale = humantime::format_duration(options.claims.stale);
    let cells = if n_cell == 1 { "cell is" } else { "cells are" };
    observer.progress().note(&format!(
        "note: {n_cell} {cells} claimed on other machines; waiting for heartbeats, at most {stale}"
    ));
}

fn wait(pause: Duration, interrupted: &AtomicBool) {
    let until = Instant::now() + pause;
    while Instant::now() < until && !interrupted.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(50).min(pause));
    }
}

/// Once for all runs, even if messages differ between variants.
fn note_crowding(study: &Study, n_thread: usize, observer: &dyn SweepObserver) {
    let runs = study.cells.iter().flat_map(|cell| &cell.runs);
    let mut notes: Vec<String> = runs.filter_map(|run| crowding(&run.config, n_thread)).collect();
    notes.sort_unstable();
    notes.dedup();
    for note in notes {
        observer.progress().note(&format!("note: {note}"));
    }
}

/// Locks exclusively if times are compared, otherwise shared with others that do not compare them.
/// `None`: interrupted while waiting.
fn lock_devices(
    study: &Study,
    options: &SweepOptions<'_>,
    observer: &dyn SweepObserver,
) -> Result<Option<Vec<DeviceLock>>, StudyError> {
    let mut devices: Vec<&str> = study.cells.iter().map(|cell| cell.info.device.as_str()).collect();
    devices.sort_unstable();
    devices.dedup();
    let is_exclusive = options.compares_times(study);
    let mut locks = Vec::new();
    // All sweeps lock devices in the same order, to avoid deadlocks.
    for device in devices {
        let mut has_said = false;
        locks.push(loop {
            match DeviceLock::take(device, is_exclusive) {
                Err(StudyError::DeviceBusy(busy)) if options.wait => {
                    if !has_said {
                        observer.progress().note(&format!("note: waiting: {}", busy.who()));
                        has_said = true;
                    }
                    wait(DEVICE_PAUSE, options.run.interrupted);
                    if options.run.interrupted.load(Ordering::Relaxed) {
                        return Ok(None);
                    }
                }
                taken => break taken?,
            }
        });
    }
    Ok(Some(locks))
}

enum Trained {
    Done { done: DoneCell, is_device_lost: bool },
    Interrupted,
}

/// Trains one cell.
fn train(
    cell: &Cell,
    length: Length<'_>,
    options: &SweepOptions<'_>,
    claim: &Claim,
    observer: &dyn SweepObserver,
) -> Result<Trained, StudyError> {
    let started_at = now();
    let recording = RecordingProgress::new(observer, claim, &started_at);
    let label = label(&cell.info, options.hardware);
    let superseded = || match claim.check() {
        Err(error @ ClaimError::Superseded { .. }) => Some(error.to_string()),
        // An unreadable folder is reported when the cell is published.
        _ => None,
    };
    let end = train_in_turns(cell, &label, length, options.run, &superseded, &recording);
    observer.ended();
    let (mut is_device_lost, mut is_cut_short) = (false, false);
    let (blocks, runs, reason) = match end {
        Ok(end) if end.is_interrupted => return Ok(Trained::Interrupted),
        Ok(CellEnd { blocks, runs, is_cut_short: is_short, .. }) => {
            is_cut_short = is_short;
            let runs = runs.into_iter().map(|(batcher, outcome)| match outcome.result {
                Ok(run) => DoneRun {
                    batcher,
                    run_id: outcome.run_id,
                    status: run.status,
                    n_step: run.summary.steps.n_step.unsigned_abs(),
                    median_step_ns: run.summary.steps.times.map(|times| times.combined_median),
                    outputs_per_second: run.summary.steps.work.map(|work| work.outputs_per_s),
                    output: run.summary.run.output,
                    reason: run.summary.run.error,
                    timing_ended: run.timing_ended,
                },
                Err(error) => {
                    is_device_lost |= error.is_device_lost();
                    DoneRun {
                        batcher,
                        run_id: outcome.run_id,
                        status: Status::Failed,
                        reason: Some(error.to_string()),
                        timing_ended: None,
                        n_step: 0,
                        median_step_ns: None,
                        outputs_per_second: None,
                        output: None,
                    }
                }
            });
            (blocks, runs.collect(), None)
        }
        Err(error) if error.is_storage() => return Err(error.into()),
        Err(error) => {
            is_device_lost = error.is_device_lost();
            (Vec::new(), Vec::new(), Some(error.to_string()))
        }
    };
    let (finished_at, ci_width) = (now(), options.ci_width);
    let cell = label;
    let done =
        DoneCell { cell, started_at, finished_at, blocks, runs, reason, ci_width, is_cut_short };
    Ok(Trained::Done { done, is_device_lost })
}

/// Name of a cell in results. It differs between processes, so that runs of two processes are never
/// taken for runs of one cell.
pub(crate) fn label(cell: &CellInfo, hardware: &str) -> String {
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let process = format!("{hardware} {} {}", std::process::id(), time.as_nanos());
    format!("{}-{}", cell.id, &sha256(process.as_bytes())[..8])
}

struct RecordingProgress<'a> {
    to: &'a dyn SweepObserver,
    claim: &'a Claim,
    progress: Mutex<Progress>,
}

impl<'a> RecordingProgress<'a> {
    fn new(to: &'a dyn SweepObserver, claim: &'a Claim, started_at: &str) -> Self {
        let progress = Progress {
            started_at: started_at.to_owned(),
            block: 0,
            n_block: None,
            n_step: 0,
            n_step_all: None,
            run_ids: Vec::new(),
        };
        Self { to, claim, progress: Mutex::new(progress) }
    }

    fn change(&self, change: impl FnOnce(&mut Progress)) {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut progress);
        // Errors are ignored: `status` shows less, and states of an interrupted attempt stay. A
        // full disk is noticed when writing records.
        let _ = self.claim.progress(&progress);
    }
}

impl Observer for RecordingProgress<'_> {
    fn inner(&self) -> Option<&dyn Observer> {
        Some(self.to)
    }
    fn started(&self, run: &RunHeader) {
        self.change(|progress| progress.run_ids.push(run.run_id.clone()));
        self.to.started(run);
    }
}

impl CellObserver for RecordingProgress<'_> {
    fn turn(&self, run: &RunHeader, at: &CellProgress) {
        // Written once per block, not in every turn.
        let is_new = {
            let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
            progress.block != at.block || progress.n_block != at.n_block
        };
        if is_new {
            self.change(|progress| {
                progress.block = at.block;
                progress.n_block = at.n_block;
                progress.n_step = at.n_step;
                progress.n_step_all = at.n_block.map(|_| at.n_step_all);
            });
        }
        self.to.turn(run, at);
    }
    fn scattered(&self, outlook: &Outlook) {
        self.to.scattered(outlook);
    }
    fn looked(&self, look: &InterimAnalysis, batchers: &[&str]) {
        self.to.looked(look, batchers);
    }
}
