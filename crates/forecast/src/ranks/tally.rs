//! Sums over the steps of a forecast for ranks.

use std::collections::HashSet;

use batchlab_core::Shape;

use super::RankForecast;
use super::{Assignment, Cost, Epoch, Step, size};
use crate::totals::Totals;

/// The steps of one number of ranks and one assignment.
pub(super) struct Tally {
    n_rank: u32,
    assignment: Assignment,
    cost: Cost,
    n_epoch: u64,
    n_batch: u64,
    /// Cost of the batches as planned, with padding.
    planned: u64,
    n_step: u64,
    /// Real sizes, and `n_rank` times the agreed shape.
    totals: Totals,
    n_shape: u64,
    n_weightless: u64,
    n_not_regrouped: u64,
    all: Balance,
    full: Balance,
    /// Cost of the agreed shapes.
    agreed: u64,
    /// Sum over full steps of the squared cost of all ranks.
    square: f64,
}

/// Sums over steps of the costs of their ranks.
#[derive(Default)]
struct Balance {
    n_step: u64,
    total: u64,
    largest: u64,
}

impl Balance {
    fn add(&mut self, costs: &[u64]) {
        self.n_step += 1;
        self.total += costs.iter().sum::<u64>();
        self.largest += costs.iter().max().copied().unwrap_or(0);
    }

    fn efficiency(&self, n_rank: u32) -> Option<f64> {
        let all = u64::from(n_rank) * self.largest;
        (all > 0).then(|| self.total as f64 / all as f64)
    }
}

impl Tally {
    pub(super) fn new(n_rank: u32, assignment: Assignment, cost: Cost) -> Self {
        Self {
            n_rank,
            assignment,
            cost,
            n_epoch: 0,
            n_batch: 0,
            planned: 0,
            n_step: 0,
            totals: Totals::default(),
            n_shape: 0,
            n_weightless: 0,
            n_not_regrouped: 0,
            all: Balance::default(),
            full: Balance::default(),
            agreed: 0,
            square: 0.0,
        }
    }

    pub(super) fn add_epoch(&mut self, epoch: &Epoch) {
        self.n_epoch += 1;
        self.n_batch += epoch.batches().len() as u64;
        self.planned += epoch.batches().iter().map(|batch| self.cost.of(batch.shape)).sum::<u64>();
        let mut shapes: HashSet<Shape> = HashSet::new();
        for step in self.assignment.steps(epoch, self.n_rank as usize, self.cost) {
            shapes.insert(step.shape);
            self.add(&step);
        }
        self.n_shape += shapes.len() as u64;
    }

    fn add(&mut self, step: &Step) {
        let sizes: Vec<Shape> = step.ranks.iter().map(|graphs| size(graphs)).collect();
        let costs: Vec<u64> = sizes.iter().map(|&size| self.cost.of(size)).collect();
        self.n_step += 1;
        self.all.add(&costs);
        let is_full = step.n_batch == self.n_rank as usize;
        if is_full {
            self.full.add(&costs);
            self.square += (costs.iter().sum::<u64>() as f64).powi(2);
        }
        let regroups = matches!(self.assignment, Assignment::Lpt | Assignment::LptEqual);
        self.n_not_regrouped +=
            u64::from(regroups && is_full && self.n_rank > 1 && !step.is_regrouped);
        self.agreed += self.cost.of(step.shape);
        for real in sizes {
            self.n_weightless += u64::from(real.n_graph == 0);
            self.totals.add(real, step.shape);
        }
    }

    pub(super) fn forecast(&self, all_reduce: f64) -> RankForecast {
        let per = |sum: u64, n: u64| sum as f64 / n.max(1) as f64;
        RankForecast {
            n_rank: self.n_rank,
            assignment: self.assignment,
            steps_per_epoch: per(self.n_step, self.n_epoch),
            graphs_per_step: per(self.totals.n_output, self.n_step),
            efficiency: self.all.efficiency(self.n_rank),
            efficiency_full_steps: self.full.efficiency(self.n_rank),
            node_fill: self.totals.node_fill(),
            edge_fill: self.totals.edge_fill(),
            shapes_per_epoch: per(self.n_shape, self.n_epoch),
            step_variation: self.step_variation(),
            weightless: per(self.n_weightless, self.totals.n_step),
            not_regrouped: per(self.n_not_regrouped, self.n_step),
            speed_up: self.speed_up(all_reduce),
            n_epoch: self.n_epoch,
        }
    }

    fn step_variation(&self) -> Option<f64> {
        let n = self.full.n_step as f64;
        let mean = self.full.total as f64 / n;
        (self.full.n_step > 1 && mean > 0.0)
            .then(|| (self.square / n - mean * mean).max(0.0).sqrt() / mean)
    }

    fn speed_up(&self, all_reduce: f64) -> Option<f64> {
        let mean_batch = self.all.total as f64 / self.n_batch.max(1) as f64;
        let waiting =
            if self.n_rank == 1 { 0.0 } else { all_reduce * mean_batch * self.n_step as f64 };
        let time = self.agreed as f64 + waiting;
        (time > 0.0).then(|| self.planned as f64 / time)
    }
}
