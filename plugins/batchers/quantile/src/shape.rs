//! The search for the smallest shape.

use std::num::NonZeroU32;

use batchlab_core::budget::{Probability, index_limit};
use batchlab_core::padding::BatchSize;
use batchlab_core::{BatcherError, GraphSize, Shape, random};

/// Maximum number of drawn graphs; more would take seconds, and the totals of such large batches
/// hardly vary.
const MAX_DRAW: u32 = 20_000_000;

/// The shape with the fewest nodes plus edges that holds at least the fraction `probability` of
/// `n_draw` random batches of B - 1 graphs (of all graphs, if there are fewer), rounded strictly up
/// to multiples of 64, which leaves room for one padding node.
///
/// # Errors
/// Batches too large to be indexed.
pub fn smallest_shape(
    graphs: &[GraphSize],
    batch_size: BatchSize,
    probability: Probability,
    n_draw: NonZeroU32,
    seed: u64,
) -> Result<Shape, BatcherError> {
    let n_graph = graphs.len().min(batch_size.max_graph() as usize);
    let most = (MAX_DRAW / n_graph.max(1) as u32).max(100);
    let totals = draw(graphs, n_graph, n_draw.get().min(most) as usize, seed);
    #[allow(clippy::cast_sign_loss, reason = "a probability is not negative")]
    let n_fit = (probability.get() * totals.len() as f64).ceil() as usize;
    let [n_node, n_edge] = smallest(totals, n_fit);
    let limit = |size: u64| {
        index_limit(size as f64).ok_or_else(|| {
            BatcherError::Options(format!(
                "batches of {n_graph} graphs have {size} nodes or edges, more than a batch can \
                 index; use a smaller batch_size"
            ))
        })
    };
    let slots = batch_size.get();
    Ok(Shape { n_node: limit(n_node)?, n_edge: limit(n_edge)?, n_graph: slots, n_output: slots })
}

/// Nodes and edges of random batches, each a uniform sample of `n_graph` distinct graphs.
fn draw(graphs: &[GraphSize], n_graph: usize, n_draw: usize, seed: u64) -> Vec<[u64; 2]> {
    let mut rng = random::stream(seed, "quantile batches", 0);
    let mut order: Vec<u32> = (0..graphs.len() as u32).collect();
    let mut batch = || {
        let mut total = [0, 0];
        // The beginning of a Fisher-Yates shuffle, starting from the order left by the previous
        // batch.
        for drawn in 0..n_graph {
            let rest = (order.len() - drawn) as u64;
            order.swap(drawn, drawn + random::below(&mut rng, rest) as usize);
            let graph = graphs[order[drawn] as usize];
            total[0] += u64::from(graph.n_node);
            total[1] += u64::from(graph.n_edge);
        }
        total
    };
    (0..n_draw).map(|_| batch()).collect()
}

/// The bounds with the smallest sum that hold at least `n_fit` of the totals.
///
/// The totals that exceed the node bound are a prefix of the list sorted by nodes. For each such
/// prefix, the edge bound is the smallest that loses no more of the remaining totals than are still
/// allowed; one bound falls as the other rises, and the best pair is chosen. O(n log n + k^2) for k
/// totals that may be lost.
fn smallest(mut totals: Vec<[u64; 2]>, n_fit: usize) -> [u64; 2] {
    let n_lose = totals.len().saturating_sub(n_fit.max(1));
    totals.sort_unstable_by(|a, b| b.cmp(a));
    let mut by_edge: Vec<usize> = (0..totals.len()).collect();
    by_edge.sort_unstable_by_key(|&i| std::cmp::Reverse(totals[i][1]));
    let bounds = (0..=n_lose).filter_map(|n_head| {
        let n_node = totals.get(n_head)?[0];
        // The largest edge counts of the tail, after those that may be lost.
        let tail = by_edge.iter().filter(|&&i| i >= n_head);
        let edge = tail.map(|&i| totals[i][1]).nth(n_lose - n_head)?;
        Some([n_node, edge])
    });
    bounds.min_by_key(|[n_node, n_edge]| n_node + n_edge).unwrap_or([0, 0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn brute_force(totals: &[[u64; 2]], n_fit: usize) -> u64 {
        let fit = |n: u64, e: u64| totals.iter().filter(|t| t[0] <= n && t[1] <= e).count();
        let pairs = totals.iter().flat_map(|a| totals.iter().map(move |b| (a[0], b[1])));
        pairs.filter(|&(n, e)| fit(n, e) >= n_fit).map(|(n, e)| n + e).min().unwrap()
    }

    proptest! {
        #[test]
        fn no_smaller_shape_holds_as_many(
            totals in prop::collection::vec([0_u64..20, 0_u64..20], 1..30), share in 0.01_f64..1.0,
        ) {
            #[allow(clippy::cast_sign_loss, reason = "a share is not negative")]
            let n_fit = ((share * totals.len() as f64).ceil() as usize).clamp(1, totals.len());
            let [n, e] = smallest(totals.clone(), n_fit);
            prop_assert!(totals.iter().filter(|t| t[0] <= n && t[1] <= e).count() >= n_fit);
            prop_assert_eq!(n + e, brute_force(&totals, n_fit));
        }
    }
}
