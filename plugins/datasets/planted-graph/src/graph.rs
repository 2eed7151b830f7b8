//! Communities, degrees and edges.
//!
//! A degree-corrected planted partition (Karrer and Newman 2011, arXiv 1008.3926): a node's
//! expected share of the edges is its weight, which follows a power law, and an edge stays within
//! its community with a fixed probability.

use std::collections::HashSet;

use batchlab_core::graphs::OneGraph;
use batchlab_core::random::permutation;
use rayon::prelude::*;

use crate::dataset::PlantedGraph;
use crate::{CHUNK, chunk_stream, fraction};

/// The graph, and the community of each node.
pub(crate) struct Planted {
    pub(crate) one: OneGraph,
    pub(crate) community: Vec<u32>,
}

/// Nodes sorted by community. Their indices are shuffled, so that neighbours are not adjacent in
/// memory unless a method finds them.
struct Nodes {
    number: Vec<u32>,
    /// Start of each community, `[n_community + 1]`.
    begin: Vec<usize>,
    /// Cumulative weights, `[n_node + 1]`.
    weight: Vec<f64>,
    community: Vec<u32>,
}

/// Maximum number of edges to draw, as a multiple of those wanted; usually a few per cent more
/// suffice.
const MAX_DRAWN: usize = 32;

/// `None` if there are hardly enough pairs of nodes for all edges.
pub(crate) fn draw(options: &PlantedGraph) -> Option<Planted> {
    let nodes = Nodes::draw(options);
    let n_node = options.n_node as usize;
    let n_edge = options.n_edge as usize;
    let mut seen: HashSet<(u32, u32)> = HashSet::with_capacity(n_edge);
    let (mut low, mut high) = (Vec::with_capacity(2 * n_edge), Vec::with_capacity(2 * n_edge));
    let mut first = 0;
    // The first edges are one per node, so that none is isolated; duplicates are replaced in the
    // following rounds.
    while low.len() < n_edge {
        if first * CHUNK > MAX_DRAWN * (n_edge + 8 * CHUNK) {
            return None;
        }
        let n_chunk = (n_edge - low.len()).div_ceil(CHUNK).max(8);
        let chunks: Vec<Vec<(u32, u32)>> = (first..first + n_chunk)
            .into_par_iter()
            .map(|chunk| nodes.edges(options, chunk))
            .collect();
        first += n_chunk;
        for (a, b) in chunks.into_iter().flatten() {
            let edge = (a.min(b), a.max(b));
            if low.len() < n_edge && a != b && seen.insert(edge) {
                low.push(edge.0);
                high.push(edge.1);
            }
        }
    }
    drop(seen);
    let senders = [low.as_slice(), &high].concat();
    low.append(&mut high);
    low.rotate_left(n_edge);
    let one = OneGraph::from_edges(n_node, &senders, &low);
    let mut community = vec![0; n_node];
    for (place, &number) in nodes.number.iter().enumerate() {
        community[number as usize] = nodes.community[place];
    }
    Some(Planted { one, community })
}

impl Nodes {
    fn draw(options: &PlantedGraph) -> Self {
        let (n_node, n_community) = (options.n_node as usize, options.n_community as usize);
        // Community sizes differ by up to a factor of five; each has at least two nodes.
        let mut rng = chunk_stream(options.seed, "community sizes", 0);
        let share: Vec<f64> = (0..n_community).map(|_| 1.0 + 4.0 * fraction(&mut rng)).collect();
        let total: f64 = share.iter().sum();
        let spare = (n_node - 2 * n_community) as f64;
        let (mut begin, mut sum) = (vec![0], 0.0);
        for (community, share) in share.iter().enumerate() {
            sum += share;
            #[allow(clippy::cast_sign_loss, reason = "shares are positive")]
            let of_spare = (spare * sum / total).floor() as usize;
            begin.push(2 * (community + 1) + of_spare);
        }
        begin[n_community] = n_node;
        let community = (0..n_community as u32)
            .flat_map(|c| std::iter::repeat_n(c, begin[c as usize + 1] - begin[c as usize]))
            .collect();

        let own: Vec<f64> = (0..n_node.div_ceil(CHUNK))
            .into_par_iter()
            .flat_map_iter(|chunk| {
                let mut rng = chunk_stream(options.seed, "degrees", chunk);
                let n = CHUNK.min(n_node - chunk * CHUNK);
                let draw = move |_| {
                    (1.0 - fraction(&mut rng)).powf(-1.0 / (options.degree_exponent - 1.0))
                };
                (0..n).map(draw)
            })
            .collect();
        let mut weight = vec![0.0];
        for own in own {
            weight.push(weight[weight.len() - 1] + own);
        }
        let number = permutation(options.seed, "numbers", 0, n_node);
        Self { number, begin, weight, community }
    }

    /// The edges of a chunk, as node indices; may contain self-loops and duplicates.
    fn edges(&self, options: &PlantedGraph, chunk: usize) -> Vec<(u32, u32)> {
        let mut rng = chunk_stream(options.seed, "edges", chunk);
        let n_node = self.number.len();
        let mut edge = |at: usize| {
            let first = if at < n_node { at } else { self.place(0..n_node, fraction(&mut rng)) };
            let is_inside = fraction(&mut rng) >= options.mixing;
            let community = self.community[first] as usize;
            let range = self.begin[community]..self.begin[community + 1];
            let range = if is_inside { range } else { 0..n_node };
            let drawn = self.place(range.clone(), fraction(&mut rng));
            // A self-loop is redirected to the next node, so that the first edge of a node is a
            // proper one.
            let next = if drawn + 1 < range.end { drawn + 1 } else { range.start };
            let second = if drawn == first { next } else { drawn };
            (self.number[first], self.number[second])
        };
        (chunk * CHUNK..(chunk + 1) * CHUNK).map(&mut edge).collect()
    }

    /// An index in a range, drawn in proportion to the weights.
    fn place(&self, range: std::ops::Range<usize>, fraction: f64) -> usize {
        let (low, high) = (self.weight[range.start], self.weight[range.end]);
        let goal = low + fraction * (high - low);
        let behind = self.weight[range.start + 1..range.end].partition_point(|&sum| sum <= goal);
        range.start + behind
    }
}
