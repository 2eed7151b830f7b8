//! Many graphs, whose edges are counted, implied or stored.

use super::GraphSize;
use crate::DatasetError;

/// Many graphs, their nodes concatenated.
#[derive(Debug, Clone)]
pub struct ManyGraphs {
    pub(super) node_offset: Vec<usize>,
    edges: Edges,
    /// For stored edges: start of each node's run, counted within its graph, `[2, n_node]`, first
    /// for the edges as stored (by receiver), then in sender order.
    start: Vec<u32>,
}

/// The edges of many graphs.
#[derive(Debug, Clone)]
pub enum Edges {
    /// Only the number of edges per graph is known, `[n_graph]`, which is sufficient for planning.
    Counted(Vec<u32>),
    /// All ordered pairs of distinct nodes; implied, and materialised only in batches.
    FullyConnected,
    /// Edges as arrays.
    Stored(StoredEdges),
}

/// The edges of many graphs as concatenated arrays, sorted by receiver within each graph.
#[derive(Debug, Clone)]
pub struct StoredEdges {
    /// First edge of each graph, `[n_graph + 1]`.
    pub(crate) offset: Vec<usize>,
    /// Sending node, counted within its graph, `[n_edge]`.
    pub(crate) sender: Vec<u32>,
    /// Receiving node, counted within its graph, ascending in each graph, `[n_edge]`.
    pub(crate) receiver: Vec<u32>,
    /// The edges of each graph in sender order, counted within the graph, `[n_edge]`.
    pub(crate) sender_order: Vec<u32>,
    /// Distance in angstrom, `[n_edge]`, or empty.
    pub(crate) distance: Vec<f32>,
    /// Position of the receiver minus position of the sender, periodic image included, in
    /// angstrom, `[n_edge, 3]`, or empty.
    pub(crate) displacement: Vec<[f32; 3]>,
}

/// The largest graph whose n (n - 1) edges can be counted in 32 bits.
const MAX_CONNECTED: u32 = 65_536;

impl ManyGraphs {
    /// Graphs with `n_node[g]` nodes each.
    ///
    /// # Errors
    /// Edge arrays for a different number of graphs, or a graph without nodes.
    pub fn new(n_node: &[u32], edges: Edges) -> Result<Self, DatasetError> {
        if let Some(graph) = n_node.iter().position(|&n| n == 0) {
            return Err(DatasetError::Inconsistent(format!("graph {graph} has no nodes")));
        }
        let n_edge_list = match &edges {
            Edges::Counted(n_edge) => n_edge.len(),
            Edges::FullyConnected => n_node.len(),
            Edges::Stored(stored) => stored.offset.len() - 1,
        };
        if n_edge_list != n_node.len() {
            return Err(DatasetError::Inconsistent(format!(
                "edges of {n_edge_list} graphs, but nodes of {} graphs",
                n_node.len()
            )));
        }
        match &edges {
            Edges::Stored(stored) => stored.check_nodes(n_node)?,
            Edges::FullyConnected => {
                if let Some(graph) = n_node.iter().position(|&n| n > MAX_CONNECTED) {
                    return Err(DatasetError::Inconsistent(format!(
                        "graph {graph} has {} nodes, too many to connect all of them; store its edges",
                        n_node[graph]
                    )));
                }
            }
            Edges::Counted(_) => {}
        }
        let node_offset = offsets(n_node);
        let start = match &edges {
            Edges::Stored(stored) => stored.starts(&node_offset),
            Edges::Counted(_) | Edges::FullyConnected => Vec::new(),
        };
        Ok(Self { node_offset, edges, start })
    }

    /// Number of graphs.
    #[must_use]
    pub fn n_graph(&self) -> usize {
        self.node_offset.len() - 1
    }

    /// The edges.
    #[must_use]
    pub fn edges(&self) -> &Edges {
        &self.edges
    }

    /// Index of the first node of a graph.
    pub(crate) fn first_node(&self, graph: usize) -> usize {
        self.node_offset[graph]
    }

    /// The nodes of a graph, as a row range of the node fields.
    ///
    /// # Panics
    /// If the graph does not exist.
    #[must_use]
    pub fn nodes(&self, graph: usize) -> std::ops::Range<usize> {
        self.node_offset[graph]..self.node_offset[graph + 1]
    }

    /// For stored edges: starts of the runs of each node of a graph, for the edges as stored (by
    /// receiver) and in sender order.
    pub(crate) fn starts(&self, graph: usize) -> (&[u32], &[u32]) {
        let nodes = self.node_offset[graph]..self.node_offset[graph + 1];
        let (by_receiver, by_sender) = self.start.split_at(self.start.len() / 2);
        (&by_receiver[nodes.clone()], &by_sender[nodes])
    }

    /// Number of nodes and edges of a graph.
    ///
    /// # Panics
    /// If the graph does not exist.
    #[must_use]
    pub fn size(&self, graph: usize) -> GraphSize {
        let n_node = (self.node_offset[graph + 1] - self.node_offset[graph]) as u32;
        let n_edge = match &self.edges {
            Edges::Counted(n_edge) => n_edge[graph],
            Edges::FullyConnected => n_node * (n_node - 1),
            Edges::Stored(stored) => (stored.offset[graph + 1] - stored.offset[graph]) as u32,
        };
        GraphSize { id: graph as u32, n_node, n_edge }
    }
}

impl StoredEdges {
    /// Takes edges in any order and sorts those of each graph by receiver. The sort is stable.
    ///
    /// `n_edge` is per graph; `sender` and `receiver` count nodes within their graph; `distance`
    /// `[n_edge]` and `displacement` `[n_edge, 3]`, in angstrom, may be empty.
    ///
    /// # Errors
    /// Arrays of different lengths.
    pub fn new(
        n_edge: &[u32],
        sender: &[u32],
        receiver: &[u32],
        distance: &[f32],
        displacement: &[[f32; 3]],
    ) -> Result<Self, DatasetError> {
        let offset = offsets(n_edge);
        let total = offset[n_edge.len()];
        check_lengths(total, sender, receiver, distance, displacement)?;
        let order = Self::order(n_edge, receiver);
        let sorted_sender = gather(&order, sender);
        let mut sender_order = Vec::with_capacity(total);
        for bounds in offset.windows(2) {
            let of_graph = &sorted_sender[bounds[0]..bounds[1]];
            let mut edges: Vec<u32> = (0..of_graph.len() as u32).collect();
            edges.sort_by_key(|&edge| of_graph[edge as usize]);
            sender_order.extend(edges);
        }
        let pick_distance = if distance.is_empty() { &[][..] } else { &order };
        let pick_displacement = if displacement.is_empty() { &[][..] } else { &order };
        Ok(Self {
            receiver: gather(&order, receiver),
            distance: gather(pick_distance, distance),
            displacement: gather(pick_displacement, displacement),
            sender: sorted_sender,
            sender_order,
            offset,
        })
    }

    /// The permutation that [`StoredEdges::new`] applies to edges, `[n_edge]`, for [custom
    /// fields](super::OwnField::reordered) with one row per edge.
    ///
    /// # Panics
    /// If there are fewer receivers than edges.
    #[must_use]
    pub fn order(n_edge: &[u32], receiver: &[u32]) -> Vec<u32> {
        let mut order: Vec<u32> = Vec::with_capacity(receiver.len());
        for bounds in offsets(n_edge).windows(2) {
            let mut edges: Vec<u32> = (bounds[0] as u32..bounds[1] as u32).collect();
            edges.sort_by_key(|&edge| receiver[edge as usize]);
            order.extend(edges);
        }
        order
    }

    /// Takes edges that are already sorted, as returned by another store, without copying.
    ///
    /// `n_node` and `n_edge` are per graph; the arrays are those of [`StoredEdges::new`].
    ///
    /// # Errors
    /// Arrays of different lengths, an edge with an end that does not exist, or edges that are not
    /// sorted by receiver.
    pub fn from_sorted(
        n_node: &[u32],
        n_edge: &[u32],
        sender: Vec<u32>,
        receiver: Vec<u32>,
        distance: Vec<f32>,
        displacement: Vec<[f32; 3]>,
    ) -> Result<Self, DatasetError> {
        let offset = offsets(n_edge);
        check_lengths(offset[n_edge.len()], &sender, &receiver, &distance, &displacement)?;
        let mut stored =
            Self { offset, sender, receiver, sender_order: Vec::new(), distance, displacement };
        if n_node.len() != n_edge.len() {
            return Err(DatasetError::Inconsistent(format!(
                "edges of {} graphs, but nodes of {} graphs",
                n_edge.len(),
                n_node.len()
            )));
        }
        stored.check_nodes(n_node)?;
        stored.sender_order = vec![0; stored.sender.len()];
        let mut start = Vec::new();
        for (graph, (&n, bounds)) in n_node.iter().zip(stored.offset.windows(2)).enumerate() {
            let edges = bounds[0]..bounds[1];
            if !stored.receiver[edges.clone()].is_sorted() {
                return Err(DatasetError::Inconsistent(format!(
                    "the edges of graph {graph} are not sorted by receiver"
                )));
            }
            start.clear();
            start.resize(n as usize, 0);
            count_before(&mut start, &stored.sender[edges.clone()]);
            let order = &mut stored.sender_order[edges.clone()];
            for (edge, &sender) in stored.sender[edges].iter().enumerate() {
                let place = &mut start[sender as usize];
                order[*place as usize] = edge as u32;
                *place += 1;
            }
        }
        Ok(stored)
    }

    /// Edges of each graph, `[n_graph]`.
    #[must_use]
    pub fn n_edge(&self) -> Vec<u32> {
        self.offset.windows(2).map(|bounds| (bounds[1] - bounds[0]) as u32).collect()
    }

    /// Sending node, counted within its graph, `[n_edge]`.
    #[must_use]
    pub fn sender(&self) -> &[u32] {
        &self.sender
    }

    /// Receiving node, counted within its graph, ascending in each graph, `[n_edge]`.
    #[must_use]
    pub fn receiver(&self) -> &[u32] {
        &self.receiver
    }

    /// Distance in angstrom, `[n_edge]`, or empty.
    #[must_use]
    pub fn distance(&self) -> &[f32] {
        &self.distance
    }

    /// Position of the receiver minus position of the sender, in angstrom, `[n_edge, 3]`, or empty.
    #[must_use]
    pub fn displacement(&self) -> &[[f32; 3]] {
        &self.displacement
    }

    /// First edge of each node within its graph, by receiver and by sender. All ends must exist.
    fn starts(&self, node_offset: &[usize]) -> Vec<u32> {
        let n_node = node_offset[node_offset.len() - 1];
        let mut start = vec![0; 2 * n_node];
        let (by_receiver, by_sender) = start.split_at_mut(n_node);
        for (nodes, edges) in node_offset.windows(2).zip(self.offset.windows(2)) {
            let (nodes, edges) = (nodes[0]..nodes[1], edges[0]..edges[1]);
            count_before(&mut by_receiver[nodes.clone()], &self.receiver[edges.clone()]);
            count_before(&mut by_sender[nodes], &self.sender[edges]);
        }
        start
    }

    fn check_nodes(&self, n_node: &[u32]) -> Result<(), DatasetError> {
        for (graph, (&n, bounds)) in n_node.iter().zip(self.offset.windows(2)).enumerate() {
            let ends = || {
                self.sender[bounds[0]..bounds[1]].iter().chain(&self.receiver[bounds[0]..bounds[1]])
            };
            if let Some(node) = ends().find(|&&node| node >= n) {
                return Err(DatasetError::Inconsistent(format!(
                    "an edge of graph {graph} ends at node {node}, but the graph has {n} nodes"
                )));
            }
        }
        Ok(())
    }
}

fn check_lengths(
    total: usize,
    sender: &[u32],
    receiver: &[u32],
    distance: &[f32],
    displacement: &[[f32; 3]],
) -> Result<(), DatasetError> {
    if u32::try_from(total).is_err() {
        return Err(DatasetError::Inconsistent(format!(
            "{total} stored edges, more than 32 bits can number; connect fewer or load less"
        )));
    }
    let lengths = [
        ("senders", sender.len()),
        ("receivers", receiver.len()),
        ("distances", if distance.is_empty() { total } else { distance.len() }),
        ("displacements", if displacement.is_empty() { total } else { displacement.len() }),
    ];
    match lengths.into_iter().find(|&(_, len)| len != total) {
        None => Ok(()),
        Some((what, len)) => {
            Err(DatasetError::Inconsistent(format!("{len} {what} for {total} edges")))
        }
    }
}

fn offsets(count: &[u32]) -> Vec<usize> {
    let mut offset = Vec::with_capacity(count.len() + 1);
    offset.push(0);
    let mut total = 0;
    for &n in count {
        total += n as usize;
        offset.push(total);
    }
    offset
}

/// For each node, the number of entries in `ends` that refer to earlier nodes. `count` must be
/// zeroed.
fn count_before(count: &mut [u32], ends: &[u32]) {
    for &end in ends {
        count[end as usize] += 1;
    }
    let mut before = 0;
    for slot in count {
        before += std::mem::replace(slot, before);
    }
}

fn gather<T: Copy>(order: &[u32], values: &[T]) -> Vec<T> {
    order.iter().map(|&i| values[i as usize]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_edges_are_sorted_by_receiver_and_know_their_sender_order() {
        let stored = StoredEdges::new(
            &[3, 2],
            &[0, 1, 2, 1, 0],
            &[1, 0, 0, 0, 1],
            &[1., 2., 3., 4., 5.],
            &[],
        )
        .unwrap();
        assert_eq!(stored.receiver, [0, 0, 1, 0, 1]);
        assert_eq!(stored.sender, [1, 2, 0, 1, 0]);
        assert_eq!(stored.distance, [2., 3., 1., 4., 5.]);
        assert_eq!(stored.sender_order, [2, 0, 1, 1, 0]);
    }

    #[test]
    fn sorted_edges_are_taken_as_they_are_and_others_refused() {
        let stored = StoredEdges::new(
            &[3, 2],
            &[0, 1, 2, 1, 0],
            &[1, 0, 0, 0, 1],
            &[1., 2., 3., 4., 5.],
            &[],
        )
        .unwrap();
        let again = |receiver: Vec<u32>| {
            let (sender, distance) = (stored.sender.clone(), stored.distance.clone());
            StoredEdges::from_sorted(&[3, 2], &stored.n_edge(), sender, receiver, distance, vec![])
        };
        let same = again(stored.receiver.clone()).unwrap();
        assert_eq!(same.sender_order, stored.sender_order);
        assert_eq!((&same.sender, &same.offset), (&stored.sender, &stored.offset));
        let refused = |receiver| again(receiver).unwrap_err().to_string();
        assert!(refused(vec![0, 1, 0, 0, 1]).contains("graph 0 are not sorted by receiver"));
        assert!(refused(vec![0, 0, 1, 0, 2]).contains("an edge of graph 1 ends at node 2"));
        assert!(refused(vec![0]).contains("1 receivers for 5 edges"));
    }

    #[test]
    fn edges_to_nodes_that_do_not_exist_are_refused() {
        let stored = StoredEdges::new(&[1], &[0], &[7], &[], &[]).unwrap();
        let error = ManyGraphs::new(&[2], Edges::Stored(stored)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "inconsistent graphs: an edge of graph 0 ends at node 7, but the graph has 2 nodes"
        );
    }
}
