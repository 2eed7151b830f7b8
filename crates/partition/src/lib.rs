//! Partitions one graph into parts with few edges between them, by METIS (Karypis and Kumar 1998).
//!
//! METIS takes undirected graphs without self-loops, and fails on nodes without edges. Directed
//! graphs are therefore rejected, self-loops dropped, and isolated nodes distributed among the
//! smallest parts afterwards. METIS is not made for parts of a few nodes either (it then prints
//! warnings to standard output): such parts are pieces of a breadth-first order.

use std::sync::{Mutex, PoisonError};

use batchlab_core::graphs::OneGraph;
use metis::option::Seed;
use metis::{Graph, Idx};

/// Why a graph cannot be partitioned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PartitionError {
    /// An edge without one in the opposite direction.
    #[error(
        "METIS needs an undirected graph, but there is an edge from node {sender} to node \
         {receiver} and none back; add the opposite of every edge to the data"
    )]
    OneWay {
        /// Where the edge begins.
        sender: u32,
        /// Where it ends.
        receiver: u32,
    },
    /// No parts, or more than nodes.
    #[error("{n_part} parts of {n_node} nodes: at least 1 and at most as many as there are nodes")]
    NParts {
        /// Parts that were asked for.
        n_part: u32,
        /// Nodes of the graph.
        n_node: usize,
    },
    /// Weights for some other graph.
    #[error("{got} weights for {n_node} nodes")]
    Weights {
        /// Number of weights.
        got: usize,
        /// Nodes of the graph.
        n_node: usize,
    },
    /// METIS counts edges and weights in 32 bits.
    #[error("the graph is too large for METIS: {0} edges or units of weight, 2147483647 at most")]
    TooLarge(u64),
    /// METIS returned an error.
    #[error("METIS failed: {0}")]
    Metis(String),
}

/// Minimum mean number of nodes per part for METIS.
const N_NODE: usize = 8;

/// Guards METIS, which uses the C library's global random number generator.
static METIS: Mutex<()> = Mutex::new(());

/// The part of each node, `[n_node]`. Parts have about the same number of nodes, or the same sum of
/// `weight` (`[n_node]`, or empty for 1).
///
/// The same arguments give the same parts. Some parts may be empty, mainly of tiny graphs.
///
/// ```
/// use batchlab_core::graphs::OneGraph;
///
/// // 0 - 1   2 - 3, and node 4 without edges.
/// let graph = OneGraph {
///     offset: vec![0, 1, 2, 3, 4, 4],
///     sender: vec![1, 0, 3, 2],
///     edge_weight: Vec::new(),
/// };
/// let part = batchlab_partition::partition(&graph, 2, 42, &[]).unwrap();
/// assert!(part[0] == part[1] && part[2] == part[3] && part[0] != part[2]);
/// ```
///
/// # Errors
/// A directed graph, more parts than nodes, weights that do not fit.
pub fn partition(
    graph: &OneGraph,
    n_part: u32,
    seed: u32,
    weight: &[u32],
) -> Result<Vec<u32>, PartitionError> {
    let n_node = graph.n_node();
    if n_part == 0 || n_part as usize > n_node {
        return Err(PartitionError::NParts { n_part, n_node });
    }
    if !weight.is_empty() && weight.len() != n_node {
        return Err(PartitionError::Weights { got: weight.len(), n_node });
    }
    if let Some((sender, receiver)) = graph.one_way_edge() {
        return Err(PartitionError::OneWay { sender, receiver });
    }
    let weight_of = |node: u32| weight.get(node as usize).map_or(1, |&weight| u64::from(weight));
    let total: u64 = (0..n_node as u32).map(weight_of).sum();
    let most = total.max(graph.sender.len() as u64);
    if most > Idx::MAX as u64 {
        return Err(PartitionError::TooLarge(most));
    }
    let connected = Connected::of(graph);
    let mut part = vec![u32::MAX; n_node];
    let weights: Vec<Idx> = connected.node.iter().map(|&node| weight_of(node) as Idx).collect();
    for (&node, of_node) in connected.node.iter().zip(connected.parts(n_part, seed, &weights)?) {
        part[node as usize] = of_node;
    }
    share_out(&mut part, n_part, weight_of);
    Ok(part)
}

/// The nodes that have an edge to another node, and these edges, in METIS's format.
struct Connected {
    node: Vec<u32>,
    offset: Vec<Idx>,
    neighbour: Vec<Idx>,
}

impl Connected {
    fn of(graph: &OneGraph) -> Self {
        let others = |node: u32| {
            graph.sender[graph.incoming(node)].iter().copied().filter(move |&other| other != node)
        };
        let all = 0..graph.n_node() as u32;
        let node: Vec<u32> = all.filter(|&node| others(node).next().is_some()).collect();
        let mut place = vec![0; graph.n_node()];
        for (at, &node) in node.iter().enumerate() {
            place[node as usize] = at as Idx;
        }
        let (mut offset, mut neighbour) = (vec![0], Vec::new());
        for &node in &node {
            neighbour.extend(others(node).map(|other| place[other as usize]));
            offset.push(neighbour.len() as Idx);
        }
        Self { node, offset, neighbour }
    }

    fn parts(&self, n_part: u32, seed: u32, weight: &[Idx]) -> Result<Vec<u32>, PartitionError> {
        let n_node = self.node.len();
        if n_part as usize * N_NODE > n_node {
            return Ok(self.pieces(n_part, weight));
        }
        let failed = |error: String| PartitionError::Metis(error);
        let mut part = vec![0; n_node];
        // Negative means "any" to METIS.
        let seed = Seed((seed & (u32::MAX >> 1)) as Idx);
        let graph = Graph::new(1, n_part as Idx, &self.offset, &self.neighbour)
            .map_err(|error| failed(error.to_string()))?
            .set_vwgt(weight)
            .set_option(seed);
        let _alone = METIS.lock().unwrap_or_else(PoisonError::into_inner);
        graph.part_kway(&mut part).map_err(|error| failed(error.to_string()))?;
        #[allow(clippy::cast_sign_loss, reason = "METIS numbers parts from 0")]
        Ok(part.into_iter().map(|part| part as u32).collect())
    }

    /// Pieces of a breadth-first order, about equal in weight.
    #[allow(clippy::cast_sign_loss, reason = "places and weights are not negative")]
    fn pieces(&self, n_part: u32, weight: &[Idx]) -> Vec<u32> {
        let mut order: Vec<usize> = Vec::with_capacity(self.node.len());
        let mut seen = vec![false; self.node.len()];
        for root in 0..self.node.len() {
            let mut next = order.len();
            if !std::mem::replace(&mut seen[root], true) {
                order.push(root);
            }
            while let Some(&at) = order.get(next) {
                next += 1;
                for &near in &self.neighbour[self.offset[at] as usize..self.offset[at + 1] as usize]
                {
                    if !std::mem::replace(&mut seen[near as usize], true) {
                        order.push(near as usize);
                    }
                }
            }
        }
        let total: u64 = weight.iter().map(|&weight| weight as u64).sum();
        let mut part = vec![0; self.node.len()];
        let mut before = 0;
        for at in order {
            // The part that contains the middle of this node's weight.
            let middle = 2 * before + weight[at] as u64;
            part[at] =
                (middle * u64::from(n_part) / (2 * total.max(1))).min(u64::from(n_part) - 1) as u32;
            before += weight[at] as u64;
        }
        part
    }
}

/// Assigns each node without a part to the lightest part, the first one in a tie.
fn share_out(part: &mut [u32], n_part: u32, weight_of: impl Fn(u32) -> u64) {
    let mut weighs = vec![0; n_part as usize];
    for (node, &of_node) in part.iter().enumerate().filter(|(_, of_node)| **of_node != u32::MAX) {
        weighs[of_node as usize] += weight_of(node as u32);
    }
    let mut lightest: std::collections::BTreeSet<(u64, u32)> =
        weighs.into_iter().zip(0..).collect();
    for (node, of_node) in part.iter_mut().enumerate().filter(|(_, of_node)| **of_node == u32::MAX)
    {
        let Some((weight, first)) = lightest.pop_first() else { return };
        *of_node = first;
        lightest.insert((weight + weight_of(node as u32), first));
    }
}
