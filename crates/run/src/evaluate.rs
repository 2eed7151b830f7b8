//! Evaluates a model on whole subsets during training.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use batchlab_config::{Config, Subset};
use batchlab_core::graphs::{Target, TargetKind};
use batchlab_core::model::{Loss, Slot, Trainer};
use batchlab_core::record::EvalRecord;
use batchlab_core::{
    BatchContext, BatchFields, BatchPlan, Batcher, Graphs, PaddedBatch, Purpose, View,
};

use super::Data;
use super::pipeline::{Pipeline, Prepared, Producer, nanoseconds};
use crate::RunError;

pub(crate) struct Evaluator<'a> {
    graphs: &'a Arc<Graphs>,
    batcher: &'a dyn Batcher,
    needs: BatchFields,
    loss: Loss,
    subsets: Vec<(Subset, &'a [u32])>,
    pub(crate) every: Option<NonZeroU64>,
}

impl<'a> Evaluator<'a> {
    /// Subsets without members are left out.
    pub(crate) fn new(config: &'a Config, data: &'a Data) -> Result<Self, RunError> {
        let subset = |&subset: &Subset| (subset, data.subsets.of(subset));
        let subsets = config.evaluation.subsets.iter().map(subset);
        let evaluator = Self {
            graphs: &data.graphs,
            batcher: &*config.evaluation.batcher,
            needs: config.model.needs(),
            loss: config.training.loss,
            subsets: subsets.filter(|(_, members)| !members.is_empty()).collect(),
            every: config.evaluation.every,
        };
        evaluator
            .subsets
            .iter()
            .try_for_each(|&(subset, members)| evaluator.check(subset, members))?;
        Ok(evaluator)
    }

    /// Evaluates all subsets that were not yet evaluated after this step; those that are not
    /// complete when the run is interrupted are left out.
    pub(crate) fn evaluate_all(
        &self,
        trainer: &mut dyn Trainer,
        step: u64,
        done: &[EvalRecord],
        interrupted: &AtomicBool,
    ) -> Result<Vec<Evaluated>, RunError> {
        let is_done = |subset: Subset| {
            done.iter().any(|eval| eval.step == step as i64 && eval.split == subset.name())
        };
        let evaluate = |&(subset, members): &(Subset, &[u32])| {
            self.evaluate(trainer, subset, members, step, interrupted).transpose()
        };
        self.subsets.iter().filter(|(subset, _)| !is_done(*subset)).filter_map(evaluate).collect()
    }

    /// Refuses a batcher that loses outputs: each strategy would be evaluated on other graphs.
    fn check(&self, subset: Subset, members: &[u32]) -> Result<(), RunError> {
        let n_output = n_delivered(self.batcher, self.graphs.view(members))?;
        if n_output == members.len() {
            return Ok(());
        }
        Err(RunError::config(format!(
            "evaluation.batcher \"{}\" delivers {n_output} of the {} graphs for {}; \
             choose one that loses none",
            self.batcher.label(),
            members.len(),
            subset.name()
        )))
    }

    fn evaluate(
        &self,
        trainer: &mut dyn Trainer,
        subset: Subset,
        members: &[u32],
        step: u64,
        interrupted: &AtomicBool,
    ) -> Result<Option<Evaluated>, RunError> {
        let start = Instant::now();
        let view: View = self.graphs.view(members);
        let producer = Producer::new(
            Arc::clone(self.graphs),
            self.batcher.open(view, context())?,
            self.needs,
        )?;
        let mut pipeline = Pipeline::new(producer, 0)?;
        let (mut prepared, mut prediction) = (Prepared::default(), Vec::new());
        let mut sums = Sums::default();
        while pipeline.next(&mut prepared)? {
            if interrupted.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let batch = prepared.batch();
            trainer.upload(Slot::A, &batch)?;
            trainer.predict(Slot::A, &mut prediction)?;
            sums.add(&batch, &prediction, self.loss);
        }
        let target = self.graphs.target.as_ref();
        let eval_ns = nanoseconds(start, Instant::now());
        let record = sums.record(target, members, subset.name(), step, eval_ns);
        Ok(Some(Evaluated { record, not_finite: sums.not_finite }))
    }
}

pub(crate) struct Evaluated {
    pub(crate) record: EvalRecord,
    /// The first members whose prediction or loss is not finite.
    pub(crate) not_finite: Vec<u32>,
}

/// At most this many members that are not finite are kept: a model that has diverged has many.
const MAX_NOT_FINITE: usize = 1000;

pub(crate) fn context() -> BatchContext {
    // An evaluation makes no random decision.
    BatchContext::new(Purpose::Evaluation, 0)
}

/// Outputs that a batcher delivers in one evaluation, from sizes alone.
pub(crate) fn n_delivered(batcher: &dyn Batcher, view: View) -> Result<usize, RunError> {
    let mut stream = batcher.open(view, context())?;
    let (mut plan, mut n_output) = (BatchPlan::default(), 0);
    while stream.next(&mut plan)? {
        n_output += plan.real.n_output as usize;
    }
    Ok(n_output)
}

/// Sums over outputs, in standardised units.
#[derive(Default)]
pub(crate) struct Sums {
    n: u64,
    loss: f64,
    squared: f64,
    absolute: f64,
    correct: u64,
    not_finite: Vec<u32>,
}

impl Sums {
    pub(crate) fn add(&mut self, batch: &PaddedBatch<'_>, prediction: &[f32], loss: Loss) {
        let width = prediction.len() / batch.output_row.len().max(1);
        let outputs = batch.output_target.iter().zip(batch.output_weight);
        let rows = prediction.chunks_exact(width.max(1)).zip(batch.output_row);
        for ((row, &member), (&target, &weight)) in rows.zip(outputs) {
            if weight == 0.0 {
                continue;
            }
            self.n += 1;
            let error = f64::from(row[0]) - f64::from(target);
            self.squared += error * error;
            self.absolute += error.abs();
            let own = match loss {
                Loss::Mse => error * error,
                Loss::Mae => error.abs(),
                Loss::CrossEntropy => {
                    self.correct += u64::from(largest(row) == class_number(target));
                    negative_log_likelihood(row, target)
                }
            };
            self.loss += own;
            if !own.is_finite() && self.not_finite.len() < MAX_NOT_FINITE {
                self.not_finite.push(batch.origin[member as usize]);
            }
        }
    }

    pub(crate) fn record(
        &self,
        target: Option<&Target>,
        members: &[u32],
        split: &str,
        step: u64,
        eval_ns: i64,
    ) -> EvalRecord {
        let n = self.n.max(1) as f64;
        let numeric = target.filter(|t| matches!(t.kind, TargetKind::Regression { .. }));
        let unit = numeric.map(|t| t.standardisation.deviation);
        EvalRecord {
            run_id: String::new(),
            step: step as i64,
            split: split.into(),
            n_output: Some(self.n as i64),
            loss: Some(self.loss / n),
            rmse: unit.map(|unit| unit * (self.squared / n).sqrt()),
            mae: unit.map(|unit| unit * self.absolute / n),
            accuracy: target.filter(|_| unit.is_none()).map(|_| self.correct as f64 / n),
            rmse_of_mean: numeric.map(|t| rmse_of_mean(t, members)),
            eval_ns: Some(eval_ns),
        }
    }
}

fn rmse_of_mean(target: &Target, members: &[u32]) -> f64 {
    let mean = target.standardisation.mean;
    let squared = members.iter().map(|&id| (target.value[id as usize] - mean).powi(2)).sum::<f64>();
    (squared / members.len().max(1) as f64).sqrt()
}

pub(crate) fn largest(row: &[f32]) -> usize {
    let best = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    best.map_or(0, |(class, _)| class)
}

fn class_number(target: f32) -> usize {
    #[allow(clippy::cast_sign_loss, reason = "class numbers are not negative")]
    (target as usize)
}

fn negative_log_likelihood(row: &[f32], class: f32) -> f64 {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = row.iter().map(|&v| f64::from(v - max).exp()).sum();
    let own = row.get(class_number(class)).copied().unwrap_or(f32::NEG_INFINITY);
    sum.ln() - f64::from(own - max)
}
