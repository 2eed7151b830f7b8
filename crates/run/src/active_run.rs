//! One run in progress, from the open model to the published tables.

mod open;

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use batchlab_config::{Length, LoadedConfig};
use batchlab_core::record::{EvalRecord, RunRecord};
use batchlab_results::{Block, DISTURBED, Publisher, Recorder, RunSummary};
use serde_json::json;

use super::conditions::{Conditions, TurnSteps};
use super::describe::Circumstances;
use super::evaluate::{At, Evaluated, Evaluator};
use super::replay::{Replay, name_members};
use super::resume::Start;
use super::train::{StopContext, TrainingLoop, Turn, remedy};
use super::{Data, Ending, FinishedRun, RunHeader, RunOptions, Status, describe};
use crate::provenance::peak_host_bytes;
use crate::{Observer, RunError, Warning, checkpoint};

pub(crate) use self::open::{open_stream, weighting_constant};

#[derive(Debug, Clone)]
pub struct Membership {
    pub cell: String,
    pub repeat: u32,
    /// Repetitions requested by the study.
    pub n_repeat: u32,
    pub is_exclusive: bool,
    /// Number of interim analyses at which intervals may stop the cell; 0 if intervals cannot stop
    /// it.
    pub n_look: u32,
}

/// An open run. It can be trained in several turns, and must be finished.
pub struct ActiveRun<'a> {
    pub(crate) header: RunHeader,
    pub(crate) training: TrainingLoop<'a>,
    loaded: &'a LoadedConfig,
    data: &'a Data,
    evaluator: Evaluator<'a>,
    evals: Vec<EvalRecord>,
    recorder: Recorder,
    /// `None` if another rank records the run.
    publisher: Option<Publisher>,
    replay: Replay,
    /// Peak device memory during this run's turns.
    peak_device_bytes: Option<u64>,
    circumstances: Circumstances,
    warnings: Vec<Warning>,
    out: PathBuf,
}

impl<'a> ActiveRun<'a> {
    /// Removes all traces of a new run that has not started training.
    pub fn discard(self) {
        let Self { recorder, publisher, .. } = self;
        drop(recorder);
        if let Some(publisher) = publisher {
            publisher.discard();
        }
    }

    /// Opens a run of a cell.
    ///
    /// # Errors
    /// Any failure to start the run.
    pub fn of_cell(
        loaded: &'a LoadedConfig,
        data: &'a Data,
        options: RunOptions<'a>,
        observer: &dyn Observer,
        membership: &Membership,
    ) -> Result<Self, RunError> {
        if loaded.config.ranks.is_some() {
            return Err(RunError::config(
                "a sweep trains every run in one process; remove ranks, or train with `batchlab run`",
            ));
        }
        Self::open(loaded, data, options, observer, Some(membership), Start::Anew)
    }

    /// Information available when training began.
    #[must_use]
    pub fn header(&self) -> &RunHeader {
        &self.header
    }

    #[must_use]
    pub fn n_step(&self) -> u64 {
        self.training.n_step
    }

    /// Median step time in the last turn, in seconds.
    #[must_use]
    pub fn step_seconds(&self) -> f64 {
        self.training.step_seconds()
    }

    /// Totals of a block; `None` for block 0, which is the warm-up.
    #[must_use]
    pub fn block(&self, number: i64) -> Option<Block> {
        self.training.sums.block(number)
    }

    /// Records that comparisons of times exclude a mirrored pair of blocks, numbered from 1.
    pub fn leave_out_pair(&mut self, pair: u64, reason: &str) {
        let message =
            format!("blocks {} and {} are not compared: {reason}", 2 * pair - 1, 2 * pair);
        let payload = json!({ "pair": pair });
        self.recorder.event(None, DISTURBED, message, Some(payload));
    }

    /// Trains one turn, until `goal` steps are done. With `is_timed_beyond`, steps beyond the
    /// configured number are trained for timing only: errors, checkpoint and outcome do not change
    /// any more.
    ///
    /// `Some`: the run has ended and can only be finished. Otherwise it can take another turn, even
    /// if all requested steps are done; [`Ending::COMPLETED`] then finishes it.
    ///
    /// # Errors
    /// Any failure to continue the run.
    pub fn take_turn(
        &mut self,
        turn: Turn,
        goal: u64,
        is_timed_beyond: bool,
        interrupted: &AtomicBool,
        observer: &dyn Observer,
    ) -> Result<Option<Ending>, RunError> {
        let n_step = self.n_step();
        self.training.begin_turn(turn);
        let conditions = Conditions::begin();
        let ending = self.watch_memory(|run| {
            if is_timed_beyond {
                run.advance_beyond(goal, interrupted, observer)
            } else {
                run.advance_to(goal, interrupted, observer)
            }
        })?;
        let steps = TurnSteps {
            first: n_step + 1,
            n_step: self.n_step() - n_step,
            is_timing_only: self.training.last.is_some_and(|last| n_step >= last),
        };
        if steps.n_step > 0 {
            let n_thread = self.circumstances.n_thread;
            self.recorder.block(conditions.end(turn, steps, n_thread));
        }
        Ok(ending)
    }

    /// Whether all requested training is done; further steps are for timing only.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.training.last.is_some_and(|last| self.n_step() >= last)
    }

    fn advance_beyond(
        &mut self,
        goal: u64,
        interrupted: &AtomicBool,
        observer: &dyn Observer,
    ) -> Result<Option<Ending>, RunError> {
        if !self.is_complete() {
            match self.advance_to(goal, interrupted, observer)? {
                Some(Ending { status: Status::Completed, .. }) => {}
                other => return Ok(other),
            }
        }
        let stop = StopContext { interrupted, replay: &self.replay, graphs: &self.data.graphs };
        let timed = self.training.run_to(goal, &mut self.recorder, observer, &stop);
        match timed {
            Err(error) if !error.is_storage() => {
                Ok(Some(self.training.timing_ended(&error.to_string(), &mut self.recorder)))
            }
            timed => timed,
        }
    }

    /// Trains until `goal` steps, or all steps, are done; evaluates before the first step, at the
    /// configured intervals, and after the last step. `None`: the goal is reached before the last
    /// step.
    ///
    /// # Errors
    /// Any failure to continue the run.
    pub fn advance(
        &mut self,
        goal: u64,
        interrupted: &AtomicBool,
        observer: &dyn Observer,
    ) -> Result<Option<Ending>, RunError> {
        match self.watch_memory(|run| run.advance_to(goal, interrupted, observer)) {
            Err(RunError::LostRanks(lost)) => Err(self.training.lost(lost, &mut self.recorder)),
            advanced => advanced,
        }
    }

    fn watch_memory<T>(
        &mut self,
        train: impl FnOnce(&mut Self) -> Result<T, RunError>,
    ) -> Result<T, RunError> {
        // Discards the peak of other runs on the device.
        self.training.trainer.take_peak_device_bytes()?;
        let trained = train(self)?;
        let peak = self.training.trainer.take_peak_device_bytes()?;
        self.peak_device_bytes = self.peak_device_bytes.max(peak);
        Ok(trained)
    }

    fn advance_to(
        &mut self,
        goal: u64,
        interrupted: &AtomicBool,
        observer: &dyn Observer,
    ) -> Result<Option<Ending>, RunError> {
        let every = self.evaluator.every.map_or(u64::MAX, NonZeroU64::get);
        let stop = StopContext { interrupted, replay: &self.replay, graphs: &self.data.graphs };
        self.training.look_ahead()?;
        loop {
            let step = self.training.n_step;
            if let (Length::Epochs(n), Some(done)) =
                (self.training.training.length(), self.training.n_epoch)
                && done >= n
            {
                self.training.last = Some(step);
            }
            let place = match self.training.training.length() {
                Length::Steps(_) => Some(step),
                Length::Epochs(_) => self.training.n_epoch,
            };
            // The starting point of a run that extends another one belongs to its own curve.
            let is_first = self.evals.is_empty() && self.circumstances.parent.is_some();
            let is_due = place.is_some_and(|place| place.is_multiple_of(every));
            let mut is_new = false;
            if self.is_complete() || is_due || is_first {
                let at = At { step, train_ns: self.training.sums.train_ns() };
                let trainer = &mut *self.training.trainer;
                if let Some(ranks) = &self.training.ranks {
                    ranks.check_parameters(trainer, step)?;
                }
                let evaluated =
                    self.evaluator.evaluate_all(trainer, at, &self.evals, interrupted)?;
                let recorder = &mut self.recorder;
                for evaluated in evaluated {
                    if !evaluated.is_own {
                        observer.evaluated(&evaluated.record);
                    }
                    recorder.eval(evaluated.record.clone());
                    let EvalRecord { loss, rmse, mae, .. } = evaluated.record;
                    if [loss, rmse, mae].into_iter().flatten().any(|error| !error.is_finite()) {
                        let learning_rate = self.training.learning_rate_at(step.max(1));
                        let remedy = remedy(step, learning_rate);
                        return Ok(Some(diverged(&evaluated, &remedy, &stop, recorder)));
                    }
                    if evaluated.is_deciding && step > 0 {
                        decide(&mut self.training, &evaluated.record, is_due, recorder)?;
                        is_new = true;
                    }
                    self.evals.push(evaluated.record);
                }
                self.recorder.sync()?;
            }
            if is_due && step > 0 {
                stop_early(&mut self.training, is_new, &mut self.recorder);
            }
            if interrupted.load(Ordering::Relaxed) {
                return Ok(Some(self.training.interrupted(&mut self.recorder)?));
            }
            if self.is_complete() {
                // A sweep saves weights only on request.
                let is_of_cell = self.circumstances.of_study.cell.is_some();
                let saves = self.training.training.checkpoint.map(|when| when.at().is_some());
                if saves.unwrap_or(!is_of_cell) {
                    self.training.save(&mut self.recorder)?;
                }
                return Ok(Some(Ending::COMPLETED));
            }
            if step >= goal {
                return Ok(None);
            }
            let next = match self.training.last {
                Some(last) => (step / every + 1).saturating_mul(every).min(last).min(goal),
                // An epoch may end earlier.
                None => goal,
            };
            let ending = self.training.run_to(next, &mut self.recorder, observer, &stop)?;
            if ending.is_some() {
                return Ok(ending);
            }
        }
    }

    /// Publishes everything recorded, even after a failure.
    ///
    /// # Errors
    /// The original failure, or a failure to publish.
    pub fn finish(self, outcome: Result<Ending, RunError>) -> Result<FinishedRun, RunError> {
        let (ending, failure) = match outcome {
            Ok(ending) => (ending, None),
            Err(error) => {
                let reason = Some(error.to_string());
                (Ending { status: Status::Failed, reason }, Some(error))
            }
        };
        let Ending { status, reason } = ending;
        let (timing_ended, error) =
            if status == Status::Completed { (reason, None) } else { (None, reason) };
        let run = self.record(status.name(), error);
        let Self { header, training, evals, recorder, publisher, warnings, out, .. } = self;
        let unpublished =
            |source| RunError::Unpublished { source: Box::new(source), out: out.clone() };
        let n_step_kept = match (failure, publisher) {
            (Some(error), _) if error.is_storage() => {
                recorder.abandon(&run);
                return Err(unpublished(error));
            }
            (failure, None) => failure.map_or(Ok(None), Err)?,
            (failure, Some(publisher)) => {
                let is_resumable = matches!(status, Status::Interrupted | Status::Failed)
                    && !checkpoint::list(&publisher.checkpoints()).is_empty();
                let finished = recorder.finish(&run, publisher, is_resumable);
                let n_step_kept = finished.map_err(|error| unpublished(error.into()))?;
                failure.map_or(Ok(n_step_kept), Err)?
            }
        };
        let peak_host_bytes = peak_host_bytes().filter(|_| header.engine.is_none());
        Ok(FinishedRun {
            header,
            status,
            summary: RunSummary::new(run, training.sums.summary(), evals),
            peak_host_bytes,
            n_step_kept,
            best_step: training.best_step(),
            stopped_early: training.over,
            timing_ended,
            warnings,
            out,
        })
    }

    fn record(&self, status: &str, error: Option<String>) -> RunRecord {
        let Self { loaded, data, header, circumstances, evals, .. } = self;
        let (ending, steps) = ((status, error), self.training.sums.summary());
        RunRecord {
            peak_device_bytes: self.peak_device_bytes.map(|bytes| bytes as i64),
            ..describe::record(loaded, data, header, circumstances, ending, &steps, evals)
        }
    }
}

/// Lets an evaluation of the validation set update the learning rate and the best state.
///
/// An evaluation after the last step that was not due can be the best of this run, but it must not
/// affect the schedule: a longer run would not have made it, and a run that extends this one must
/// make the same decisions.
fn decide(
    training: &mut TrainingLoop<'_>,
    eval: &EvalRecord,
    is_due: bool,
    recorder: &mut Recorder,
) -> Result<(), RunError> {
    let step = Some(training.n_step);
    if !is_due {
        let decision = training.schedule.clone().observe(training.training, eval);
        if decision.is_best && training.last == step {
            training.save_best(true)?;
        }
        return Ok(());
    }
    let decision = training.schedule.observe(training.training, eval);
    if let Some([before, after]) = decision.reduced {
        let message = format!("the learning rate falls from {before:e} to {after:e}");
        recorder.event(step, "learning_rate", message, None);
    }
    if decision.is_best {
        training.save_best(false)?;
    }
    Ok(())
}

/// Ends training if required by the evaluations so far; `is_new`: this was not recorded before.
fn stop_early(training: &mut TrainingLoop<'_>, is_new: bool, recorder: &mut Recorder) {
    let step = training.n_step;
    let over = training.schedule.is_over(training.training, training.n_epoch_complete());
    // The last step ends training anyway.
    if let Some(over) = over.filter(|_| training.last != Some(step)) {
        if is_new {
            recorder.event(Some(step), "early_stopping", format!("training ends: {over}"), None);
        }
        training.last = Some(step);
        training.over = Some(over);
    }
}

/// The model has diverged although the loss of every step was finite.
fn diverged(
    evaluated: &Evaluated,
    remedy: &str,
    stop: &StopContext<'_>,
    recorder: &mut Recorder,
) -> Ending {
    let eval = &evaluated.record;
    let step = eval.step.unsigned_abs();
    let members = &evaluated.not_finite;
    let because = match members.as_slice() {
        [] => String::new(),
        members => format!(", because of {}", name_members(stop.graphs, members)),
    };
    let (what, value) = match eval.loss.filter(|loss| !loss.is_finite()) {
        Some(loss) => ("loss", loss),
        None => ("error", f64::INFINITY),
    };
    let reason = format!(
        "the {what} on {} after {step} steps is {value}{because}. {remedy} To reproduce it: {}",
        eval.subset,
        stop.replay.command(step.max(1)),
    );
    let payload = stop.replay.of_evaluation(step, members, stop.graphs);
    recorder.event(Some(step), "nan", reason.clone(), Some(payload));
    Ending { status: Status::NotFinite, reason: Some(reason) }
}
