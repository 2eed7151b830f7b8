//! Self loops and the edge weights of the full graph.

use batchlab_core::graphs::OneGraph;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Weights of the edges, from the degrees in the full graph.
///
/// Batches keep them and never normalise again, as in arXiv 2212.09083.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EdgeWeight {
    /// 1 for every edge.
    #[default]
    None,
    /// 1 / degree of the receiver: what a node receives sums to 1.
    Row,
    /// 1 / sqrt(degree of the receiver x degree of the sender), as in GCN (Kipf and Welling 2017,
    /// arXiv 1609.02907).
    Symmetric,
}

/// Adds an edge from every node to itself where there is none; the number of loops added.
pub(crate) fn add_self_loops(graph: &mut OneGraph) -> usize {
    let n_node = graph.n_node();
    let before = graph.sender.len();
    let mut offset = Vec::with_capacity(n_node + 1);
    let mut sender = Vec::with_capacity(before + n_node);
    offset.push(0);
    for node in 0..n_node as u32 {
        let row = &graph.sender[graph.incoming(node)];
        let place = row.partition_point(|&neighbour| neighbour < node);
        sender.extend_from_slice(&row[..place]);
        if row.get(place) != Some(&node) {
            sender.push(node);
        }
        sender.extend_from_slice(&row[place..]);
        offset.push(sender.len());
    }
    graph.offset = offset;
    graph.sender = sender;
    graph.sender.len() - before
}

/// The weight of each edge, `[n_edge]`; empty for 1. A degree is the number of edges that a node
/// receives, its self loop included.
pub(crate) fn weights(graph: &OneGraph, rule: EdgeWeight) -> Vec<f32> {
    // A node that sends but receives nothing has degree 0 and counts as 1; undirected graphs have
    // no such node.
    let degree = |node: u32| graph.incoming(node).len().max(1) as f64;
    let weight = |receiver: u32, sender: u32| match rule {
        EdgeWeight::None => 1.0,
        EdgeWeight::Row => 1.0 / degree(receiver),
        EdgeWeight::Symmetric => 1.0 / (degree(receiver) * degree(sender)).sqrt(),
    };
    if rule == EdgeWeight::None {
        return Vec::new();
    }
    let of_row = |receiver: u32| {
        graph.sender[graph.incoming(receiver)]
            .iter()
            .map(move |&sender| weight(receiver, sender) as f32)
    };
    (0..graph.n_node() as u32).flat_map(of_row).collect()
}

/// How many edges have no edge in the other direction.
pub(crate) fn count_one_way(graph: &OneGraph) -> usize {
    let one_way = |receiver: u32| {
        graph.sender[graph.incoming(receiver)]
            .iter()
            .filter(|&&sender| {
                graph.sender[graph.incoming(sender)].binary_search(&receiver).is_err()
            })
            .count()
    };
    (0..graph.n_node() as u32).map(one_way).sum()
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
        assert_eq!(add_self_loops(&mut graph), 3);
        assert_eq!(graph.offset, [0, 2, 5, 7, 8]);
        assert_eq!(graph.sender, [0, 1, 0, 1, 2, 1, 2, 3]);
        assert_eq!(add_self_loops(&mut graph), 0);
    }

    #[test]
    fn weights_follow_their_formulas() {
        let mut graph = path();
        add_self_loops(&mut graph);
        let (a, b, c) = (1.0 / 2.0, 1.0 / 3.0, (1.0 / 6.0_f64.sqrt()) as f32);
        assert_eq!(weights(&graph, EdgeWeight::Row), [a, a, b, b, b, a, a, 1.0]);
        assert_eq!(weights(&graph, EdgeWeight::Symmetric), [a, c, c, b, c, c, a, 1.0]);
        assert!(weights(&graph, EdgeWeight::None).is_empty());
    }

    #[test]
    fn edges_in_one_direction_are_counted() {
        assert_eq!(count_one_way(&path()), 0);
        let one_way = OneGraph { offset: vec![0, 2, 2], sender: vec![0, 1], edge_weight: vec![] };
        assert_eq!(count_one_way(&one_way), 1);
    }
}
