//! What a batcher sees of the data.

use std::sync::Arc;

use super::{Level, OneGraph};
use crate::BatcherError;

/// One graph as a batcher sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GraphSize {
    /// Identifier in the store; this is what a plan names.
    pub id: u32,
    /// Nodes.
    pub n_node: u32,
    /// Directed edges.
    pub n_edge: u32,
}

/// What a batcher sees of one subset. Cloning is cheap.
#[derive(Debug, Clone)]
pub enum View {
    /// The sizes of many graphs, in a fixed order.
    ManyGraphs(Arc<[GraphSize]>),
    /// One graph, and which of its nodes are outputs.
    OneGraph(OneGraphView),
}

/// One graph and the nodes of a subset.
#[derive(Debug, Clone)]
pub struct OneGraphView {
    /// Structure of the whole graph.
    pub graph: Arc<OneGraph>,
    /// Class of every node, `[n_node]`, `u32::MAX` where there is none; empty without classes.
    pub class: Arc<[u32]>,
    /// Output nodes of this subset, in a fixed order.
    pub output: Arc<[u32]>,
}

impl OneGraphView {
    /// Checks that batches can be formed of the outputs.
    ///
    /// # Errors
    /// No output nodes; one that does not exist or is named twice; a graph that is too large.
    pub fn check(&self) -> Result<(), BatcherError> {
        let options = |message: String| Err(BatcherError::Options(message));
        let (n_node, n_edge) = (self.graph.n_node(), self.graph.sender.len());
        // Padding rounds up, so the last indices are left free.
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

    /// Whether this is many graphs or one.
    #[must_use]
    pub fn level(&self) -> Level {
        match self {
            Self::ManyGraphs(_) => Level::Graphs,
            Self::OneGraph(_) => Level::Nodes,
        }
    }
}
