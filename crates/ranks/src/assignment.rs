//! Which graphs a rank trains on in each step.

use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;

use batchlab_core::registry::suggestion;
use batchlab_core::{BatchPlan, GraphSize, Level, Shape};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::batch::{Batch, Cost, Epoch, largest, size};
use crate::lpt::{self, Rules};

/// Assignment of the graphs of an epoch to R ranks.
///
/// The batcher plans the batches of an epoch as for one device. All assignments divide them into
/// steps of R batches; the last batches of an epoch, if fewer than R, also make a step. As an
/// assignment depends on sizes and on the order of the batches alone, every rank can compute it for
/// the whole epoch before it starts, without communication.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Assignment {
    /// The batches as planned, dealt to the ranks in turn.
    #[default]
    Fixed,
    /// The graphs of R consecutive batches, each given to the rank with the lowest cost so far, in
    /// order of decreasing cost (longest processing time first). Ranks differ in their numbers of
    /// graphs.
    Lpt,
    /// The same with equally many graphs on all ranks, or one more on some.
    LptEqual,
    /// The batches as planned, but a step takes R of similar cost: they are sorted, cut into steps,
    /// and the steps come in the order of their first batches. Which rank has the largest one
    /// changes from step to step.
    SortedRotated,
}

/// The graphs of every rank in one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// For each rank, the graphs of its batch. A rank without graphs takes part with weight zero.
    pub ranks: Vec<Vec<GraphSize>>,
    /// The padded shape that holds the batch of every rank.
    pub shape: Shape,
    /// Batches as planned whose graphs are in this step.
    pub n_batch: usize,
    /// Whether the graphs of these batches were distributed anew.
    pub is_regrouped: bool,
}

impl Step {
    /// Plans the batch of one rank; without padding, ranks need not agree on a shape.
    pub fn plan(&self, rank: usize, is_padded: bool, plan: &mut BatchPlan) {
        plan.clear(Level::Graphs);
        for &graph in &self.ranks[rank] {
            plan.push_graph(graph);
        }
        plan.shape = if is_padded { self.shape } else { plan.real };
    }
}

impl Assignment {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Fixed, Self::Lpt, Self::LptEqual, Self::SortedRotated];

    /// Name in configurations.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Lpt => "lpt",
            Self::LptEqual => "lpt-equal",
            Self::SortedRotated => "sorted-rotated",
        }
    }

    /// The steps of an epoch. All ranks have the same number of steps, ceil(batches / `n_rank`),
    /// and each graph of the epoch is in exactly one step on one rank. On one rank, the steps are
    /// the batches as planned.
    ///
    /// # Panics
    /// If `n_rank` is 0.
    #[must_use]
    pub fn steps(self, epoch: &Epoch, n_rank: usize, cost: Cost) -> Vec<Step> {
        let batches = epoch.batches();
        let groups = match self {
            Self::SortedRotated => similar(batches, n_rank, cost),
            _ => batches.chunks(n_rank).map(|group| group.iter().collect()).collect(),
        };
        let step = |(turn, batches): (usize, Vec<&Batch>)| match self {
            Self::Fixed => as_planned(&batches, n_rank),
            Self::SortedRotated => {
                let mut step = as_planned(&batches, n_rank);
                step.ranks.rotate_right(turn % n_rank);
                step
            }
            Self::Lpt => regrouped(&batches, epoch, n_rank, cost, false),
            Self::LptEqual => regrouped(&batches, epoch, n_rank, cost, true),
        };
        groups.into_iter().enumerate().map(step).collect()
    }
}

/// Steps of batches of similar cost. The incomplete one has the cheapest batches. Their order is as
/// random as that of the batches.
fn similar(batches: &[Batch], n_rank: usize, cost: Cost) -> Vec<Vec<&Batch>> {
    let cost: Vec<u64> = batches.iter().map(|batch| cost.of(size(&batch.graphs))).collect();
    let mut by_cost: Vec<usize> = (0..batches.len()).collect();
    by_cost.sort_by_key(|&at| (Reverse(cost[at]), at));
    let mut groups: Vec<&[usize]> = by_cost.chunks(n_rank).collect();
    groups.sort_by_key(|group| group.iter().min());
    groups.iter().map(|group| group.iter().map(|&at| &batches[at]).collect()).collect()
}

fn as_planned(batches: &[&Batch], n_rank: usize) -> Step {
    let mut ranks: Vec<Vec<GraphSize>> = batches.iter().map(|b| b.graphs.clone()).collect();
    ranks.resize(n_rank, Vec::new());
    let shape = largest(batches.iter().map(|batch| batch.shape));
    Step { ranks, shape, n_batch: batches.len(), is_regrouped: false }
}

/// By longest processing time; as planned if a graph finds no room.
fn regrouped(batches: &[&Batch], epoch: &Epoch, n_rank: usize, cost: Cost, equal: bool) -> Step {
    if n_rank == 1 {
        return as_planned(batches, 1);
    }
    let limit = largest(batches.iter().map(|batch| batch.shape));
    let graphs: Vec<GraphSize> = batches.iter().flat_map(|b| b.graphs.iter().copied()).collect();
    let rules = Rules { n_rank, cost, room: epoch.room(limit), equal };
    let Some(ranks) = lpt::assign(&graphs, rules) else { return as_planned(batches, n_rank) };
    let shape = epoch.shape_for(largest(ranks.iter().map(|graphs| size(graphs))), limit);
    Step { ranks, shape, n_batch: batches.len(), is_regrouped: true }
}

impl fmt::Display for Assignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no assignment has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown assignment \"{name}\"{}\nknown: {}", suggestion(name, &names()), names().join(", "))]
pub struct UnknownAssignment {
    /// The name.
    pub name: String,
}

fn names() -> [&'static str; 4] {
    Assignment::ALL.map(Assignment::name)
}

impl FromStr for Assignment {
    type Err = UnknownAssignment;
    fn from_str(name: &str) -> Result<Self, UnknownAssignment> {
        let found = Self::ALL.into_iter().find(|assignment| assignment.name() == name);
        found.ok_or_else(|| UnknownAssignment { name: name.to_owned() })
    }
}
