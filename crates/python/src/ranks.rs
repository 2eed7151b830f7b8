//! The share of one rank in data-parallel training. docs/ranks.md describes the assignments.

use batchlab_core::plan::Cursor;
use batchlab_core::{BatchPlan, GraphSize};
use batchlab_ranks::{Assignment, Batch, Cost, Epoch, Step};
use pyo3::prelude::*;

/// Names of the assignments.
#[pyfunction]
pub(crate) fn assignments() -> [&'static str; 4] {
    Assignment::ALL.map(Assignment::name)
}

/// One of several ranks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rank {
    pub(crate) number: usize,
    pub(crate) among: usize,
    pub(crate) assignment: Assignment,
}

/// One step of a rank, and the number of graphs of all ranks together.
pub(crate) struct Share {
    pub(crate) plan: BatchPlan,
    pub(crate) n_graph: u32,
}

impl Rank {
    /// This rank's steps of an epoch of these graphs. All ranks have equally many; a step may be
    /// without graphs.
    pub(crate) fn steps(self, plans: &[BatchPlan], graphs: &[GraphSize], epoch: u64) -> Vec<Share> {
        let n_id = graphs.iter().map(|graph| graph.id as usize + 1).max().unwrap_or(0);
        let mut by_id: Vec<Option<GraphSize>> = vec![None; n_id];
        for &graph in graphs {
            by_id[graph.id as usize] = Some(graph);
        }
        let is_padded = plans.iter().any(|plan| plan.shape != plan.real);
        let batch = |plan: &BatchPlan| {
            let graphs = plan.members.iter().filter_map(|&id| *by_id.get(id as usize)?).collect();
            Batch { graphs, shape: plan.shape }
        };
        let planned = Epoch::new(plans.iter().map(batch).collect());
        let steps = self.assignment.steps(&planned, self.among, Cost::default());
        let share = |(step, number): (&Step, u64)| {
            let mut plan = BatchPlan::default();
            step.plan(self.number, is_padded, &mut plan);
            plan.cursor = Cursor { epoch, batch: number + 1, ..Cursor::default() };
            let n_graph = step.ranks.iter().map(|graphs| graphs.len() as u32).sum();
            Share { plan, n_graph }
        };
        steps.iter().zip(0..).map(share).collect()
    }
}
