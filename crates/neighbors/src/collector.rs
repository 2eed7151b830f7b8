//! Collects the edges of a whole data set.

use batchlab_core::graphs::{Edges, StoredEdges};
use batchlab_core::{DatasetError, EdgeRule, MemoryBudget};

use crate::connect::connect_within;
use crate::{NeighborError, Neighbors};

/// Connects one structure after the other and stores the edges in columnar form.
///
/// Full connectivity is implicit and stores nothing.
///
/// ```
/// use batchlab_core::graphs::ManyGraphs;
/// use batchlab_core::{EdgeRule, MemoryBudget};
/// use batchlab_neighbors::EdgeCollector;
///
/// let memory = MemoryBudget::default();
/// let mut collector = EdgeCollector::new(EdgeRule::Radius(1.5.try_into()?), &memory);
/// collector.push(&[[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [2.0, 0.0, 0.0]], None)?;
/// collector.push(&[[0.0, 0.0, 0.0], [9.0, 0.0, 0.0]], None)?;
/// assert_eq!((collector.n_without_edges(), collector.n_with_lone_atom()), (1, 1));
/// let graphs = ManyGraphs::new(&[3, 2], collector.finish()?)?;
/// assert_eq!((graphs.size(0).n_edge, graphs.size(1).n_edge), (4, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct EdgeCollector {
    rule: EdgeRule,
    memory: MemoryBudget,
    n_node: Vec<u32>,
    n_edge: Vec<u32>,
    edges: Neighbors,
    n_without_edges: u64,
    n_with_lone_atom: u64,
}

impl EdgeCollector {
    /// `memory` is the budget of the data set
    /// ([`LoadContext::memory`](batchlab_core::LoadContext::memory)).
    #[must_use]
    pub fn new(rule: EdgeRule, memory: &MemoryBudget) -> Self {
        let (n_node, n_edge, edges) = (Vec::new(), Vec::new(), Neighbors::default());
        let memory = memory.clone();
        Self { rule, memory, n_node, n_edge, edges, n_without_edges: 0, n_with_lone_atom: 0 }
    }

    /// Connects the next structure; see [`connect`](crate::connect()).
    ///
    /// # Errors
    /// As for [`connect`](crate::connect()), or if the edges exceed the memory budget. The
    /// structure is then not stored.
    pub fn push(
        &mut self,
        positions: &[[f64; 3]],
        cell: Option<&[[f64; 3]; 3]>,
    ) -> Result<(), NeighborError> {
        if self.rule == EdgeRule::FullyConnected && cell.is_none() {
            return Ok(());
        }
        let edges = connect_within(self.rule, positions, cell, &self.memory)?;
        let n_receiver = edges.receiver.chunk_by(|a, b| a == b).count();
        self.n_without_edges += u64::from(n_receiver == 0);
        self.n_with_lone_atom += u64::from(n_receiver < positions.len());
        self.n_node.push(positions.len() as u32);
        self.n_edge.push(edges.n_edge() as u32);
        self.edges.append(edges);
        Ok(())
    }

    /// Number of structures so far without any edge; 0 if edges are implicit.
    #[must_use]
    pub fn n_without_edges(&self) -> u64 {
        self.n_without_edges
    }

    /// Number of structures so far with at least one isolated atom, including those without any
    /// edge; 0 if edges are implicit.
    #[must_use]
    pub fn n_with_lone_atom(&self) -> u64 {
        self.n_with_lone_atom
    }

    /// The edges of all structures.
    ///
    /// # Errors
    /// If there are structures, but not a single edge.
    pub fn finish(self) -> Result<Edges, DatasetError> {
        if self.rule == EdgeRule::FullyConnected {
            return Ok(Edges::FullyConnected);
        }
        // A radius in the wrong unit would otherwise train a model on nodes alone.
        if let EdgeRule::Radius(radius) = self.rule
            && self.edges.n_edge() == 0
            && !self.n_edge.is_empty()
        {
            let (n_graph, radius) = (self.n_edge.len(), radius.get());
            return Err(DatasetError::other(NeighborError::NoEdge { n_graph, radius }));
        }
        let Neighbors { sender, receiver, distance, displacement } = self.edges;
        let (n_node, n_edge) = (&self.n_node, &self.n_edge);
        StoredEdges::from_sorted(n_node, n_edge, sender, receiver, distance, displacement)
            .map(Edges::Stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_set_without_an_edge_is_refused() {
        let mut collector =
            EdgeCollector::new(EdgeRule::Radius(0.5.try_into().unwrap()), &MemoryBudget::default());
        collector.push(&[[0.; 3], [1.; 3]], None).unwrap();
        collector.push(&[[0.; 3]], None).unwrap();
        assert_eq!(
            collector.finish().unwrap_err().to_string(),
            "none of the 2 structures has an edge with radius = 0.5, in angstrom; choose a larger one"
        );
    }

    #[test]
    fn full_connection_is_implied_for_open_structures_and_refused_for_periodic_ones() {
        let mut collector = EdgeCollector::new(EdgeRule::FullyConnected, &MemoryBudget::default());
        collector.push(&[[0.; 3], [1.; 3]], None).unwrap();
        let cube = [[3., 0., 0.], [0., 3., 0.], [0., 0., 3.]];
        assert_eq!(collector.push(&[[0.; 3]], Some(&cube)), Err(NeighborError::Endless));
        assert!(matches!(collector.finish(), Ok(Edges::FullyConnected)));
    }
}
