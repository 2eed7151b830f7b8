//! Measures how random the batches are.
//!
//! A strategy that sorts or packs graphs trades randomness for fill: the same graphs share batches
//! repeatedly, or batches of small graphs follow each other. The value of each measure under
//! uniform random batching is known.

use serde::Serialize;

/// Marks a graph that was in no batch of a pass.
pub const ABSENT: u32 = u32::MAX;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shuffle {
    /// How often graphs that shared a batch share one again; see [`pair_recurrence`]. 1 = uniform.
    pub pair_recurrence: Option<f64>,
    /// Standard error of `pair_recurrence` under uniform batching.
    pub pair_recurrence_error: Option<f64>,
    /// Lag-1 autocorrelation of the mean graph size of consecutive batches; 0 = uniform.
    pub size_autocorrelation: Option<f64>,
    /// How often a graph is trained on per epoch, by decile of graph size, smallest first; exactly
    /// 1 for a strategy that drops nothing.
    pub inclusion_by_decile: Vec<f64>,
    /// Epochs over which recurrence and inclusion were counted.
    pub n_epoch: u64,
}

/// How much more often than at random two graphs that shared a batch in one epoch share one in
/// another, with the standard error of this number under uniform batching.
///
/// `label[e][g]` is the batch of graph `g` in epoch `e`, or [`ABSENT`]. With S(e, f) the number of
/// pairs of graphs that are together in both epochs, P(e) of those that are together in e, and C of
/// all pairs (each among the graphs that are present in both),
///
/// ```text
/// R = sum over e < f of S(e, f)  /  sum over e < f of P(e) P(f) / C
/// ```
///
/// The denominator is the expectation for batches of the same sizes drawn uniformly and
/// independently. If pair k is together with probability `q_k`, R estimates `mean(q^2) / mean(q)^2
/// = 1 + cv(q)^2`: 1 if all pairs are equally likely, K if graphs only mix within one of K equal
/// classes, C / P if the composition is fixed. All pairs are counted; there is no sampling.
#[must_use]
pub fn pair_recurrence(label: &[Vec<u32>]) -> Option<(f64, f64)> {
    let (mut together, mut expected) = (0.0, 0.0);
    for (e, first) in label.iter().enumerate() {
        let by_batch = sorted_by_label(first);
        for second in &label[e + 1..] {
            let pairs = Pairs::count(first, second, &by_batch);
            together += pairs.in_both;
            if pairs.all > 0.0 {
                expected += pairs.in_first * pairs.in_second / pairs.all;
            }
        }
    }
    (expected > 0.0).then(|| (together / expected, 1.0 / expected.sqrt()))
}

/// Present graphs, sorted by batch.
fn sorted_by_label(label: &[u32]) -> Vec<u32> {
    let mut graphs: Vec<u32> =
        (0..label.len() as u32).filter(|&g| label[g as usize] != ABSENT).collect();
    graphs.sort_unstable_by_key(|&g| label[g as usize]);
    graphs
}

/// Numbers of pairs among the graphs that are present in two epochs.
struct Pairs {
    all: f64,
    in_first: f64,
    in_second: f64,
    in_both: f64,
}

impl Pairs {
    fn count(first: &[u32], second: &[u32], by_batch: &[u32]) -> Self {
        let choose_2 = |n: u64| (n * n.saturating_sub(1) / 2) as f64;
        let mut size_in_second: Vec<u64> = Vec::new();
        let mut pairs = Self { all: 0.0, in_first: 0.0, in_second: 0.0, in_both: 0.0 };
        let mut n_graph = 0;
        let mut others: Vec<u32> = Vec::new();
        let lowest = second.iter().copied().min().unwrap_or(0);
        for batch in by_batch.chunk_by(|&a, &b| first[a as usize] == first[b as usize]) {
            others.clear();
            others.extend(batch.iter().map(|&g| second[g as usize]).filter(|&b| b != ABSENT));
            others.sort_unstable();
            n_graph += others.len() as u64;
            pairs.in_first += choose_2(others.len() as u64);
            for same in others.chunk_by(|a, b| a == b) {
                let n = same.len() as u64;
                pairs.in_both += choose_2(n);
                let slot = (same[0] - lowest) as usize;
                if size_in_second.len() <= slot {
                    size_in_second.resize(slot + 1, 0);
                }
                size_in_second[slot] += n;
            }
        }
        pairs.in_second = size_in_second.into_iter().map(choose_2).sum();
        pairs.all = choose_2(n_graph);
        pairs
    }
}

/// Lag-1 autocorrelation of a series: `sum (x[t] - m)(x[t+1] - m) / sum (x[t] - m)^2`. `None` if it
/// is constant or shorter than 3.
#[must_use]
pub fn autocorrelation(series: &[f64]) -> Option<f64> {
    let mean = series.iter().sum::<f64>() / series.len() as f64;
    let variance: f64 = series.iter().map(|x| (x - mean).powi(2)).sum();
    let scale = series.iter().map(|x| x.abs()).fold(0.0, f64::max);
    // Rounding makes a constant series vary by some 1e-16 of its magnitude.
    if series.len() < 3 || variance <= series.len() as f64 * (1e-12 * scale).powi(2) {
        return None;
    }
    let lagged: f64 = series.windows(2).map(|x| (x[0] - mean) * (x[1] - mean)).sum();
    Some(lagged / variance)
}

/// Mean number of inclusions of a graph per epoch, in ten classes of equal count by size, smallest
/// graphs first; fewer classes if there are fewer graphs.
///
/// `included[g]` counts over `n_epoch` epochs.
#[must_use]
pub fn inclusion_by_decile(size: &[u32], included: &[u64], n_epoch: u64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..size.len()).collect();
    order.sort_by_key(|&graph| (size[graph], graph));
    let n_class = order.len().min(10);
    let class = |k: usize| {
        let graphs = &order[k * order.len() / n_class..(k + 1) * order.len() / n_class];
        let total: u64 = graphs.iter().map(|&graph| included[graph]).sum();
        total as f64 / (graphs.len() as u64 * n_epoch) as f64
    };
    if n_epoch == 0 { Vec::new() } else { (0..n_class).map(class).collect() }
}

#[cfg(test)]
mod tests {
    use batchlab_core::random::permutation;

    use super::*;

    /// `n` graphs in batches of `m`, ordered by `order` in each of 6 epochs.
    fn labels(n: usize, m: usize, order: impl Fn(u64) -> Vec<u32>) -> Vec<Vec<u32>> {
        let of_epoch = |epoch| {
            let mut label = vec![ABSENT; n];
            for (place, graph) in order(epoch).into_iter().enumerate() {
                label[graph as usize] = (place / m) as u32;
            }
            label
        };
        (0..6).map(of_epoch).collect()
    }

    fn recurrence(label: &[Vec<u32>]) -> (f64, f64) {
        pair_recurrence(label).expect("there are pairs")
    }

    #[test]
    fn uniform_batching_has_recurrence_1() {
        let (ratio, error) =
            recurrence(&labels(4000, 20, |epoch| permutation(5, "order", epoch, 4000)));
        assert!(error < 0.05, "{error}");
        assert!((ratio - 1.0).abs() < 4.0 * error, "{ratio} with error {error}");
    }

    /// Together in one epoch means together in all: R = C / P = (n - 1) / (m - 1).
    #[test]
    fn fixed_composition_has_the_largest_recurrence() {
        let fixed = labels(400, 20, |_| (0..400).collect());
        assert!((recurrence(&fixed).0 - 399.0 / 19.0).abs() < 1e-9);
        // The order of the batches does not matter, only their members.
        let reordered = labels(400, 20, |epoch| {
            let batches = permutation(1, "batches", epoch, 20);
            batches.into_iter().flat_map(|b| b * 20..(b + 1) * 20).collect()
        });
        assert!((recurrence(&reordered).0 - 399.0 / 19.0).abs() < 1e-9);
    }

    /// Graphs mix only within their quarter: a pair of one quarter is 4 times as likely.
    #[test]
    fn mixing_within_classes_shows_their_number() {
        let classes = labels(4000, 20, |epoch| {
            let of_class = |class: u32| {
                let order = permutation(u64::from(class), "class", epoch, 1000);
                order.into_iter().map(move |g| class * 1000 + g)
            };
            (0..4).flat_map(of_class).collect()
        });
        let (ratio, error) = recurrence(&classes);
        assert!((ratio - 4.0).abs() < 8.0 * error, "{ratio} with error {error}");
    }

    #[test]
    fn absent_graphs_and_single_graphs_form_no_pairs() {
        assert_eq!(pair_recurrence(&[vec![0, 1, 2], vec![2, 1, 0]]), None);
        assert_eq!(pair_recurrence(&[vec![0, 0]]), None, "one epoch says nothing");
        // Without graph 2 the other two are necessarily always together.
        let label = [vec![0, 0, ABSENT], vec![1, 1, 1]];
        assert!((recurrence(&label).0 - 1.0).abs() < 1e-12);
    }

    #[test]
    fn autocorrelation_of_known_series() {
        let alternating: Vec<f64> = (0..1000).map(|t| f64::from(t % 2)).collect();
        assert!((autocorrelation(&alternating).unwrap_or(0.0) + 0.999).abs() < 1e-12);
        let sorted: Vec<f64> = (0..1000).map(f64::from).collect();
        assert!(autocorrelation(&sorted).unwrap_or(0.0) > 0.99);
        let random: Vec<f64> =
            permutation(3, "series", 0, 10_000).into_iter().map(f64::from).collect();
        assert!(autocorrelation(&random).unwrap_or(1.0).abs() < 0.04);
        assert_eq!(autocorrelation(&[18.1; 50]), None);
        assert_eq!(autocorrelation(&[]), None);
    }

    #[test]
    fn inclusion_is_counted_by_size() {
        let size: Vec<u32> = (0..100).rev().collect();
        let mut included = vec![3; 100];
        // Graph 0 is the largest.
        included[0] = 0;
        let inclusion = inclusion_by_decile(&size, &included, 3);
        assert_eq!(inclusion[..9], [1.0; 9]);
        assert!((inclusion[9] - 0.9).abs() < 1e-12);
        assert_eq!(inclusion_by_decile(&[7], &[2], 2), [1.0]);
        assert!(inclusion_by_decile(&[7], &[2], 0).is_empty());
    }
}
