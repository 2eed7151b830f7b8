//! Edge weights of a single large graph, shared by the data sets.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::OneGraph;

/// Edge weights derived from the degrees in the full graph.
///
/// Batches keep these weights without renormalisation, as in arXiv 2212.09083.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EdgeWeight {
    /// 1 for every edge.
    #[default]
    None,
    /// 1 / degree of the receiver: the incoming weights of a node sum to 1.
    Row,
    /// 1 / sqrt(degree of the receiver x degree of the sender), as in GCN (Kipf and Welling 2017,
    /// arXiv 1609.02907).
    Symmetric,
}

impl EdgeWeight {
    /// The weight of each edge, `[n_edge]`; empty means 1. The degree of a node is its number of
    /// incoming edges, including its self-loop.
    #[must_use]
    pub fn of(self, graph: &OneGraph) -> Vec<f32> {
        // A node that sends but receives nothing has degree 0, which counts as 1. Undirected graphs
        // have no such node.
        let degree = |node: u32| graph.incoming(node).len().max(1) as f64;
        let weight = |receiver: u32, sender: u32| match self {
            Self::None => 1.0,
            Self::Row => 1.0 / degree(receiver),
            Self::Symmetric => 1.0 / (degree(receiver) * degree(sender)).sqrt(),
        };
        if self == Self::None {
            return Vec::new();
        }
        let of_row = |receiver: u32| {
            graph.sender[graph.incoming(receiver)]
                .iter()
                .map(move |&sender| weight(receiver, sender) as f32)
        };
        (0..graph.n_node() as u32).flat_map(of_row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_follow_their_formulas() {
        // A path 0 - 1 - 2 and the isolated node 3, all with self-loops.
        let graph = OneGraph {
            offset: vec![0, 2, 5, 7, 8],
            sender: vec![0, 1, 0, 1, 2, 1, 2, 3],
            edge_weight: Vec::new(),
        };
        let (a, b, c) = (1.0 / 2.0, 1.0 / 3.0, (1.0 / 6.0_f64.sqrt()) as f32);
        assert_eq!(EdgeWeight::Row.of(&graph), [a, a, b, b, b, a, a, 1.0]);
        assert_eq!(EdgeWeight::Symmetric.of(&graph), [a, c, c, b, c, c, a, 1.0]);
        assert!(EdgeWeight::None.of(&graph).is_empty());
    }
}
