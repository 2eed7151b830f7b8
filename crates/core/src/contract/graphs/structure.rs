//! Queries on nodes and edges alone.

use sha2::{Digest, Sha256};

use super::OneGraph;
use crate::hash::hexadecimal;

impl OneGraph {
    /// The first edge (sender, receiver) without a reverse edge; `None` if the graph is undirected.
    /// Takes one pass over the edges.
    #[must_use]
    pub fn one_way_edge(&self) -> Option<(u32, u32)> {
        // Receivers ascend, so the outgoing edges of a node appear in the order of its expected
        // incoming edges.
        let mut expected = self.offset.clone();
        for receiver in 0..self.n_node() as u32 {
            for &sender in &self.sender[self.incoming(receiver)] {
                let of_sender = &mut expected[sender as usize];
                let end = self.offset[sender as usize + 1];
                match self.sender[*of_sender..end].first() {
                    Some(&back) if back == receiver => *of_sender += 1,
                    // `back` sends to `sender`, but the reverse edge should already have appeared.
                    Some(&back) if back < receiver => return Some((back, sender)),
                    _ => return Some((sender, receiver)),
                }
            }
        }
        None
    }

    /// SHA-256 over nodes and edges, without weights, in hexadecimal: a cache key for anything that
    /// depends on the structure alone.
    #[must_use]
    pub fn structure_hash(&self) -> String {
        let mut hasher = Sha256::new();
        for &offset in &self.offset {
            hasher.update((offset as u64).to_le_bytes());
        }
        for &sender in &self.sender {
            hasher.update(sender.to_le_bytes());
        }
        hexadecimal(&hasher.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(n_node: u32, edges: &[(u32, u32)]) -> OneGraph {
        let mut edges: Vec<(u32, u32)> = edges.iter().map(|&(from, to)| (to, from)).collect();
        edges.sort_unstable();
        OneGraph {
            offset: (0..=n_node).map(|v| edges.iter().filter(|edge| edge.0 < v).count()).collect(),
            sender: edges.iter().map(|edge| edge.1).collect(),
            edge_weight: Vec::new(),
        }
    }

    #[test]
    fn every_directed_graph_of_four_nodes_is_told_from_the_undirected_ones() {
        let all: Vec<(u32, u32)> = (0..16).map(|pair| (pair / 4, pair % 4)).collect();
        for subset in 0..1_u32 << 16 {
            let edges: Vec<_> =
                all.iter().copied().filter(|e| subset >> (4 * e.0 + e.1) & 1 == 1).collect();
            let has = |edge: (u32, u32)| edges.contains(&edge);
            match graph(4, &edges).one_way_edge() {
                Some((from, to)) => assert!(has((from, to)) && !has((to, from)), "{edges:?}"),
                None => assert!(edges.iter().all(|&(from, to)| has((to, from))), "{edges:?}"),
            }
        }
    }

    #[test]
    fn a_hash_tells_graphs_apart() {
        let of = |n_node, edges: &[(u32, u32)]| graph(n_node, edges).structure_hash();
        assert_eq!(of(3, &[(0, 1)]), of(3, &[(0, 1)]));
        assert_ne!(of(3, &[(0, 1)]), of(3, &[(1, 0)]));
        assert_ne!(of(3, &[(0, 1)]), of(4, &[(0, 1)]));
    }
}
