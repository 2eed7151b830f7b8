//! One large graph.

/// One large graph in compressed rows (CSR), by receiver.
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

    /// Incoming edges of a node, as a range over [`OneGraph::sender`].
    ///
    /// # Panics
    /// If the node does not exist.
    #[must_use]
    pub fn incoming(&self, node: u32) -> std::ops::Range<usize> {
        self.offset[node as usize]..self.offset[node as usize + 1]
    }

    /// Builds a graph from an edge list, without weights. Duplicate edges are merged;
    /// `sender.len()` is the number of distinct edges.
    ///
    /// ```
    /// use batchlab_core::graphs::OneGraph;
    ///
    /// let graph = OneGraph::from_edges(3, &[2, 1, 2, 0], &[0, 0, 0, 2]);
    /// assert_eq!((graph.offset, graph.sender), (vec![0, 2, 2, 3], vec![1, 2, 0]));
    /// ```
    ///
    /// # Panics
    /// If a node is not less than `n_node`, or the lists differ in length.
    #[must_use]
    pub fn from_edges(n_node: usize, sender: &[u32], receiver: &[u32]) -> Self {
        assert_eq!(sender.len(), receiver.len(), "an edge has a sender and a receiver");
        let mut end = vec![0; n_node + 1];
        for &node in receiver {
            end[node as usize + 1] += 1;
        }
        for node in 0..n_node {
            end[node + 1] += end[node];
        }
        let (mut next, mut placed) = (end.clone(), vec![0; sender.len()]);
        for (&sender, &receiver) in sender.iter().zip(receiver) {
            assert!((sender as usize) < n_node, "sender {sender} of {n_node} nodes");
            placed[next[receiver as usize]] = sender;
            next[receiver as usize] += 1;
        }
        let mut graph = Self { offset: vec![0], sender: Vec::new(), edge_weight: Vec::new() };
        graph.sender.reserve(placed.len());
        for node in 0..n_node {
            let row = &mut placed[end[node]..end[node + 1]];
            row.sort_unstable();
            let mut last = None;
            graph.sender.extend(row.iter().filter(|&&node| last.replace(node) != Some(node)));
            graph.offset.push(graph.sender.len());
        }
        graph
    }

    /// The receiver of each edge, `[n_edge]`.
    #[must_use]
    pub fn receivers(&self) -> Vec<u32> {
        let row = |node: u32| std::iter::repeat_n(node, self.incoming(node).len());
        (0..self.n_node() as u32).flat_map(row).collect()
    }

    /// The graph with the missing reverse edges added, without weights.
    #[must_use]
    pub fn undirected(&self) -> Self {
        let receiver = self.receivers();
        let senders = [self.sender.as_slice(), &receiver].concat();
        let receivers = [receiver.as_slice(), &self.sender].concat();
        Self::from_edges(self.n_node(), &senders, &receivers)
    }

    /// Adds the missing self-loops and drops the weights. Returns the number of loops added.
    pub fn add_self_loops(&mut self) -> usize {
        let n_node = self.n_node();
        let before = self.sender.len();
        let mut offset = Vec::with_capacity(n_node + 1);
        let mut sender = Vec::with_capacity(before + n_node);
        offset.push(0);
        for node in 0..n_node as u32 {
            let row = &self.sender[self.incoming(node)];
            let place = row.partition_point(|&neighbour| neighbour < node);
            sender.extend_from_slice(&row[..place]);
            if row.get(place) != Some(&node) {
                sender.push(node);
            }
            sender.extend_from_slice(&row[place..]);
            offset.push(sender.len());
        }
        *self = Self { offset, sender, edge_weight: Vec::new() };
        self.sender.len() - before
    }

    /// Number of edges without a reverse edge.
    #[must_use]
    pub fn n_one_way(&self) -> usize {
        let one_way = |receiver: u32| {
            let senders = &self.sender[self.incoming(receiver)];
            let has_reverse =
                |sender: u32| self.sender[self.incoming(sender)].binary_search(&receiver).is_ok();
            senders.iter().filter(|&&sender| !has_reverse(sender)).count()
        };
        (0..self.n_node() as u32).map(one_way).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path 0 - 1 - 2 with a loop at 1, and the isolated node 3.
    fn path() -> OneGraph {
        OneGraph { offset: vec![0, 1, 4, 5, 5], sender: vec![1, 0, 1, 2, 1], edge_weight: vec![] }
    }

    #[test]
    fn loops_are_added_where_there_are_none() {
        let mut graph = path();
        assert_eq!(graph.add_self_loops(), 3);
        assert_eq!(graph.offset, [0, 2, 5, 7, 8]);
        assert_eq!(graph.sender, [0, 1, 0, 1, 2, 1, 2, 3]);
        assert_eq!(graph.add_self_loops(), 0);
    }

    #[test]
    fn reverse_edges_are_added_once() {
        assert_eq!(path().n_one_way(), 0);
        assert_eq!(path().undirected(), path());
        let one_way = OneGraph::from_edges(4, &[0, 1, 1, 1], &[1, 1, 2, 2]);
        assert_eq!(one_way.sender.len(), 3);
        assert_eq!(one_way.n_one_way(), 2);
        assert_eq!(one_way.undirected(), path());
        assert_eq!(path().receivers(), [0, 1, 1, 1, 2]);
    }
}
