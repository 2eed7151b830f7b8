//! Personalised `PageRank` on one graph: the probability that a random walk, which returns to its
//! root with a fixed probability in every step, is at each node.
//!
//! [`Push`] approximates it for one root at a time, at a cost that does not depend on the size of
//! the graph; [`Power`] iterates it for whole sets of roots. Both process many roots or sets in
//! parallel, and give the same numbers for any number of threads.
//!
//! The graph must be undirected, because only then are the senders of a node also the nodes to
//! which a walk can continue. A self-loop counts as an edge and adds to the degree. A node without
//! edges keeps whatever reaches it.

mod power;
mod push;
mod scratch;
mod top;

use batchlab_core::graphs::OneGraph;

pub use power::{Operator, Power};
pub use push::{Push, Walk};
pub use scratch::Pushed;
pub use top::keep_top;

/// Why scores cannot be computed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PprError {
    /// The probability of returning to the root is out of range.
    #[error("teleport is {0}, but it is the probability of a return: more than 0 and less than 1")]
    Teleport(f64),
    /// The residue threshold is out of range.
    #[error("epsilon is {0}, but it must be a positive number, for example 1e-4")]
    Epsilon(f64),
    /// An edge has no reverse edge.
    #[error(
        "personalised PageRank needs an undirected graph, but there is an edge from node {sender} \
         to node {receiver} and none back; add the opposite of every edge to the data"
    )]
    OneWay {
        /// Source of the edge.
        sender: u32,
        /// Target of the edge.
        receiver: u32,
    },
    /// A root is not a node of the graph.
    #[error("root {root} does not exist, only {n_node} nodes do")]
    NoSuchRoot {
        /// The root.
        root: u32,
        /// Number of nodes in the graph.
        n_node: usize,
    },
    /// The set with this index has no roots.
    #[error("set {0} has no root, so no walk can begin there")]
    EmptySet(usize),
}

fn check_teleport(teleport: f64) -> Result<(), PprError> {
    let is_probability = teleport > 0.0 && teleport < 1.0;
    if is_probability { Ok(()) } else { Err(PprError::Teleport(teleport)) }
}

fn check_graph(graph: &OneGraph) -> Result<(), PprError> {
    let one_way = graph.one_way_edge();
    one_way.map_or(Ok(()), |(sender, receiver)| Err(PprError::OneWay { sender, receiver }))
}

fn check_roots<'a>(
    graph: &OneGraph,
    mut roots: impl Iterator<Item = &'a u32>,
) -> Result<(), PprError> {
    let n_node = graph.n_node();
    let missing = roots.find(|&&root| root as usize >= n_node);
    missing.map_or(Ok(()), |&root| Err(PprError::NoSuchRoot { root, n_node }))
}
