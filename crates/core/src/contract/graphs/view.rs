//! The batcher's view of the data.

use std::sync::Arc;

use super::{Level, OneGraph};
use crate::BatcherError;

/// A graph as seen by a batcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GraphSize {
    /// Identifier in the store, as used in plans.
    pub id: u32,
    /// Nodes.
    pub n_node: u32,
    /// Directed edges.
    pub n_edge: u32,
}

/// A batcher's view of one subset. Cheap to clone.
#[derive(Debug, Clone)]
pub enum View {
    /// The sizes of many graphs, in a fixed order.
    ManyGraphs(Arc<[GraphSize]>),
    /// One graph, and its output nodes in the subset.
    OneGraph(OneGraphView),
}

/// One graph and the nodes of a subset.
#[derive(Debug, Clone)]
pub struct OneGraphView {
    /// Structure of the whole graph.
    pub graph: Arc<OneGraph>,
    /// Class of every node, `[n_node]`, with `u32::MAX` for nodes without one; empty without
    /// classes.
    pub class: Arc<[u32]>,
    /// Output nodes of this subset, in a fixed order.
    pub output: Arc<[u32]>,
}

impl OneGraphView {
    /// Checks that batches of the outputs can be formed.
    ///
    /// # Errors
    /// No output nodes; an output node that does not exist or is listed twice; a graph that is too
    /// large.
    pub fn check(&self) -> Result<(), BatcherError> {
        let options = |message: String| Err(BatcherError::Options(message));
        let (n_node, n_edge) = (self.graph.n_node(), self.graph.sender.len());
        // Padding rounds up, so room is left above the largest index.
        if n_node.max(n_edge) > (u32::MAX / 2) as usize {
            return options(format!(
                "the graph has {n_node} nodes and {n_edge} edges; a batch can index 2147483647"
            ));
        }
        if self.output.is_empty() {
            return options("the subset has no output nodes, so no batch can be formed".into());
        }
        let mut seen = vec![false; n_node];
        for &node in &*self.output {
            match seen.get_mut(node as usize) {
                None => {
                    return options(format!("output node {node} does not exist, only {n_node} do"));
                }
                Some(true) => return options(format!("output node {node} is named twice")),
                Some(slot) => *slot = true,
            }
        }
        Ok(())
    }
}

impl View {
    /// The sizes of many graphs.
    ///
    /// # Errors
    /// A view of one graph.
    pub fn many_graphs(&self) -> Result<&Arc<[GraphSize]>, BatcherError> {
        match self {
            Self::ManyGraphs(graphs) => Ok(graphs),
            Self::OneGraph(_) => Err(self.is_not(Level::Graphs)),
        }
    }

    /// The one graph.
    ///
    /// # Errors
    /// A view of many graphs.
    pub fn one_graph(&self) -> Result<&OneGraphView, BatcherError> {
        match self {
            Self::OneGraph(one) => Ok(one),
            Self::ManyGraphs(_) => Err(self.is_not(Level::Nodes)),
        }
    }

    pub(crate) fn is_not(&self, expected: Level) -> BatcherError {
        BatcherError::WrongLevel { expected, got: self.level() }
    }

    /// Whether this is a view of many graphs or of one.
    #[must_use]
    pub fn level(&self) -> Level {
        match self {
            Self::ManyGraphs(_) => Level::Graphs,
            Self::OneGraph(_) => Level::Nodes,
        }
    }
}
