//! Counts of how often nodes and edges are drawn.

use batchlab_core::graphs::OneGraph;
use batchlab_core::progress::Progress;
use batchlab_core::random;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::walks::Walks;

/// Count of a node that was never drawn, and factor of such an edge, as in the authors' code.
const NEVER: f64 = 0.1;
/// Number of sub-graphs drawn at a time, on all threads.
const AT_ONCE: u64 = 64;

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Counts {
    n_sample: u32,
    /// Number of samples with each node.
    node: Vec<u32>,
    /// Number of samples with both ends of each edge.
    edge: Vec<u32>,
}

impl Counts {
    pub(crate) fn new(graph: &OneGraph) -> Self {
        Self { n_sample: 0, node: vec![0; graph.n_node()], edge: vec![0; graph.sender.len()] }
    }

    /// Draws until every node has been drawn `coverage` times on average.
    pub(crate) fn until(
        graph: &OneGraph,
        walks: Walks,
        among: Option<&[u32]>,
        coverage: u32,
        seed: u64,
        progress: &dyn Progress,
    ) -> Self {
        let wanted = graph.n_node() as u64 * u64::from(coverage);
        progress.start("frequencies of nodes and edges", Some(wanted));
        let mut counts = Self::new(graph);
        let (mut n_drawn, mut first) = (0, 0);
        while n_drawn < wanted {
            let draw = |number| {
                walks.start(graph, among, &mut random::stream(seed, "saint-rw counts", number))
            };
            let samples: Vec<Vec<u32>> =
                (first..first + AT_ONCE).into_par_iter().map(draw).collect();
            for nodes in samples {
                if n_drawn >= wanted {
                    break;
                }
                counts.add(graph, &nodes);
                n_drawn += nodes.len() as u64;
                progress.advance(nodes.len() as u64);
            }
            first += AT_ONCE;
        }
        progress.finish();
        counts
    }

    /// Counts a sample, whose nodes must be ascending.
    pub(crate) fn add(&mut self, graph: &OneGraph, nodes: &[u32]) {
        self.n_sample += 1;
        for &receiver in nodes {
            self.node[receiver as usize] += 1;
            for edge in graph.incoming(receiver) {
                if nodes.binary_search(&graph.sender[edge]).is_ok() {
                    self.edge[edge] += 1;
                }
            }
        }
    }

    /// Weight of each node as an output: number of samples / its count / number of nodes.
    pub(crate) fn node_weights(&self) -> Vec<f32> {
        let n_node = self.node.len() as f64;
        let n_with = |count: u32| if count == 0 { NEVER } else { f64::from(count) };
        let weight = |&count: &u32| f64::from(self.n_sample) / n_with(count) / n_node;
        self.node.iter().map(|count| weight(count) as f32).collect()
    }

    /// Weight of each edge: that of the full graph, times the count of its receiver / its own
    /// count.
    pub(crate) fn edge_weights(&self, graph: &OneGraph) -> Vec<f32> {
        let weight = |edge: usize| f64::from(graph.edge_weight.get(edge).copied().unwrap_or(1.0));
        // The iterator does not know its length, and growing would take twice the memory.
        let mut weights = Vec::with_capacity(self.edge.len());
        let factors = self.edge_factors(graph).enumerate();
        weights.extend(factors.map(|(edge, factor)| (weight(edge) * factor) as f32));
        weights
    }

    pub(crate) fn edge_factors<'a>(
        &'a self,
        graph: &'a OneGraph,
    ) -> impl Iterator<Item = f64> + 'a {
        let of_node = move |receiver: u32| {
            graph.incoming(receiver).map(move |edge| match self.edge[edge] {
                0 => NEVER,
                count => f64::from(self.node[receiver as usize]) / f64::from(count),
            })
        };
        (0..graph.n_node() as u32).flat_map(of_node)
    }
}

#[cfg(test)]
impl Counts {
    pub(crate) fn of_nodes(&self) -> &[u32] {
        &self.node
    }

    pub(crate) fn of_edges(&self) -> &[u32] {
        &self.edge
    }
}
