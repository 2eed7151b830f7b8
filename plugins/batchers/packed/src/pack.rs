//! The part common to all algorithms: the decisive resource, and the order of the graphs.

use batchlab_core::GraphSize;
use batchlab_core::budget::Limits;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{balanced, best_fit, lpfhp};

/// How graphs are packed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// Largest first, into the emptiest of the minimum number of groups.
    #[default]
    Balanced,
    /// Largest first, into the fullest group in which it fits.
    BestFit,
    /// Best-fit on the histogram of sizes, many equal groups at a time.
    Lpfhp,
}

/// Positions in a slice of graphs, one list per group.
pub(crate) type Groups = Vec<Vec<u32>>;

/// Packs graphs into groups within the limits. Returns positions in `graphs`, each in exactly one
/// group. Graphs that exceed the limits on their own get a group each. A pure function of its
/// input.
#[must_use]
pub fn pack(algorithm: Algorithm, graphs: &[GraphSize], limits: &Limits) -> Vec<Vec<u32>> {
    let (small, large): (Vec<u32>, Vec<u32>) =
        (0..graphs.len() as u32).partition(|&i| limits.fits_alone(graphs[i as usize]));
    let weight = Weight::binding(graphs, &small, limits);
    let mut order = small;
    // A stable sort keeps the random order of graphs of equal size.
    order.sort_by_key(|&i| {
        let graph = graphs[i as usize];
        std::cmp::Reverse((weight.of(limits, graph), graph.n_node, graph.n_edge))
    });
    let task = Task { graphs, order, limits, weight };
    let mut groups = match algorithm {
        Algorithm::Balanced => balanced::pack(&task),
        Algorithm::BestFit => best_fit::pack(&task),
        Algorithm::Lpfhp => lpfhp::pack(&task),
    };
    groups.extend(large.into_iter().map(|i| vec![i]));
    groups
}

/// A packing task.
pub(crate) struct Task<'a> {
    pub(crate) graphs: &'a [GraphSize],
    /// Positions of the graphs that fit a batch, largest first.
    pub(crate) order: Vec<u32>,
    pub(crate) limits: &'a Limits,
    pub(crate) weight: Weight,
}

impl Task<'_> {
    pub(crate) fn graph(&self, position: u32) -> GraphSize {
        self.graphs[position as usize]
    }

    pub(crate) fn weight(&self, graph: GraphSize) -> u64 {
        self.weight.of(self.limits, graph)
    }

    /// The minimum demand of a graph for each resource: a group without room for it is complete.
    pub(crate) fn least(&self) -> GraphSize {
        let least = |size: fn(&GraphSize) -> u32| {
            self.order.iter().map(|&i| size(&self.graphs[i as usize])).min().unwrap_or(0)
        };
        GraphSize { id: 0, n_node: least(|g| g.n_node), n_edge: least(|g| g.n_edge) }
    }
}

/// The resource, other than graphs, of which the graphs need the largest share: packing is based on
/// it and only checks the others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weight {
    resource: usize,
    /// Capacity of a batch.
    pub(crate) capacity: u64,
}

impl Weight {
    fn binding(graphs: &[GraphSize], members: &[u32], limits: &Limits) -> Self {
        let mut share = [0.0; 4];
        let mut capacities = [1; 4];
        for &i in members {
            for (resource, measure) in limits.measures(graphs[i as usize]).into_iter().enumerate() {
                let Some((size, capacity)) = measure else { continue };
                share[resource] += size as f64 / capacity as f64;
                capacities[resource] = capacity;
            }
        }
        let resource = (1..4).max_by(|&a, &b| share[a].total_cmp(&share[b])).unwrap_or(1);
        Self { resource, capacity: capacities[resource] }
    }

    fn of(self, limits: &Limits, graph: GraphSize) -> u64 {
        limits.measures(graph)[self.resource].map_or(0, |(size, _)| size)
    }
}
