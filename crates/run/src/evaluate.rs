//! Evaluates a model on whole subsets: predicts every batch of a stream and accumulates the errors.

use std::cell::RefCell;
use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use batchlab_config::{Config, Subset, Training};
use batchlab_core::batcher::ByteCache;
use batchlab_core::graphs::{Target, TargetKind};
use batchlab_core::model::{Loss, Slot, Trainer};
use batchlab_core::record::EvalRecord;
use batchlab_core::{BatchContext, BatchFields, BatchPlan, Batcher, Graphs, Level, Purpose, View};
use batchlab_ranks::{Communicator, LostRanks};

use super::Data;
use super::pipeline::{KeptBatches, Pipeline, Prepared, Producer, TRAINING, nanoseconds, upload};
use crate::RunError;

pub(crate) struct Evaluator<'a> {
    graphs: &'a Arc<Graphs>,
    /// Cache for the preparation of batchers.
    prepared: &'a Arc<dyn ByteCache>,
    batcher: &'a dyn Batcher,
    /// The batcher under study, if it should also be used.
    own: Option<&'a dyn Batcher>,
    needs: BatchFields,
    loss: Loss,
    subsets: Vec<(Subset, &'a [u32])>,
    pub(crate) every: Option<NonZeroU64>,
    /// Batches that recur in every evaluation, by stream.
    kept: RefCell<HashMap<u64, KeptBatches>>,
    /// Their maximum size in bytes: as much as may stay on the device.
    kept_limit: usize,
    /// The ranks, which share the batches of every evaluation.
    pub(crate) ranks: Option<&'a dyn Communicator>,
}

impl<'a> Evaluator<'a> {
    /// Skips subsets without members.
    pub(crate) fn new(config: &'a Config, data: &'a Data) -> Result<Self, RunError> {
        let subset = |&subset: &Subset| (subset, data.subsets.of(subset));
        let subsets = config.evaluation.subsets.iter().map(subset);
        let evaluator = Self {
            graphs: &data.graphs,
            prepared: &data.prepared,
            batcher: &*config.evaluation.batcher,
            own: config
                .evaluation
                .own_batches
                .then_some(&*config.batcher)
                .filter(|own| own.label() != config.evaluation.batcher.label()),
            needs: config.model.needs(),
            loss: config.training.loss,
            subsets: subsets.filter(|(_, members)| !members.is_empty()).collect(),
            every: config.evaluation.every,
            kept: RefCell::default(),
            kept_limit: usize::try_from(config.training.resident_bytes()).unwrap_or(usize::MAX),
            ranks: None,
        };
        for &(subset, members) in &evaluator.subsets {
            for batcher in evaluator.batchers() {
                let (graphs, prepared) = (evaluator.graphs, evaluator.prepared);
                check_delivers(
                    "evaluation.batcher",
                    batcher,
                    graphs,
                    members,
                    subset.name(),
                    prepared,
                )?;
            }
        }
        evaluator.check_decisions(&config.training)?;
        Ok(evaluator)
    }

    /// Evaluates all subsets not yet evaluated after this step. Evaluations that are not complete
    /// when the run is interrupted are dropped.
    pub(crate) fn evaluate_all(
        &self,
        trainer: &mut dyn Trainer,
        at: At,
        done: &[EvalRecord],
        interrupted: &AtomicBool,
    ) -> Result<Vec<Evaluated>, RunError> {
        let mut all = Vec::new();
        for (is_own, batcher) in [false, true].into_iter().zip(self.batchers()) {
            let label = batcher.label();
            let is_done = |subset: Subset| {
                done.iter().any(|eval| {
                    eval.step == at.step as i64
                        && eval.subset == subset.name()
                        && eval.eval_batcher.as_ref().map_or(!is_own, |of| *of == label)
                })
            };
            let open = self.subsets.iter().filter(|(subset, _)| !is_done(*subset));
            let open: Vec<(Subset, &[u32])> = open.copied().collect();
            // One pass over the whole graph covers all of its nodes.
            let serves_all = self.graphs.level() == Level::Nodes && batcher.is_whole();
            for subsets in open.chunks(if serves_all { open.len().max(1) } else { 1 }) {
                all.extend(self.evaluate(trainer, (batcher, is_own), subsets, at, interrupted)?);
            }
        }
        Ok(all)
    }

    /// Number of batchers with which each subset is evaluated.
    pub(crate) fn n_batcher(&self) -> usize {
        self.batchers().count()
    }

    /// The batcher of all evaluations, and the one under study, if it should also be used.
    fn batchers(&self) -> impl Iterator<Item = &'a dyn Batcher> {
        std::iter::once(self.batcher).chain(self.own)
    }

    /// Rejects early stopping or plateau without validation data.
    fn check_decisions(&self, training: &Training) -> Result<(), RunError> {
        let key = match (training.plateau, training.early_stopping) {
            (Some(_), _) => "plateau",
            (None, Some(_)) => "early_stopping",
            (None, None) => return Ok(()),
        };
        if self.subsets.iter().any(|&(subset, _)| subset == Subset::Validation) {
            return Ok(());
        }
        Err(RunError::config(format!(
            "training.{key} needs a validation set, but it is empty; set split.validation, or remove \
             training.{key}"
        )))
    }

    /// Batches kept by an earlier evaluation of a stream, with the memory that the others leave.
    fn take_kept(&self, stream: u64) -> KeptBatches {
        let mut all = self.kept.borrow_mut();
        let own = all.remove(&stream).unwrap_or_default();
        let of_others: usize = all.values().map(|kept| kept.n_byte).sum();
        own.up_to(self.kept_limit.saturating_sub(of_others))
    }

    /// Evaluates subsets together; `None` if interrupted.
    fn evaluate(
        &self,
        trainer: &mut dyn Trainer,
        (batcher, is_own): (&dyn Batcher, bool),
        subsets: &[(Subset, &[u32])],
        at: At,
        interrupted: &AtomicBool,
    ) -> Result<Vec<Evaluated>, RunError> {
        let start = Instant::now();
        let stream = stream(subsets, is_own);
        let members = subsets.iter().map(|&(_, members)| members).collect::<Vec<_>>().concat();
        let view: View = self.graphs.view(&members);
        let producer = Producer::new(
            Arc::clone(self.graphs),
            batcher.open(view, context(self.prepared))?,
            self.needs.clone(),
        )?;
        let producer = match self.ranks {
            None => producer,
            Some(ranks) => producer.of_rank((ranks.rank(), ranks.n_rank())),
        };
        let mut pipeline = Pipeline::new(producer.keeping(self.take_kept(stream)), 0)?;
        let mut sums: Vec<Sums> = subsets.iter().map(|_| Sums::default()).collect();
        let place = places(subsets);
        let mut add = |output: Output<'_>| sums[place(output.member)].add(&output, self.loss);
        let passed = predict_all(trainer, &mut pipeline, Some(stream), interrupted, &mut add)?;
        if passed.is_none() {
            return Ok(Vec::new());
        }
        self.kept.borrow_mut().insert(stream, pipeline.into_kept());
        if let Some(ranks) = self.ranks {
            sums = sums.iter().map(|own| own.of_all(ranks)).collect::<Result<_, _>>()?;
        }
        let eval_ns = nanoseconds(start, Instant::now());
        let of_subset = |(&(subset, own), sums): (&(Subset, &[u32]), Sums)| {
            let share = own.len() as f64 / members.len().max(1) as f64;
            let (target, ns) = (self.graphs.target.as_ref(), (share * eval_ns as f64) as i64);
            let record = EvalRecord {
                train_ns: Some(at.train_ns),
                eval_batcher: Some(batcher.label()),
                ..sums.record(target, own, subset.name(), at.step, ns)
            };
            Evaluated {
                record,
                not_finite: sums.not_finite,
                is_deciding: !is_own && subset == Subset::Validation,
                is_own,
            }
        };
        Ok(subsets.iter().zip(sums).map(of_subset).collect())
    }
}

/// Maps members to the index of their subset.
fn places(subsets: &[(Subset, &[u32])]) -> impl Fn(u32) -> usize {
    let mut place: HashMap<u32, usize> = HashMap::new();
    for (index, (_, members)) in subsets.iter().enumerate().skip(1) {
        place.extend(members.iter().map(|&member| (member, index)));
    }
    move |member| place.get(&member).copied().unwrap_or_default()
}

/// Stream number of an evaluation among the [keys](batchlab_core::model::BatchKey) of a run:
/// batches of the strategy under study differ from evaluation batches, and batches of two subsets
/// together differ from those of each.
fn stream(subsets: &[(Subset, &[u32])], is_own: bool) -> u64 {
    let set: u64 = subsets.iter().map(|&(subset, _)| 1 << subset as u64).sum();
    TRAINING + 2 * set + u64::from(is_own)
}

/// The training state under evaluation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At {
    pub(crate) step: u64,
    /// Time of the preceding training steps.
    pub(crate) train_ns: i64,
}

pub(crate) struct Evaluated {
    pub(crate) record: EvalRecord,
    /// Whether it can affect the learning rate or end training.
    pub(crate) is_deciding: bool,
    /// Whether it used batches of the strategy under study.
    pub(crate) is_own: bool,
    /// The first members with a non-finite prediction or loss.
    pub(crate) not_finite: Vec<u32>,
}

/// Maximum number of non-finite members kept, because a diverged model has many.
const MAX_NOT_FINITE: usize = 1000;

pub(crate) fn context(prepared: &Arc<dyn ByteCache>) -> BatchContext {
    // An evaluation makes no random decisions.
    let cache = Arc::clone(prepared);
    BatchContext { cache, ..BatchContext::new(Purpose::Evaluation, 0) }
}

/// Checks, from sizes alone, that a batcher delivers every output once: if it lost some, strategies
/// would be evaluated on different graphs. `key` names the batcher, `subset` the members.
pub(crate) fn check_delivers(
    key: &str,
    batcher: &dyn Batcher,
    graphs: &Graphs,
    members: &[u32],
    subset: &str,
    prepared: &Arc<dyn ByteCache>,
) -> Result<(), RunError> {
    let mut stream = batcher.open(graphs.view(members), context(prepared))?;
    let (mut plan, mut n_output) = (BatchPlan::default(), 0);
    while stream.next(&mut plan)? {
        n_output += plan.real.n_output as usize;
    }
    if n_output == members.len() {
        return Ok(());
    }
    Err(RunError::config(format!(
        "{key} \"{}\" delivers {n_output} of the {} {} for {subset}, so errors would not cover all of them; \
         choose one that loses none",
        batcher.label(),
        members.len(),
        graphs.level().outputs(),
    )))
}

impl Sums {
    /// The sums of all ranks, the same bits on each.
    fn of_all(&self, ranks: &dyn Communicator) -> Result<Self, LostRanks> {
        let all = ranks.gather(bytemuck::cast_slice(&self.numbers()))?;
        let mut total = Self::default();
        for bytes in &all {
            let numbers = bytes.as_chunks().0.iter().map(|&bytes| f64::from_ne_bytes(bytes));
            total.add_numbers(&numbers.collect::<Vec<_>>());
        }
        total.not_finite.sort_unstable();
        total.not_finite.truncate(MAX_NOT_FINITE);
        Ok(total)
    }

    /// All of it as numbers: five sums, the number of members that are not finite, these, and the
    /// counts of the classes.
    fn numbers(&self) -> Vec<f64> {
        let sums = [self.n as f64, self.loss, self.squared, self.absolute, self.correct as f64];
        let not_finite = self.not_finite.iter().copied().map(f64::from);
        let classes = self.class.as_flattened().iter().map(|&n| n as f64);
        let n_not_finite = [self.not_finite.len() as f64];
        sums.into_iter().chain(n_not_finite).chain(not_finite).chain(classes).collect()
    }

    #[allow(clippy::cast_sign_loss, reason = "they are counts and members")]
    fn add_numbers(&mut self, numbers: &[f64]) {
        let Some((&[n, loss, squared, absolute, correct, n_not_finite], rest)) =
            numbers.split_first_chunk()
        else {
            return;
        };
        self.n += n as u64;
        self.loss += loss;
        self.squared += squared;
        self.absolute += absolute;
        self.correct += correct as u64;
        let (not_finite, classes) = rest.split_at(n_not_finite as usize);
        self.not_finite.extend(not_finite.iter().map(|&member| member as u32));
        let classes = classes.as_chunks::<3>().0;
        self.class.resize(self.class.len().max(classes.len()), [0; 3]);
        for (sum, own) in self.class.iter_mut().zip(classes) {
            for (sum, &n) in sum.iter_mut().zip(own) {
                *sum += n as u64;
            }
        }
    }
}

/// Totals of one pass over all batches of a stream, in nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct Pass {
    pub(crate) n_batch: u64,
    pub(crate) plan_ns: i64,
    pub(crate) collate_ns: i64,
    pub(crate) forward_ns: i64,
}

/// One non-padding output.
pub(crate) struct Output<'a> {
    pub(crate) member: u32,
    pub(crate) prediction: &'a [f32],
    /// The training target.
    target: f32,
}

/// Predicts all batches of a stream and passes every output to `each`. `None` if interrupted.
/// `stream` is the number under which recurring batches stay on the device.
pub(crate) fn predict_all(
    trainer: &mut dyn Trainer,
    pipeline: &mut Pipeline,
    stream: Option<u64>,
    interrupted: &AtomicBool,
    each: &mut dyn FnMut(Output<'_>),
) -> Result<Option<Pass>, RunError> {
    let (mut prepared, mut prediction) = (Prepared::default(), Vec::new());
    let mut pass = Pass::default();
    while pipeline.next(&mut prepared)? {
        if interrupted.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let batch = prepared.batch();
        let start = Instant::now();
        match stream {
            Some(stream) => upload(trainer, Slot::A, &prepared, stream)?,
            None => trainer.upload(Slot::A, &batch)?,
        }
        trainer.predict(Slot::A, &mut prediction)?;
        pass.n_batch += 1;
        pass.plan_ns += prepared.plan_ns;
        pass.collate_ns += prepared.collate_ns;
        pass.forward_ns += nanoseconds(start, Instant::now());
        let width = prediction.len() / batch.output_row.len().max(1);
        let outputs = batch.output_target.iter().zip(batch.output_weight);
        let rows = prediction.chunks_exact(width.max(1)).zip(batch.output_row);
        for ((prediction, &row), (&target, &weight)) in rows.zip(outputs) {
            if weight != 0.0 {
                each(Output { member: batch.origin[row as usize], prediction, target });
            }
        }
    }
    Ok(Some(pass))
}

/// Sums over outputs, in standardised units.
#[derive(Default)]
pub(crate) struct Sums {
    pub(crate) n: u64,
    loss: f64,
    squared: f64,
    absolute: f64,
    correct: u64,
    /// For each class: correct predictions, predictions, and outputs.
    class: Vec<[u64; 3]>,
    not_finite: Vec<u32>,
}

impl Sums {
    pub(crate) fn add(&mut self, output: &Output<'_>, loss: Loss) {
        let &Output { member, prediction, target } = output;
        self.n += 1;
        let error = f64::from(prediction[0]) - f64::from(target);
        self.squared += error * error;
        self.absolute += error.abs();
        let own = match loss {
            Loss::Mse => error * error,
            Loss::Mae => error.abs(),
            Loss::CrossEntropy => {
                self.count(largest(prediction), class_number(target));
                negative_log_likelihood(prediction, target)
            }
        };
        self.loss += own;
        if !own.is_finite() && self.not_finite.len() < MAX_NOT_FINITE {
            self.not_finite.push(member);
        }
    }

    fn count(&mut self, predicted: usize, class: usize) {
        let n_class = self.class.len().max(predicted.max(class) + 1);
        self.class.resize(n_class, [0; 3]);
        self.class[predicted][1] += 1;
        self.class[class][2] += 1;
        if predicted == class {
            self.correct += 1;
            self.class[class][0] += 1;
        }
    }

    /// Mean of 2 x correct / (predicted + occurring) over the classes that occur or are predicted.
    fn macro_f1(&self) -> f64 {
        let of_class = self.class.iter().filter(|[_, predicted, n]| predicted + n > 0);
        let f1 = of_class.map(|&[right, predicted, n]| 2.0 * right as f64 / (predicted + n) as f64);
        let (sum, n) = f1.fold((0.0, 0_u32), |(sum, n), f1| (sum + f1, n + 1));
        sum / f64::from(n.max(1))
    }

    pub(crate) fn record(
        &self,
        target: Option<&Target>,
        members: &[u32],
        subset: &str,
        step: u64,
        eval_ns: i64,
    ) -> EvalRecord {
        let n = self.n.max(1) as f64;
        let numeric = target.filter(|t| matches!(t.kind, TargetKind::Regression { .. }));
        let unit = numeric.map(|t| t.standardisation.deviation);
        EvalRecord {
            run_id: String::new(),
            step: step as i64,
            subset: subset.into(),
            n_output: Some(self.n as i64),
            loss: Some(self.loss / n),
            rmse: unit.map(|unit| unit * (self.squared / n).sqrt()),
            mae: unit.map(|unit| unit * self.absolute / n),
            accuracy: target.filter(|_| unit.is_none()).map(|_| self.correct as f64 / n),
            macro_f1: target.filter(|_| unit.is_none()).map(|_| self.macro_f1()),
            rmse_of_mean: numeric.map(|t| rmse_of_mean(t, members)),
            eval_ns: Some(eval_ns),
            train_ns: None,
            eval_batcher: None,
        }
    }
}

fn rmse_of_mean(target: &Target, members: &[u32]) -> f64 {
    let mean = target.standardisation.mean;
    let known = members.iter().filter_map(|&member| target.known(member));
    let (squared, n) =
        known.fold((0.0, 0), |(sum, n), value| (sum + (value - mean).powi(2), n + 1));
    (squared / f64::from(n.max(1))).sqrt()
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

#[cfg(test)]
mod tests;
