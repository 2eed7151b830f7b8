//! The training loop.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use batchlab_core::model::{LossSum, Mode, Slot, Trainer};
use batchlab_core::record::StepRecord;
use batchlab_core::{PaddedBatch, Shape};
use serde_json::json;

use super::ledger::ShapeLedger;
use super::pipeline::{Pipeline, Prepared, nanoseconds};
use super::recorder::Recorder;
use super::tally::Tally;
use super::{Ending, Status};
use crate::config::{Timing, Training};
use crate::{Observer, RunError};

/// So many new shapes are reported as events; without padding nearly every step has one, and
/// `steps.is_new_shape` tells of them all.
const MAX_SHAPE_EVENTS: i64 = 1000;

/// Everything that a step touches.
pub(super) struct TrainingLoop<'a> {
    pub(super) training: &'a Training,
    pub(super) trainer: &'a mut dyn Trainer,
    pub(super) ledger: ShapeLedger,
    pub(super) n_step: u64,
    pub(super) train_ns: i64,
    pub(super) tally: Tally,
    pipeline: Pipeline,
    prepared: Prepared,
    /// What the weights of an output are divided by; see `batchlab_core::weighting`.
    constant: f64,
}

impl<'a> TrainingLoop<'a> {
    pub(super) fn new(
        training: &'a Training,
        trainer: &'a mut dyn Trainer,
        pipeline: Pipeline,
        constant: f64,
    ) -> Self {
        Self {
            training,
            trainer,
            ledger: ShapeLedger::default(),
            n_step: 0,
            train_ns: 0,
            tally: Tally::default(),
            pipeline,
            prepared: Prepared::default(),
            constant,
        }
    }

    /// Trains until `last` steps are done. `None` means that all went well.
    pub(super) fn run_to(
        &mut self,
        last: u64,
        recorder: &mut Recorder,
        observer: &dyn Observer,
        interrupted: &AtomicBool,
    ) -> Result<Option<Ending>, RunError> {
        while self.n_step < last {
            if interrupted.load(Ordering::Relaxed) {
                return Ok(Some(self.interrupted(recorder)));
            }
            let step = self.n_step + 1;
            let start = Instant::now();
            let (times, loss) = self.step(step, start)?;
            self.train_ns += times.step_ns;
            for event in self.prepared.events.drain(..) {
                let payload = event.graph.map(|graph| json!({ "graph": graph }));
                recorder.event(Some(self.n_step), event.kind, event.message, payload);
            }
            let entry = self.ledger.enter(self.prepared.plan.shape);
            if entry.is_new && entry.shape_id < MAX_SHAPE_EVENTS {
                self.new_shape(entry.shape_id, times.step_ns, recorder);
            }
            let record = StepRecord {
                shape_id: entry.shape_id,
                is_new_shape: entry.is_new,
                is_warmup: step <= self.training.warmup_steps,
                loss: loss.mean(),
                weight_sum: loss.weight_sum,
                learning_rate: self.training.learning_rate_at(step),
                ..self.sizes(step, times)
            };
            self.tally.add(&record);
            recorder.step(record)?;
            if !loss.mean().is_finite() {
                return Ok(Some(self.not_finite(step, loss, recorder)));
            }
            self.n_step = step;
            observer.stepped(step, loss.mean());
        }
        Ok(None)
    }

    /// One step. A loss that is not finite stops it before the parameters change.
    fn step(&mut self, step: u64, start: Instant) -> Result<(StepRecord, LossSum), RunError> {
        self.pipeline.next(&mut self.prepared)?;
        let ready = Instant::now();
        let slot = if step.is_multiple_of(2) { Slot::A } else { Slot::B };
        let batch = self.prepared.batch();
        let learning_rate = self.training.learning_rate_at(step);
        let clock = Clock { synchronises: self.training.timing == Timing::Stages };
        let trainer = &mut *self.trainer;

        trainer.upload(slot, &batch)?;
        let uploaded = clock.tick(trainer)?;
        let loss = trainer.forward(slot, Mode::Training, step)?;
        let forwarded = clock.tick(trainer)?;
        let mut times = StepRecord {
            plan_ns: Some(self.prepared.plan_ns),
            collate_ns: Some(self.prepared.collate_ns),
            wait_ns: matches!(self.pipeline, Pipeline::Ahead(_)).then(|| nanoseconds(start, ready)),
            ..StepRecord::default()
        };
        if loss.mean().is_finite() {
            trainer.backward(self.training.weighting.scale(loss.weight_sum, self.constant))?;
            let backed = clock.tick(trainer)?;
            trainer.update(learning_rate)?;
            let updated = clock.tick(trainer)?;
            if clock.synchronises {
                times.upload_ns = Some(nanoseconds(ready, uploaded));
                times.forward_ns = Some(nanoseconds(uploaded, forwarded));
                times.backward_ns = Some(nanoseconds(forwarded, backed));
                times.optimiser_ns = Some(nanoseconds(backed, updated));
            }
        }
        trainer.synchronise()?;
        times.step_ns = nanoseconds(start, Instant::now());
        Ok((times, loss))
    }

    fn sizes(&self, step: u64, times: StepRecord) -> StepRecord {
        let (real, shape) = (self.prepared.plan.real, self.prepared.plan.shape);
        let batch: PaddedBatch<'_> = self.prepared.batch();
        StepRecord {
            step: step as i64,
            epoch: self.prepared.plan.cursor.epoch as i64,
            n_graph: i64::from(real.n_graph),
            n_node: i64::from(real.n_node),
            // Induced edges are known only to the collated batch.
            n_edge: i64::from(batch.real.n_edge),
            padded_n_graph: i64::from(shape.n_graph),
            padded_n_node: i64::from(shape.n_node),
            padded_n_edge: i64::from(shape.n_edge),
            ..times
        }
    }

    fn new_shape(&self, shape_id: i64, step_ns: i64, recorder: &mut Recorder) {
        let Shape { n_node, n_edge, n_graph, .. } = self.prepared.plan.shape;
        let message = format!(
            "shape {shape_id} of {n_node} nodes, {n_edge} edges and {n_graph} graphs appeared first"
        );
        let payload = json!({ "shape_id": shape_id, "n_node": n_node, "n_edge": n_edge,
            "n_graph": n_graph, "step_ns": step_ns });
        recorder.event(Some(self.n_step), "new_shape", message, Some(payload));
    }

    fn interrupted(&self, recorder: &mut Recorder) -> Ending {
        let reason = format!("interrupted after {} steps", self.n_step);
        recorder.event(Some(self.n_step), "interrupted", reason.clone(), None);
        Ending { status: Status::Interrupted, reason: Some(reason) }
    }

    fn not_finite(&self, step: u64, loss: LossSum, recorder: &mut Recorder) -> Ending {
        let reason = format!(
            "the loss of step {step} is {}; this step did not change the parameters",
            loss.mean()
        );
        let payload = json!({ "members": self.prepared.plan.members, "epoch": self.prepared.plan.cursor.epoch,
            "batch": self.prepared.plan.cursor.batch });
        recorder.event(Some(self.n_step), "nan", reason.clone(), Some(payload));
        Ending { status: Status::NotFinite, reason: Some(reason) }
    }
}

/// Reads the time at a boundary between stages.
struct Clock {
    synchronises: bool,
}

impl Clock {
    fn tick(&self, trainer: &mut dyn Trainer) -> Result<Instant, RunError> {
        if self.synchronises {
            trainer.synchronise()?;
        }
        Ok(Instant::now())
    }
}
