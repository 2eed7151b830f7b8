//! Training on several ranks: each rank computes the gradients of its own batch and updates with
//! the sum over all ranks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use batchlab_core::model::{LossSum, Mode, Slot, StepOptions, Trainer};
use batchlab_core::record::StepRecord;
use batchlab_core::{BatchPlan, Shape};
use batchlab_ranks::{Communicator, LostRanks};

use crate::RunError;
use crate::pipeline::nanoseconds;
use crate::train::finished;

/// A run's connection to the other ranks.
pub(crate) struct Together<'a> {
    pub(crate) others: &'a dyn Communicator,
    /// Set externally on this rank.
    requested: &'a AtomicBool,
    /// Set on all ranks after the same step if any rank was asked to end.
    agreed: Arc<AtomicBool>,
    /// Gradient sums, followed by everything else to be summed over the ranks.
    sums: Vec<f64>,
}

/// A step on all ranks.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct SharedStep {
    pub(crate) loss: LossSum,
    /// Upload, forward, backward and update on this rank; `None` unless each is synchronised.
    pub(crate) device: Option<[i64; 4]>,
    /// Ranks with a non-finite loss; if there are any, no rank has updated.
    pub(crate) not_finite: Vec<usize>,
    wait_ns: i64,
    all_reduce_ns: i64,
    /// Sizes without and with padding, summed over the ranks.
    sizes: [[i64; 4]; 2],
    n_edge_rank: i64,
}

/// Positions in the sums, from the end of the gradients.
const LOSS: usize = 0;
const WEIGHT: usize = 1;
const INTERRUPTED: usize = 2;
const WAIT: usize = 3;
const SIZES: usize = 4;
/// Followed by two numbers per rank: whether its loss is not finite, and its number of edges.
const OF_RANKS: usize = SIZES + 8;

impl<'a> Together<'a> {
    pub(crate) fn new(others: &'a dyn Communicator, requested: &'a AtomicBool) -> Self {
        Self { others, requested, agreed: Arc::default(), sums: Vec::new() }
    }

    /// The flag that ends the run, set on all ranks alike.
    pub(crate) fn interrupted(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.agreed)
    }

    /// Step number that is unique across ranks: the key for the random decisions of a step.
    pub(crate) fn number(&self, step: u64) -> u64 {
        step * self.others.n_rank() as u64 + self.others.rank() as u64
    }

    /// A whole step. With loss l and weight w per output, every rank contributes the gradient of
    /// the sum of w l over its own outputs. The sum over the ranks, divided by the total weight, is
    /// the gradient that a single process would compute on all of these graphs. A rank without
    /// graphs contributes zeros. `begin`: if the stages are timed, when the step began.
    pub(crate) fn step(
        &mut self,
        trainer: &mut dyn Trainer,
        slot: Slot,
        options: &StepOptions<'_>,
        plan: &BatchPlan,
        begin: Option<Instant>,
    ) -> Result<SharedStep, RunError> {
        let is_idle = plan.members.is_empty();
        let mut stages = Stages::new(begin);
        stages.end(0, trainer)?;
        let own = if is_idle {
            LossSum::default()
        } else {
            trainer.forward(slot, Mode::Training, options.key)?
        };
        stages.end(1, trainer)?;
        let is_finite = own.mean().is_finite();
        self.sums.clear();
        if is_finite && !is_idle {
            trainer.backward(own.weight_sum)?;
            for gradient in trainer.gradients()? {
                self.sums.extend(gradient.data.iter().copied().map(f64::from));
            }
        }
        self.sums.resize(trainer.n_parameter(), 0.0);
        stages.end(2, trainer)?;

        let shared = self.exchange(own, plan)?;
        stages.restart();
        if shared.not_finite.is_empty() {
            let weight_sum = shared.loss.weight_sum;
            // With a total weight of zero there is no gradient.
            let factor =
                if weight_sum > 0.0 { (options.scale)(weight_sum) / weight_sum } else { 0.0 };
            let sums = &self.sums[..trainer.n_parameter()];
            let gradients: Vec<f32> = sums.iter().map(|sum| (factor * sum) as f32).collect();
            trainer.replace_gradients(&gradients)?;
            trainer.update(options.learning_rate)?;
        }
        stages.end(3, trainer)?;
        Ok(SharedStep { device: stages.times, ..shared })
    }

    /// Sums the contributions of the ranks in one all-reduce.
    fn exchange(&mut self, own: LossSum, plan: &BatchPlan) -> Result<SharedStep, LostRanks> {
        let (rank, n_rank) = (self.others.rank(), self.others.n_rank());
        let begin = Instant::now();
        self.others.wait_for_all()?;
        let arrived = Instant::now();

        let at = self.sums.len();
        self.sums.resize(at + OF_RANKS + 2 * n_rank, 0.0);
        let more = &mut self.sums[at..];
        more[LOSS] = own.loss_sum;
        more[WEIGHT] = own.weight_sum;
        more[INTERRUPTED] = f64::from(u8::from(self.requested.load(Ordering::Relaxed)));
        more[WAIT] = nanoseconds(begin, arrived) as f64;
        for (place, size) in more[SIZES..].iter_mut().zip(sizes(plan).as_flattened()) {
            *place = f64::from(*size);
        }
        more[OF_RANKS + rank] = f64::from(u8::from(!own.mean().is_finite()));
        more[OF_RANKS + n_rank + rank] = f64::from(plan.real.n_edge);
        self.others.sum(&mut self.sums)?;

        let more = &self.sums[at..];
        if more[INTERRUPTED] > 0.0 {
            self.agreed.store(true, Ordering::Relaxed);
        }
        let (not_finite, n_edge) = more[OF_RANKS..].split_at(n_rank);
        let mut sizes = [[0; 4]; 2];
        for (size, sum) in sizes.as_flattened_mut().iter_mut().zip(&more[SIZES..]) {
            *size = *sum as i64;
        }
        Ok(SharedStep {
            loss: LossSum { loss_sum: more[LOSS], weight_sum: more[WEIGHT] },
            device: None,
            not_finite: (0..n_rank).filter(|&rank| not_finite[rank] > 0.0).collect(),
            wait_ns: (more[WAIT] / n_rank as f64) as i64,
            all_reduce_ns: nanoseconds(arrived, Instant::now()),
            sizes,
            n_edge_rank: n_edge.iter().copied().fold(0.0, f64::max) as i64,
        })
    }

    /// For example `The batch of rank 1 holds graphs 4, 17`: `own`, the members of a rank's batch,
    /// for the ranks with a non-finite loss.
    pub(crate) fn name_not_finite(
        &self,
        shared: &SharedStep,
        own: &str,
    ) -> Result<String, LostRanks> {
        let all = self.others.gather(own.as_bytes())?;
        let named = shared.not_finite.iter().map(|&rank| {
            format!("The batch of rank {rank} holds {}", String::from_utf8_lossy(&all[rank]))
        });
        Ok(named.collect::<Vec<_>>().join(". "))
    }

    /// Checks that all ranks have the same parameters and optimiser moments.
    pub(crate) fn check_parameters(
        &self,
        trainer: &dyn Trainer,
        step: u64,
    ) -> Result<(), RunError> {
        let state = trainer.state()?;
        let mut hash = crc32c::crc32c(&state.engine);
        for tensor in state.tensors {
            hash = crc32c::crc32c_append(hash, bytemuck::cast_slice(&tensor.data));
        }
        let all = self.others.gather(&hash.to_le_bytes())?;
        match all.iter().position(|of_rank| *of_rank != all[0]) {
            None => Ok(()),
            Some(rank) => Err(RunError::RanksDiffer { rank, step }),
        }
    }
}

fn sizes(plan: &BatchPlan) -> [[u32; 4]; 2] {
    let of = |shape: Shape| [shape.n_graph, shape.n_node, shape.n_edge, shape.n_output];
    let shape = if plan.members.is_empty() { Shape::default() } else { plan.shape };
    [of(plan.real), of(shape)]
}

impl SharedStep {
    /// Replaces the numbers in this rank's row by those of all ranks.
    pub(crate) fn fill(&self, record: &mut StepRecord) {
        let [real, padded] = self.sizes;
        [record.n_graph, record.n_node, record.n_edge, record.n_output] = real;
        let [n_graph, n_node, n_edge, n_output] = padded;
        (record.n_graph_padded, record.n_node_padded) = (n_graph, n_node);
        (record.n_edge_padded, record.n_output_padded) = (n_edge, n_output);
        record.rank_wait_ns = Some(self.wait_ns);
        record.all_reduce_ns = Some(self.all_reduce_ns);
        record.n_edge_rank = Some(self.n_edge_rank);
    }
}

/// Times of the stages of a step, if requested.
struct Stages {
    begin: Option<Instant>,
    times: Option<[i64; 4]>,
}

impl Stages {
    fn new(begin: Option<Instant>) -> Self {
        Self { begin, times: begin.map(|_| [0; 4]) }
    }

    fn end(&mut self, stage: usize, trainer: &mut dyn Trainer) -> Result<(), RunError> {
        if let (Some(begin), Some(times)) = (&mut self.begin, &mut self.times) {
            let end = finished(trainer)?;
            times[stage] = nanoseconds(*begin, end);
            *begin = end;
        }
        Ok(())
    }

    fn restart(&mut self) {
        self.begin = self.begin.map(|_| Instant::now());
    }
}

/// Checks before the first step that all ranks train the same run: `own` holds names and values
/// that must be equal.
pub(crate) fn agree(others: &dyn Communicator, own: &[(&str, String)]) -> Result<(), RunError> {
    let text: Vec<String> = own.iter().map(|(name, value)| format!("{name}\t{value}")).collect();
    let all = others.gather(text.join("\n").as_bytes())?;
    let all: Vec<_> = all.iter().map(|text| String::from_utf8_lossy(text)).collect();
    let mut differences = Vec::new();
    for (rank, text) in all.iter().enumerate() {
        for (first, other) in all[0].lines().zip(text.lines()).filter(|(a, b)| a != b) {
            let ((name, first), (_, other)) = (pair(first), pair(other));
            differences.push(format!("  {name}: {first} on rank 0, {other} on rank {rank}"));
        }
    }
    if differences.is_empty() {
        return Ok(());
    }
    Err(RunError::config(format!(
        "the ranks were not started with the same training; these differ:\n{}\nstart all with the same program, \
         configuration and data",
        differences.join("\n")
    )))
}

fn pair(line: &str) -> (&str, &str) {
    line.split_once('\t').unwrap_or((line, ""))
}

#[cfg(test)]
mod tests;
