//! Reduces the steps of a run while reading, because those of a long study do not fit in memory.

use std::collections::BTreeMap;

use batchlab_core::record::{RunRecord, StepRecord};
use serde::Serialize;

use super::new_shapes::{NewShapes, ShapeLog};
use super::parts::{PartSums, Parts};

/// Maximum number of stretches for the course of the step time.
const N_STRETCH: i64 = 40;

/// Totals of a run's steps.
///
/// The warm-up (the first block of a cell, or the first steps of a standalone run) is excluded from
/// everything except the first three numbers and `stretches`. These four cover only the requested
/// steps; all others include steps for timing only.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct StepSummary {
    /// Steps done: the last one with a finite loss.
    pub n_step: i64,
    /// Number of distinct padded shapes.
    pub n_shape: i64,
    /// Time of these steps in nanoseconds, including the warm-up.
    pub train_ns: i64,
    /// Times of a typical step; `None` if all steps were warm-up.
    pub times: Option<Times>,
    /// Throughput and fill of the steps.
    pub work: Option<Work>,
    /// Breakdown of the time per output.
    pub parts: Option<Parts>,
    /// First uses of padded shapes, and their cost.
    pub new_shapes: NewShapes,
    /// Blocks of a run in a cell, in order.
    pub blocks: Vec<Block>,
    /// Last step of each stretch and the mean time of its steps in nanoseconds, including the
    /// warm-up.
    pub stretches: Vec<(f64, f64)>,
}

/// A typical step of one run, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Times {
    /// Mean time of planning and collating a batch.
    pub batching_mean: f64,
    /// Mean time of everything else in a step.
    pub update_mean: f64,
    /// Mean time of a whole step.
    pub combined_mean: f64,
    /// Median time of a whole step.
    pub combined_median: f64,
}

/// Throughput and fill of one run's steps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Work {
    /// Outputs per second of training.
    pub outputs_per_s: f64,
    /// Real edges per second of training.
    pub edges_per_s: f64,
    /// Mean number of outputs per step.
    pub outputs_per_step: f64,
    /// Real nodes as a fraction of all nodes.
    pub node_fill: f64,
    /// Real edges as a fraction of all edges.
    pub edge_fill: f64,
    /// Fraction of the step time spent on data: planning and copying, or waiting if another thread
    /// prepares batches.
    pub data_share: f64,
}

/// Time and outputs of one block of a run in a cell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Block {
    /// Index of the block, from 1: block 0 is the warm-up of the cell.
    pub number: i64,
    /// Time of its steps in nanoseconds.
    pub ns: f64,
    /// Number of steps.
    pub n_step: f64,
    /// Number of outputs in these steps.
    pub n_output: f64,
    /// Time and outputs of the steps with a known shape.
    pub known: (f64, f64),
    /// Whether its pair was found to be disturbed and is excluded from comparisons.
    pub is_disturbed: bool,
}

impl Block {
    /// The mirrored pairs among the blocks of a run: 1 and 2, 3 and 4, ... In the second block of a
    /// pair, the runs of a cell train in reverse order.
    pub fn mirrored(blocks: &[Self]) -> impl Iterator<Item = [&Self; 2]> {
        let pairs = blocks.windows(2).map(|two| [&two[0], &two[1]]);
        pairs.filter(|[first, second]| first.number % 2 == 1 && second.number == first.number + 1)
    }

    /// Index of its mirrored pair, from 1: blocks 1 and 2, 3 and 4, ...
    #[must_use]
    pub fn pair(&self) -> i64 {
        (self.number + 1) / 2
    }

    /// Nanoseconds per output.
    #[must_use]
    pub fn ns_per_output(&self) -> f64 {
        self.ns / self.n_output
    }

    /// The same without the first steps of a shape, for which some engines compile; NaN if there are
    /// no others. Disturbances are found in it, as compiling is none.
    #[must_use]
    pub fn known_ns_per_output(&self) -> f64 {
        self.known.0 / self.known.1
    }

    fn is_measured(&self) -> bool {
        self.ns > 0.0 && self.n_output > 0.0
    }
}

/// Running sums over the steps of a run.
#[derive(Debug, Clone)]
pub struct StepSums {
    is_serial: bool,
    n_step_planned: i64,
    n_step: i64,
    n_shape: i64,
    train_ns: i64,
    time: Vec<f64>,
    batching: f64,
    n_output: f64,
    /// Real, and with padding.
    n_node: [f64; 2],
    n_edge: [f64; 2],
    /// Time spent preparing batches, or waiting for them.
    data: f64,
    parts: PartSums,
    shapes: ShapeLog,
    blocks: BTreeMap<i64, Block>,
    /// Number of steps and their time per stretch; as many stretches as steps, but at most 40.
    stretches: Vec<(f64, f64)>,
}

impl StepSums {
    /// Empty sums for a run with this row.
    #[must_use]
    pub fn new(run: &RunRecord) -> Self {
        let n_step = run.n_step_planned.or(run.n_step).unwrap_or(1);
        Self::planned(n_step, run.prefetch_depth == 0)
    }

    /// Empty sums for a run with this many planned steps, whose batches are prepared between the
    /// steps (`is_serial`) or ahead of time by another thread.
    #[must_use]
    pub fn planned(n_step: i64, is_serial: bool) -> Self {
        let n_step_planned = n_step.max(1);
        let n_stretch = usize::try_from(N_STRETCH.min(n_step_planned)).unwrap_or(1);
        Self {
            is_serial,
            n_step_planned,
            n_step: 0,
            n_shape: 0,
            train_ns: 0,
            time: Vec::new(),
            batching: 0.0,
            n_output: 0.0,
            n_node: [0.0; 2],
            n_edge: [0.0; 2],
            data: 0.0,
            parts: PartSums::default(),
            shapes: ShapeLog::default(),
            blocks: BTreeMap::new(),
            stretches: vec![(0.0, 0.0); n_stretch],
        }
    }

    /// Adds the next step.
    pub fn add(&mut self, step: &StepRecord) {
        self.shapes.add(step);
        if step.is_timing_only != Some(true) {
            self.add_planned(step);
        }
        if step.is_warmup {
            return;
        }
        let time = step.step_ns as f64;
        let batching = step.plan_ns.unwrap_or(0) as f64 + step.collate_ns.unwrap_or(0) as f64;
        let n_output = step.n_output as f64;
        self.time.push(time);
        self.batching += batching;
        self.parts.add(step);
        if let Some(number) = step.block {
            let block = self.blocks.entry(number).or_insert(Block { number, ..Block::default() });
            block.ns += time;
            block.n_step += 1.0;
            block.n_output += n_output;
            if !step.is_new_shape {
                block.known.0 += time;
                block.known.1 += n_output;
            }
        }
        // Preparation of prefetched batches is not part of the step; waiting for them is.
        let wait = || step.wait_ns.unwrap_or(0) as f64;
        self.data += if self.is_serial { batching } else { wait() };
        self.n_output += n_output;
        add(&mut self.n_node, [step.n_node, step.n_node_padded]);
        add(&mut self.n_edge, [step.n_edge, step.n_edge_padded]);
    }

    fn add_planned(&mut self, step: &StepRecord) {
        self.train_ns = self.train_ns.saturating_add(step.step_ns);
        self.n_shape = self.n_shape.max(step.shape_id.saturating_add(1));
        if step.loss.is_finite() {
            self.n_step = step.step;
        }
        let n_stretch = self.stretches.len() as i64;
        let stretch = step.step.saturating_sub(1).saturating_mul(n_stretch) / self.n_step_planned;
        let place = usize::try_from(stretch.clamp(0, n_stretch - 1)).unwrap_or(0);
        let stretch = &mut self.stretches[place];
        *stretch = (stretch.0 + 1.0, stretch.1 + step.step_ns as f64);
    }

    /// Time of the requested steps so far in nanoseconds, including the warm-up.
    #[must_use]
    pub fn train_ns(&self) -> i64 {
        self.train_ns
    }

    /// A block of a run in a cell; `None` for block 0, which is the warm-up.
    #[must_use]
    pub fn block(&self, number: i64) -> Option<Block> {
        self.blocks.get(&number).filter(|block| block.is_measured()).copied()
    }

    /// Summary of the steps so far.
    #[must_use]
    pub fn summary(&self) -> StepSummary {
        let width = self.n_step_planned as f64 / self.stretches.len() as f64;
        let stretches = self.stretches.iter().enumerate().filter(|(_, (n, _))| *n > 0.0);
        let stretches = stretches.map(|(i, (n, ns))| (((i as f64 + 1.0) * width).ceil(), ns / n));
        StepSummary {
            n_step: self.n_step,
            n_shape: self.n_shape,
            train_ns: self.train_ns,
            times: self.times(),
            work: self.work(),
            parts: self.parts.reduce(self.is_serial),
            new_shapes: self.shapes.reduce(),
            blocks: self.blocks.values().filter(|block| block.is_measured()).copied().collect(),
            stretches: stretches.collect(),
        }
    }

    fn times(&self) -> Option<Times> {
        use batchlab_stats::{mean, median};
        let (combined_mean, combined_median) = (mean(&self.time)?, median(&self.time)?);
        let n_step = self.time.len() as f64;
        Some(Times {
            batching_mean: self.batching / n_step,
            update_mean: combined_mean - self.data / n_step,
            combined_mean,
            combined_median,
        })
    }

    fn work(&self) -> Option<Work> {
        let ns = self.time.iter().sum::<f64>();
        if ns <= 0.0 {
            return None;
        }
        // Without any nodes or edges, none are wasted on padding.
        let fill = |[real, all]: [f64; 2]| if all > 0.0 { real / all } else { 1.0 };
        Some(Work {
            outputs_per_s: self.n_output / (ns / 1e9),
            edges_per_s: self.n_edge[0] / (ns / 1e9),
            outputs_per_step: self.n_output / self.time.len() as f64,
            node_fill: fill(self.n_node),
            edge_fill: fill(self.n_edge),
            data_share: self.data / ns,
        })
    }
}

fn add(sums: &mut [f64; 2], more: [i64; 2]) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += more as f64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(number: i64, step_ns: i64, block: Option<i64>) -> StepRecord {
        StepRecord {
            run_id: "a".into(),
            step: number,
            epoch: 0,
            n_graph: 31,
            n_node: 90,
            n_edge: 0,
            n_output: 31,
            n_graph_padded: 32,
            n_node_padded: 100,
            n_edge_padded: 0,
            n_output_padded: 32,
            shape_id: number % 2,
            is_new_shape: number < 2,
            is_warmup: block.map_or(number == 1, |block| block == 0),
            plan_ns: Some(step_ns / 10),
            collate_ns: Some(step_ns / 10),
            wait_ns: None,
            upload_ns: None,
            forward_ns: None,
            backward_ns: None,
            optimiser_ns: None,
            rank_wait_ns: None,
            all_reduce_ns: None,
            n_edge_rank: None,
            step_ns,
            loss: 1.0,
            weight_sum: 31.0,
            learning_rate: 1e-3,
            block,
            turn: block,
            is_timing_only: Some(false),
        }
    }

    #[test]
    fn warm_up_does_not_count_in_typical_times() {
        let mut sums = StepSums::planned(3, true);
        let second = 1_000_000_000;
        for (number, seconds) in [(1, 9), (2, 1), (3, 3)] {
            sums.add(&step(number, seconds * second, None));
        }
        let summary = sums.summary();
        assert_eq!((summary.n_step, summary.n_shape, summary.train_ns), (3, 2, 13 * second));
        let (times, work) = (summary.times.unwrap(), summary.work.unwrap());
        assert_eq!((times.combined_median, times.batching_mean), (2e9, 0.4e9));
        assert!((work.outputs_per_s - 15.5).abs() < 1e-9);
        assert!((work.node_fill - 0.9).abs() < 1e-9 && (work.edge_fill - 1.0).abs() < 1e-9);
        assert_eq!(summary.stretches.len(), 3);
    }

    #[test]
    fn a_run_of_warm_up_alone_has_no_typical_step() {
        let mut sums = StepSums::planned(1, true);
        sums.add(&step(1, 5, None));
        let summary = sums.summary();
        assert_eq!((summary.n_step, summary.train_ns), (1, 5));
        assert!(summary.times.is_none() && summary.work.is_none() && summary.parts.is_none());
    }

    #[test]
    fn the_first_block_of_a_cell_is_its_warm_up() {
        let mut sums = StepSums::planned(4, true);
        for number in 1..=4 {
            sums.add(&step(number, 10 * number, Some((number - 1) / 2)));
        }
        let summary = sums.summary();
        let [block] = summary.blocks[..] else { panic!("one block") };
        assert_eq!((block.number, block.n_step, block.ns), (1, 2.0, 70.0));
        assert!((block.ns_per_output() - 70.0 / 62.0).abs() < 1e-12);
    }

    #[test]
    fn first_steps_of_shapes_are_told_apart() {
        let known = |n_new: i64| {
            let mut sums = StepSums::planned(8, true);
            for number in 1..=8 {
                let is_new_shape = number <= n_new;
                let step = step(number, if is_new_shape { 1000 } else { 10 }, Some(1));
                sums.add(&StepRecord { is_new_shape, ..step });
            }
            sums.block(1).unwrap().known_ns_per_output() * 31.0
        };
        assert!((known(0) - 10.0).abs() < 1e-9 && (known(7) - 10.0).abs() < 1e-9);
        assert!(known(8).is_nan());
    }

    #[test]
    fn steps_for_timing_alone_are_times_and_nothing_else() {
        let mut sums = StepSums::planned(4, true);
        for number in 1..=8 {
            let is_timing_only = Some(number > 4);
            let step = step(number, 10, Some((number - 1) / 2));
            sums.add(&StepRecord { shape_id: number, is_timing_only, ..step });
        }
        let summary = sums.summary();
        assert_eq!((summary.n_step, summary.n_shape, summary.train_ns), (4, 5, 40));
        assert_eq!(summary.stretches, [1.0, 2.0, 3.0, 4.0].map(|step| (step, 10.0)));
        let blocks: Vec<i64> = summary.blocks.iter().map(|block| block.number).collect();
        assert_eq!(blocks, [1, 2, 3]);
        assert!((summary.work.unwrap().outputs_per_s - 3.1e9).abs() < 1.0);
        assert_eq!((sums.block(3), sums.block(0)), (summary.blocks.last().copied(), None));
    }

    #[test]
    fn a_step_whose_loss_is_not_finite_is_not_done() {
        let mut sums = StepSums::planned(2, true);
        sums.add(&step(1, 5, None));
        sums.add(&StepRecord { loss: f64::NAN, ..step(2, 5, None) });
        assert_eq!(sums.summary().n_step, 1);
    }
}
