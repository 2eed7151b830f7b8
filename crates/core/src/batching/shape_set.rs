//! A small set of static shapes with minimal expected padding.

use crate::contract::plan::Shape;
use crate::number::next_multiple;

/// Sizes are rounded up to multiples of this many nodes and edges before the search, so that a
/// shape also holds batches slightly larger than those of the sample.
const STEP: u32 = 64;
/// Maximum number of distinct sizes; beyond it, sizes are merged with their upper neighbour,
/// because the search takes quadratic time.
const MAX_DISTINCT: usize = 512;

/// The `k` shapes (or fewer, if fewer suffice) that minimise the padded size `n_node + n_edge`
/// summed over the sample.
///
/// Batches are sorted by edges, and each shape covers a contiguous run of them; dynamic programming
/// over the ends of the runs takes O(k m^2) for m distinct sizes. The result is the best partition
/// of this order, and thus optimal for the sample if batches with more edges have more nodes, as
/// when all graphs are fully connected or all nodes have equally many neighbours. Otherwise it is a
/// heuristic, since a shape could profitably cover batches that are far apart in the order. Each
/// shape has room for one padding node. `n_graph` and `n_output` are left at 0.
#[must_use]
pub(super) fn best_shapes(sample: &[Shape], k: usize) -> Vec<Shape> {
    search(sample, k, 0.0)
}

/// The shapes that minimise the mean padded size `n_node + n_edge` of a batch plus `cost` per
/// shape. Found as in [`best_shapes`], for every number of shapes that could still pay off.
#[must_use]
pub(super) fn worthwhile_shapes(sample: &[Shape], cost: f64) -> Vec<Shape> {
    search(sample, usize::MAX, cost * sample.len() as f64)
}

/// At most `k` shapes, each charged with `cost_per_shape` padded rows.
fn search(sample: &[Shape], k: usize, cost_per_shape: f64) -> Vec<Shape> {
    let sizes = distinct_sizes(sample);
    let m = sizes.len();
    // cost[end] = minimum cost of the first `end` sizes with the shapes used so far.
    let mut cost = vec![f64::INFINITY; m + 1];
    cost[0] = 0.0;
    let mut choices: Vec<Vec<usize>> = Vec::new();
    // Lower bound: with one shape per size, nothing is wasted.
    let least: f64 = sizes.iter().map(|s| s.2 * (f64::from(s.0) + f64::from(s.1))).sum();
    let (mut best, mut n_best) = (f64::INFINITY, 0);
    while choices.len() < k.min(m) {
        let all_shapes = cost_per_shape * (choices.len() + 1) as f64;
        if least + all_shapes >= best {
            break;
        }
        let (next, choice) = one_more_shape(&sizes, &cost);
        cost = next;
        choices.push(choice);
        if cost[m] + all_shapes < best {
            best = cost[m] + all_shapes;
            n_best = choices.len();
        }
    }
    choices.truncate(n_best);
    let mut shapes = Vec::new();
    let mut end = m;
    for choice in choices.iter().rev() {
        let start = choice[end];
        if start < end {
            shapes.push(covering(&sizes[start..end]));
        }
        end = start;
    }
    shapes.reverse();
    shapes
}

/// Nodes, edges and frequency.
type Size = (u32, u32, f64);

fn distinct_sizes(sample: &[Shape]) -> Vec<Size> {
    let round = |n: u32| next_multiple(n.max(1), STEP);
    let mut sizes: Vec<(u32, u32)> =
        sample.iter().map(|s| (round(s.n_node.saturating_add(1)), round(s.n_edge))).collect();
    sizes.sort_unstable_by_key(|&(n_node, n_edge)| (n_edge, n_node));
    let per_slot = sizes.len().div_ceil(MAX_DISTINCT).max(1);
    let mut distinct: Vec<Size> = Vec::new();
    for (n_node, n_edge) in sizes {
        match distinct.last_mut() {
            Some(last)
                if (last.0, last.1) == (n_node, n_edge)
                    || last.2 < per_slot as f64 && per_slot > 1 =>
            {
                *last = (last.0.max(n_node), n_edge, last.2 + 1.0);
            }
            _ => distinct.push((n_node, n_edge, 1.0)),
        }
    }
    distinct
}

/// Allows one more shape: the minimum cost of every prefix, and the start of its last run.
fn one_more_shape(sizes: &[Size], cost: &[f64]) -> (Vec<f64>, Vec<usize>) {
    let m = sizes.len();
    let mut next = cost.to_vec();
    let mut choice: Vec<usize> = (0..=m).collect();
    for end in 1..=m {
        let (mut n_node, mut count) = (0, 0.0);
        for start in (0..end).rev() {
            n_node = sizes[start].0.max(n_node);
            count += sizes[start].2;
            let total = cost[start] + count * (f64::from(n_node) + f64::from(sizes[end - 1].1));
            if total < next[end] {
                next[end] = total;
                choice[end] = start;
            }
        }
    }
    (next, choice)
}

fn covering(sizes: &[Size]) -> Shape {
    let n_node = sizes.iter().map(|s| s.0).max().unwrap_or(0);
    let n_edge = sizes.iter().map(|s| s.1).max().unwrap_or(0);
    Shape { n_node, n_edge, ..Shape::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(edges: &[u32]) -> Vec<Shape> {
        edges
            .iter()
            .map(|&n_edge| Shape { n_node: n_edge / 16, n_edge, n_graph: 1, n_output: 1 })
            .collect()
    }

    fn padded(shapes: &[Shape], sample: &[Shape]) -> u64 {
        let cheapest = |real: &Shape| {
            let fits = shapes.iter().filter(|s| s.n_node > real.n_node && s.n_edge >= real.n_edge);
            fits.map(|s| u64::from(s.n_node + s.n_edge)).min().unwrap()
        };
        sample.iter().map(cheapest).sum()
    }

    #[test]
    fn two_clusters_get_two_tight_shapes() {
        let sample = sample(&[640, 640, 630, 6400, 6390, 6400]);
        let shapes = best_shapes(&sample, 2);
        assert_eq!(shapes.iter().map(|s| s.n_edge).collect::<Vec<_>>(), [640, 6400]);
    }

    #[test]
    fn no_other_choice_of_two_is_cheaper() {
        let sample = sample(&[100, 900, 1000, 1100, 4000, 4100, 9000, 64, 2000]);
        let best = padded(&best_shapes(&sample, 2), &sample);
        let all = best_shapes(&sample, 99);
        for first in &all {
            let pair = [*first, *all.last().unwrap()];
            assert!(best <= padded(&pair, &sample));
        }
    }

    #[test]
    fn more_shapes_never_cost_more() {
        let sample = sample(&(1..200).map(|i| i * 37 % 5000).collect::<Vec<_>>());
        let costs: Vec<u64> = (1..12).map(|k| padded(&best_shapes(&sample, k), &sample)).collect();
        assert!(costs.is_sorted_by(|a, b| a >= b), "{costs:?}");
    }

    #[test]
    fn shapes_are_bought_while_they_pay() {
        let sample = sample(&[100, 900, 1000, 1100, 4000, 4100, 9000, 64, 2000]);
        let total = |shapes: &[Shape], cost: f64| {
            padded(shapes, &sample) as f64 / sample.len() as f64 + cost * shapes.len() as f64
        };
        for cost in [1.0, 30.0, 100.0, 300.0, 1000.0, 10_000.0] {
            let chosen = total(&worthwhile_shapes(&sample, cost), cost);
            for k in 1..10 {
                assert!(chosen <= total(&best_shapes(&sample, k), cost) + 1e-9, "{k} at {cost}");
            }
        }
        assert_eq!(worthwhile_shapes(&sample, 1e9).len(), 1);
    }

    #[test]
    fn an_empty_sample_needs_no_shape() {
        assert!(worthwhile_shapes(&[], 3.0).is_empty());
        assert!(best_shapes(&[], 3).is_empty());
    }
}
