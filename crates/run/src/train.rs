//! The training loop.

mod ends;
mod state;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use batchlab_config::{Length, Timing, Training};
use batchlab_core::model::{LossSum, Mode, Slot, StepOptions, Trainer};
use batchlab_core::record::StepRecord;
use batchlab_core::{Cursor, Graphs, PaddedBatch, Shape, random};
use batchlab_results::{Recorder, StepSums};
use serde_json::json;

use super::Ending;
use super::checkpoints::Checkpoints;
use super::ledger::{Entry, ShapeLedger};
use super::pipeline::{Pipeline, Prepared, TRAINING, nanoseconds, upload};
use super::ranks::{SharedStep, Together};
use super::replay::Replay;
use crate::schedule::Schedule;
use crate::{Observer, RunError};
pub(crate) use ends::remedy;

/// Maximum number of new shapes reported as events; without padding nearly every step has one.
/// `steps.is_new_shape` marks all of them.
const MAX_SHAPE_EVENTS: i64 = 1000;

/// Maximum length of the warm-up as a multiple of its configured length.
const MAX_WARM_UP: u64 = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// Index of the block; in each block every run has one turn.
    pub block: i64,
    /// Index of the turn, in training order.
    pub turn: i64,
}

pub(crate) struct TrainingLoop<'a> {
    pub(crate) training: &'a Training,
    pub(crate) trainer: Box<dyn Trainer + 'a>,
    pub(crate) ledger: ShapeLedger,
    /// Number of events about recorded steps.
    n_recording: i64,
    pub(crate) n_step: u64,
    /// Number of the last requested step; known in advance unless the length is in epochs.
    pub(crate) last: Option<u64>,
    /// Number of complete epochs, if the next step begins an epoch; known only for lengths in
    /// epochs.
    pub(crate) n_epoch: Option<u64>,
    pub(crate) schedule: Schedule,
    /// Why training ended early, if it did.
    pub(crate) over: Option<String>,
    /// Step of the state last saved as the best one by this process.
    kept_best: Option<u64>,
    pub(crate) sums: StepSums,
    /// `None` in some tests.
    pub(crate) checkpoints: Option<Checkpoints>,
    /// Block and turn of the steps, if runs are trained in turns.
    turn: Option<Turn>,
    /// Step times of this turn, in nanoseconds.
    turn_ns: Vec<i64>,
    is_warm: bool,
    pipeline: Pipeline,
    prepared: Prepared,
    /// Time spent fetching the prepared batch, if it is not trained yet: it was the first of an
    /// epoch, and the evaluation came first.
    pending: Option<Duration>,
    before: Cursor,
    /// Divisor of output weights; see `batchlab_core::weighting`.
    constant: f64,
    /// The other ranks, if there are any.
    pub(crate) ranks: Option<Together<'a>>,
}

impl<'a> TrainingLoop<'a> {
    pub(crate) fn new(
        training: &'a Training,
        trainer: Box<dyn Trainer + 'a>,
        pipeline: Pipeline,
        constant: f64,
    ) -> Self {
        let (last, n_epoch) = match training.length() {
            Length::Steps(n) => (Some(n), None),
            Length::Epochs(_) => (None, Some(0)),
        };
        let n_step = last.map_or(1, |last| last as i64);
        Self {
            training,
            trainer,
            ledger: ShapeLedger::default(),
            n_recording: 0,
            n_step: 0,
            last,
            n_epoch,
            schedule: Schedule::default(),
            over: None,
            kept_best: None,
            sums: StepSums::planned(n_step, training.prefetch_depth() == 0),
            checkpoints: None,
            turn: None,
            turn_ns: Vec::new(),
            is_warm: false,
            pipeline,
            prepared: Prepared::default(),
            pending: None,
            before: Cursor::default(),
            constant,
            ranks: None,
        }
    }

    /// Number of complete epochs, for decisions: those before the epoch of the last batch.
    pub(crate) fn n_epoch_complete(&self) -> u64 {
        self.n_epoch.unwrap_or(self.prepared.plan.cursor.epoch)
    }

    /// Determines whether the next batch begins an epoch, after resuming.
    pub(crate) fn look_ahead(&mut self) -> Result<(), RunError> {
        if self.last.is_none() && self.n_step > 0 && self.pending.is_none() {
            self.fetch(Instant::now())?;
        }
        Ok(())
    }

    /// Fetches the next batch unless already fetched; returns whether it begins a new epoch.
    fn fetch(&mut self, start: Instant) -> Result<bool, RunError> {
        if self.pending.is_some() {
            return Ok(false);
        }
        self.before.clone_from(&self.prepared.plan.cursor);
        self.pipeline.next(&mut self.prepared)?;
        self.pending = Some(start.elapsed());
        let epoch = self.prepared.plan.cursor.epoch;
        let begins = self.n_step > 0 && epoch > self.before.epoch;
        self.n_epoch = begins.then_some(epoch);
        Ok(begins)
    }

    pub(crate) fn begin_turn(&mut self, turn: Turn) {
        self.turn = Some(turn);
        self.turn_ns.clear();
    }

    /// Whether a step is beyond the configured number.
    fn is_timing_only(&self, step: u64) -> bool {
        self.last.is_some_and(|last| step > last)
    }

    /// Trains until `last` steps are done, or until the end of an epoch if the length is in epochs.
    /// `None`: training has not ended before.
    pub(crate) fn run_to(
        &mut self,
        last: u64,
        recorder: &mut Recorder,
        observer: &dyn Observer,
        stop: &StopContext<'_>,
    ) -> Result<Option<Ending>, RunError> {
        while self.n_step < last {
            let step = self.n_step + 1;
            let is_timing_only = self.is_timing_only(step);
            if stop.interrupted.load(Ordering::Relaxed) {
                return Ok(Some(if is_timing_only {
                    self.timing_ended("it was interrupted", recorder)
                } else {
                    self.interrupted(recorder)?
                }));
            }
            let is_due =
                !is_timing_only && self.checkpoints.as_ref().is_some_and(|c| c.is_due(step));
            let start = Instant::now();
            if self.fetch(start)? && self.last.is_none() {
                // Pending GPU work counts towards the next step, as always, and not towards the
                // evaluation in between.
                self.trainer.synchronise()?;
                self.pending = Some(start.elapsed());
                return Ok(None);
            }
            self.n_epoch = None;
            let stepped = self.step(step, start, step == last || is_due);
            if matches!(stepped, Err(RunError::LostRanks(_))) {
                // Its batch was fetched but not trained.
                self.pending = Some(Duration::ZERO);
            }
            let (times, loss) = stepped?;
            for event in self.prepared.events.drain(..) {
                let payload = event.graph.map(|graph| json!({ "graph": graph }));
                recorder.event(Some(self.n_step), event.kind, event.message, payload);
            }
            if is_timing_only && !loss.mean().is_finite() {
                let reason = format!("the loss of step {step} is {}", loss.mean());
                return Ok(Some(self.timing_ended(&reason, recorder)));
            }
            let entry = self.ledger.enter(self.prepared.plan.shape);
            if entry.is_new && entry.shape_id < MAX_SHAPE_EVENTS {
                self.new_shape(entry.shape_id, times.whole, recorder);
            }
            if let Some(ns) = self.trainer.take_recording_ns()
                && self.n_recording < MAX_SHAPE_EVENTS
            {
                self.n_recording += 1;
                self.recorded(entry.shape_id, ns, recorder);
            }
            let is_warmup = self.is_warmup(step, entry.is_new);
            let record = self.record(step, &times, loss, entry, is_warmup);
            self.sums.add(&record);
            self.turn_ns.push(times.whole);
            recorder.step(record)?;
            if !loss.mean().is_finite() {
                let ended = self.not_finite(step, loss, &times, stop, recorder);
                if ended.is_err() {
                    self.pending = Some(Duration::ZERO);
                }
                return ended.map(Some);
            }
            self.n_step = step;
            observer.stepped(step, loss.mean());
            if is_due {
                self.save(recorder)?;
            }
        }
        Ok(None)
    }

    /// One step. A non-finite loss stops it before the parameters change.
    ///
    /// The step always waits for the loss. Later GPU work overlaps with preparing and uploading the
    /// next batch, unless `end` is set.
    fn step(
        &mut self,
        step: u64,
        start: Instant,
        end: bool,
    ) -> Result<(StepTimes, LossSum), RunError> {
        self.fetch(start)?;
        let fetching = self.pending.take().unwrap_or_default();
        let ready = Instant::now();
        self.pipeline.go_on();
        // The batch may have been fetched before an evaluation.
        let start = ready.checked_sub(fetching).unwrap_or(ready);
        let slot = if step.is_multiple_of(2) { Slot::A } else { Slot::B };
        let number = self.ranks.as_ref().map_or(step, |ranks| ranks.number(step));
        let key = random::key(self.training.seeds.init, "dropout", number);
        let (weighting, constant) = (self.training.weighting, self.constant);
        let scale = |weight_sum| weighting.scale(weight_sum, constant);
        let options =
            StepOptions { learning_rate: self.learning_rate_at(step), key, scale: &scale };
        let trainer = &mut *self.trainer;
        let is_staged = self.training.timing == Timing::Stages;
        let has_stages = is_staged && !trainer.is_one_call();

        // A rank may have no graphs in the last step of an epoch.
        if !self.prepared.plan.members.is_empty() {
            upload(trainer, slot, &self.prepared, TRAINING)?;
        }
        let mut shared = None;
        let (loss, device) = if let Some(ranks) = &mut self.ranks {
            let begin = has_stages.then_some(ready);
            let step = ranks.step(trainer, slot, &options, &self.prepared.plan, begin)?;
            let outcome = (step.loss, step.device);
            shared = Some(step);
            outcome
        } else if has_stages {
            staged(trainer, slot, &options, ready)?
        } else {
            (trainer.step(slot, &options)?, None)
        };
        if end || is_staged {
            trainer.synchronise()?;
        }
        let is_ahead = matches!(self.pipeline, Pipeline::Prefetched(_));
        let wait = is_ahead.then(|| nanoseconds(start, ready));
        Ok((StepTimes { whole: nanoseconds(start, Instant::now()), wait, device, shared }, loss))
    }

    /// Returns the number of outputs in the step.
    pub(crate) fn unrecorded_step(&mut self, step: u64) -> Result<u32, RunError> {
        self.step(step, Instant::now(), true)?;
        Ok(self.prepared.plan.real.n_output)
    }

    /// Another step on the same batch.
    pub(crate) fn repeated_step(&mut self, step: u64) -> Result<(), RunError> {
        self.pending = Some(Duration::ZERO);
        self.unrecorded_step(step).map(drop)
    }

    /// Padded shape of the current batch.
    pub(crate) fn shape(&self) -> Shape {
        self.prepared.plan.shape
    }

    /// Time to predict one graph of the last batch, in seconds.
    pub(crate) fn predict_seconds(&mut self) -> Result<f64, RunError> {
        let batch = self.prepared.batch();
        let mut prediction = Vec::new();
        self.trainer.upload(Slot::A, &batch)?;
        self.trainer.predict(Slot::A, &mut prediction)?;
        let mut seconds = f64::INFINITY;
        for _ in 0..3 {
            let start = Instant::now();
            self.trainer.upload(Slot::A, &batch)?;
            self.trainer.predict(Slot::A, &mut prediction)?;
            seconds = seconds.min(start.elapsed().as_secs_f64());
        }
        Ok(seconds / f64::from(self.prepared.plan.real.n_graph.max(1)))
    }

    /// Median step time of this turn, in seconds.
    pub(crate) fn step_seconds(&self) -> f64 {
        let mut times = self.turn_ns.clone();
        times.sort_unstable();
        times.get(times.len() / 2).map_or(0.0, |&time| time as f64 / 1e9)
    }

    /// Steps for timing only use the learning rate of the last requested step.
    pub(crate) fn learning_rate_at(&self, step: u64) -> f64 {
        let step = step.min(self.last.unwrap_or(step));
        self.schedule.learning_rate_at(self.training, step)
    }

    /// Whether a step belongs to the warm-up. In a cell this is block 0, which is equally long for
    /// all runs. Otherwise it consists of the configured number of steps, extended while each step
    /// has a new shape, up to [`MAX_WARM_UP`] times as many.
    fn is_warmup(&mut self, step: u64, is_new_shape: bool) -> bool {
        if let Some(turn) = self.turn {
            self.is_warm = turn.block != 0;
        } else {
            let least = self.training.warmup_steps;
            let most = least.saturating_mul(MAX_WARM_UP);
            self.is_warm |= step > least && (!is_new_shape || step > most);
        }
        !self.is_warm
    }

    fn record(
        &self,
        step: u64,
        times: &StepTimes,
        loss: LossSum,
        entry: Entry,
        is_warmup: bool,
    ) -> StepRecord {
        let (real, shape) = (self.prepared.plan.real, self.prepared.plan.shape);
        let batch: PaddedBatch<'_> = self.prepared.batch();
        // Induced edges are known only to the collated batch.
        let n_edge = if self.ranks.is_some() { real.n_edge } else { batch.real.n_edge };
        let device = |stage: usize| times.device.map(|times| times[stage]);
        let mut record = StepRecord {
            // Filled in by the recorder.
            run_id: String::new(),
            step: step as i64,
            epoch: self.prepared.plan.cursor.epoch as i64,
            n_graph: i64::from(real.n_graph),
            n_node: i64::from(real.n_node),
            n_edge: i64::from(n_edge),
            n_output: i64::from(real.n_output),
            n_graph_padded: i64::from(shape.n_graph),
            n_node_padded: i64::from(shape.n_node),
            n_edge_padded: i64::from(shape.n_edge),
            n_output_padded: i64::from(shape.n_output),
            shape_id: entry.shape_id,
            is_new_shape: entry.is_new,
            is_warmup,
            plan_ns: Some(self.prepared.plan_ns),
            collate_ns: Some(self.prepared.collate_ns),
            wait_ns: times.wait,
            upload_ns: device(0),
            forward_ns: device(1),
            backward_ns: device(2),
            optimiser_ns: device(3),
            step_ns: times.whole,
            loss: loss.mean(),
            weight_sum: loss.weight_sum,
            learning_rate: self.learning_rate_at(step),
            block: self.turn.map(|turn| turn.block),
            turn: self.turn.map(|turn| turn.turn),
            is_timing_only: Some(self.is_timing_only(step)),
            ..StepRecord::default()
        };
        if let Some(shared) = &times.shared {
            shared.fill(&mut record);
        }
        record
    }

    fn new_shape(&self, shape_id: i64, step_ns: i64, recorder: &mut Recorder) {
        let Shape { n_node, n_edge, n_graph, .. } = self.prepared.plan.shape;
        let message = format!(
            "shape {shape_id} of {n_node} nodes, {n_edge} edges and {n_graph} graphs appeared for the first time"
        );
        let payload = json!({ "shape_id": shape_id, "n_node": n_node, "n_edge": n_edge,
            "n_graph": n_graph, "step_ns": step_ns });
        recorder.event(Some(self.n_step), "new_shape", message, Some(payload));
    }

    /// A step was recorded on a GPU, the counterpart of compiling for its shape.
    fn recorded(&self, shape_id: i64, ns: u64, recorder: &mut Recorder) {
        let message = format!("the step on shape {shape_id} was recorded for replay");
        let payload = json!({ "shape_id": shape_id, "recording_ns": ns });
        recorder.event(Some(self.n_step), "recorded_step", message, Some(payload));
    }
}

/// Times of one step, in nanoseconds.
struct StepTimes {
    whole: i64,
    /// Waiting for a batch prepared by another thread.
    wait: Option<i64>,
    /// Upload, forward, backward and update; `None` unless each is synchronised.
    device: Option<[i64; 4]>,
    /// The step on all ranks, if there are several.
    shared: Option<SharedStep>,
}

/// What can end training early, and the information for its message.
pub(crate) struct StopContext<'a> {
    /// Set externally to end the run after the current step.
    pub(crate) interrupted: &'a AtomicBool,
    pub(crate) replay: &'a Replay,
    pub(crate) graphs: &'a Graphs,
}

/// A step with the times in nanoseconds of upload, forward, backward and update, each synchronised.
/// The upload began at `begin`.
fn staged(
    trainer: &mut dyn Trainer,
    slot: Slot,
    options: &StepOptions<'_>,
    begin: Instant,
) -> Result<(LossSum, Option<[i64; 4]>), RunError> {
    let uploaded = finished(trainer)?;
    let loss = trainer.forward(slot, Mode::Training, options.key)?;
    let forwarded = finished(trainer)?;
    if !loss.mean().is_finite() {
        return Ok((loss, None));
    }
    trainer.backward((options.scale)(loss.weight_sum))?;
    let backed = finished(trainer)?;
    trainer.update(options.learning_rate)?;
    let updated = finished(trainer)?;
    let times = [
        nanoseconds(begin, uploaded),
        nanoseconds(uploaded, forwarded),
        nanoseconds(forwarded, backed),
        nanoseconds(backed, updated),
    ];
    Ok((loss, Some(times)))
}

/// The time at which the device has finished all queued work.
pub(crate) fn finished(trainer: &mut dyn Trainer) -> Result<Instant, RunError> {
    trainer.synchronise()?;
    Ok(Instant::now())
}

#[cfg(test)]
mod tests;
