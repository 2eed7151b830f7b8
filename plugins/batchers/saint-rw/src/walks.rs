//! Random walks.

use batchlab_core::graphs::OneGraph;
use batchlab_core::random::below;
use rand_chacha::rand_core::Rng;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Walks {
    pub(crate) n_root: u32,
    /// Steps.
    pub(crate) length: u32,
}

impl Walks {
    /// The nodes visited by walks from random nodes, of `among` or of the graph, ascending and
    /// unique.
    pub(crate) fn start(
        self,
        graph: &OneGraph,
        among: Option<&[u32]>,
        rng: &mut impl Rng,
    ) -> Vec<u32> {
        let n = among.map_or(graph.n_node(), <[u32]>::len) as u64;
        let roots: Vec<u32> = (0..self.n_root)
            .map(|_| below(rng, n) as u32)
            .map(|drawn| among.map_or(drawn, |nodes| nodes[drawn as usize]))
            .collect();
        self.from(graph, roots.into_iter(), rng)
    }

    /// The nodes visited by walks from these nodes, ascending and unique. A walk ends at a node
    /// without incoming edges.
    pub(crate) fn from(
        self,
        graph: &OneGraph,
        roots: impl Iterator<Item = u32>,
        rng: &mut impl Rng,
    ) -> Vec<u32> {
        let mut nodes = Vec::new();
        for mut node in roots {
            nodes.push(node);
            for _ in 0..self.length {
                let neighbours = &graph.sender[graph.incoming(node)];
                if neighbours.is_empty() {
                    break;
                }
                node = neighbours[below(rng, neighbours.len() as u64) as usize];
                nodes.push(node);
            }
        }
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }
}
