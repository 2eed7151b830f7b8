//! One large graph.

/// One large graph in compressed rows, by receiver.
#[derive(Debug, Clone, PartialEq)]
pub struct OneGraph {
    /// First incoming edge of each node, `[n_node + 1]`.
    pub offset: Vec<usize>,
    /// Sending node of each edge, ascending for each receiver, `[n_edge]`.
    pub sender: Vec<u32>,
    /// Weight of each edge in the full graph, `[n_edge]`, or empty for 1.
    pub edge_weight: Vec<f32>,
}

impl OneGraph {
    /// Number of nodes.
    #[must_use]
    pub fn n_node(&self) -> usize {
        self.offset.len() - 1
    }

    /// The edges that a node receives, as a range over [`OneGraph::sender`].
    ///
    /// # Panics
    /// If the node does not exist.
    #[must_use]
    pub fn incoming(&self, node: u32) -> std::ops::Range<usize> {
        self.offset[node as usize]..self.offset[node as usize + 1]
    }
}
