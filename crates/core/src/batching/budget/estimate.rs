//! Limits estimated from the sizes of the data.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::batching::limits::strictly_up;
use crate::batching::padding::BatchSize;
use crate::contract::graphs::GraphSize;
use crate::{BatcherError, random};

/// How limits that are not given are estimated. The default is the rule of arXiv 2502.00944: the
/// total of `batch_size` graphs, padding included, strictly up to a multiple of 64. With
/// `reserve = "apart"` it is that of `batch_size` - 1 graphs, rounded down, and a node for padding.
///
/// ```toml
/// estimate = { rule = "mean", from = { first = 1000 } }
/// estimate = { rule = { quantile = 0.99 }, from = { sample = 5000 } }
/// estimate = { rule = "median", from = "all", reserve = "apart" } # median size, median neighbours
/// estimate = { rule = { by_edges = 0.9 } } # nodes as in batches filled by edges alone
/// estimate = { slack = 1.1, from = { graph = { n_node = 26, n_edge = 56 } } } # 1.1 times as much
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Estimate {
    /// The statistic that becomes the limit.
    #[serde(default)]
    pub rule: Rule,
    /// The graphs in the sample.
    #[serde(default)]
    pub from: Sample,
    /// Factor on the statistic.
    #[serde(default, skip_serializing_if = "is_default")]
    pub slack: Slack,
    /// Room for padding: within the limit, or apart from it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub reserve: Reserve,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The statistic that becomes the limit: a property of the total size of n graphs drawn at random
/// from the sample. n is `batch_size`, or one less with `reserve = "apart"`. With any rule, the
/// largest graph of the sample fits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// The mean of the total: the mean size times n, as in the study.
    #[default]
    Mean,
    /// The maximum of the total: the largest size times n.
    Maximum,
    /// The quantile of the total at this probability, for each resource separately.
    Quantile(Probability),
    /// Nodes: n times the median size. Edges: n times this number of nodes, with the median number
    /// of neighbours of a node; known only if all nodes of a graph have equally many.
    Median,
    /// Edges: the mean, unless given. Nodes: the quantile at this probability of the nodes in the
    /// batches that the sample would form, in its order, under the limit of edges alone. Graphs: the
    /// largest number in such a batch, unless `resources` names them.
    ByEdges(Probability),
}

/// The graphs from which an estimate is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sample {
    /// The first graphs of the subset, as in the study.
    First(NonZeroU32),
    /// Graphs drawn at random without replacement, using the seed of the order.
    Sample(NonZeroU32),
    /// The whole subset.
    All,
    /// One graph of this size, whatever the data.
    Graph(TypicalGraph),
}

/// The size of a typical graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TypicalGraph {
    /// Nodes.
    pub n_node: NonZeroU32,
    /// Directed edges.
    pub n_edge: u32,
}

/// Room for padding in an estimated limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reserve {
    /// The limit is that of `batch_size` graphs, rounded strictly up to a multiple of 64; padding
    /// takes its part of it.
    #[default]
    Within,
    /// The limit is that of `batch_size` - 1 graphs, rounded down, and one node for padding.
    Apart,
}

crate::checked_number! {
    /// A factor, larger than 0.
    pub struct Slack(f64): value if value > 0.0 && value.is_finite(),
    else "{value} is not a factor; give a number larger than 0, for example 1.1"
}

impl Default for Slack {
    fn default() -> Self {
        Self(1.0)
    }
}

impl Default for Sample {
    fn default() -> Self {
        const N: NonZeroU32 = NonZeroU32::new(1000).expect("1000 is not 0");
        Self::First(N)
    }
}

impl Sample {
    /// The graphs of the sample; all graphs if there are fewer than requested.
    #[must_use]
    pub fn draw(self, graphs: &[GraphSize], seed: u64) -> Vec<GraphSize> {
        match self {
            Self::First(n) => graphs.iter().take(n.get() as usize).copied().collect(),
            Self::Sample(n) => {
                let order = random::permutation(seed, "budget sample", 0, graphs.len());
                let drawn = order.into_iter().take(n.get() as usize);
                drawn.map(|position| graphs[position as usize]).collect()
            }
            Self::All => graphs.to_vec(),
            Self::Graph(TypicalGraph { n_node, n_edge }) => {
                vec![GraphSize { id: 0, n_node: n_node.get(), n_edge }]
            }
        }
    }
}

crate::checked_number! {
    /// A probability strictly between 0 and 1.
    #[derive(PartialOrd)]
    pub struct Probability(f64): value if value > 0.0 && value < 1.0,
    else "{value} is not between 0 and 1, both excluded, for example 0.99"
}

impl Estimate {
    /// The limit before rounding, from the sizes of a sample.
    #[must_use]
    pub fn limit(&self, sizes: &[u64], batch_size: BatchSize, seed: u64) -> f64 {
        let n = self.n_graph(batch_size);
        let largest = sizes.iter().max().copied().unwrap_or(0) as f64;
        let total = match self.rule {
            Rule::Mean | Rule::ByEdges(_) => {
                let total: u128 = sizes.iter().copied().map(u128::from).sum();
                total as f64 / sizes.len().max(1) as f64 * f64::from(n)
            }
            Rule::Maximum => largest * f64::from(n),
            Rule::Quantile(p) => quantile_of_totals(sizes, n, p, seed),
            Rule::Median => {
                let each = median(sizes.iter().map(|&size| (size, 1)).collect()).ceil();
                f64::from(n) * each.max((largest / f64::from(n)).ceil())
            }
        };
        (total * self.slack.get()).max(largest)
    }

    /// The limit of edges before rounding. Differs from [`Estimate::limit`] for [`Rule::Median`].
    ///
    /// # Errors
    /// With this rule, a graph of which the nodes cannot all have equally many edges.
    pub fn limit_of_edges(
        &self,
        sample: &[GraphSize],
        batch_size: BatchSize,
        seed: u64,
    ) -> Result<f64, BatcherError> {
        let sizes: Vec<u64> = sample.iter().map(|g| g.n_edge.into()).collect();
        if self.rule != Rule::Median {
            return Ok(self.limit(&sizes, batch_size, seed));
        }
        if let Some(graph) = sample.iter().find(|g| g.n_edge % g.n_node.max(1) != 0) {
            return Err(BatcherError::Options(format!(
                "estimate.rule = \"median\" takes the median number of neighbours of a node, which \
                 sizes tell only where all nodes of a graph have equally many; graph {} has {} nodes \
                 and {} edges. Give budget.n_edge, or choose another rule",
                graph.id, graph.n_node, graph.n_edge
            )));
        }
        // A graph without edges has no node that receives one.
        let connected = sample.iter().filter(|g| g.n_edge > 0);
        let neighbours =
            connected.map(|g| (u64::from(g.n_edge / g.n_node.max(1)), g.n_node.into()));
        let neighbours = median(neighbours.collect()).ceil();
        let nodes: Vec<u64> = sample.iter().map(|g| g.n_node.into()).collect();
        let unit = Self { slack: Slack::default(), ..*self };
        let n = f64::from(self.n_graph(batch_size));
        let nodes = unit.limit(&nodes, batch_size, seed) / n;
        let largest = sizes.iter().max().copied().unwrap_or(0) as f64;
        // In pairs of edges, one per direction.
        let pairs = (neighbours * nodes / 2.0).ceil().max((largest / (2.0 * n)).ceil());
        Ok((2.0 * n * pairs * self.slack.get()).max(largest))
    }

    /// Rounds a limit; `n_padding` is added with [`Reserve::Apart`]. `None` beyond 2^62.
    #[must_use]
    pub fn rounded(&self, limit: f64, n_padding: u32) -> Option<u64> {
        match self.reserve {
            Reserve::Within => strictly_up(limit),
            Reserve::Apart => {
                let whole = (limit + f64::from(n_padding)).floor();
                #[allow(clippy::cast_sign_loss, reason = "checked to be no less than 0")]
                (0.0..=2_f64.powi(62)).contains(&whole).then_some(whole as u64)
            }
        }
    }

    fn n_graph(&self, batch_size: BatchSize) -> u32 {
        match self.reserve {
            Reserve::Within => batch_size.get(),
            Reserve::Apart => batch_size.max_graph(),
        }
    }
}

/// Median of values with weights; the mean of the middle two if there are two.
fn median(mut weighted: Vec<(u64, u64)>) -> f64 {
    weighted.sort_unstable();
    let n: u64 = weighted.iter().map(|(_, weight)| weight).sum();
    let at = |rank: u64| {
        let mut seen = 0;
        let reaches = |(_, weight): &&(u64, u64)| {
            seen += weight;
            seen > rank
        };
        weighted.iter().find(reaches).map_or(0, |&(value, _)| value)
    };
    f64::midpoint(at(n.saturating_sub(1) / 2) as f64, at(n / 2) as f64)
}

/// Nodes and graphs of batches that are filled until an edge limit is reached, next-fit in the order
/// of the sample: nodes at probability `p` by linear interpolation, at least those of the largest
/// graph, and the largest number of graphs.
pub(super) fn filled_by_edges(sample: &[GraphSize], n_edge: u64, p: Probability) -> (f64, usize) {
    let mut batches: Vec<(u64, usize)> = Vec::new();
    let mut edges = u64::MAX;
    for graph in sample {
        edges = edges.saturating_add(graph.n_edge.into());
        if edges > n_edge {
            batches.push((0, 0));
            edges = graph.n_edge.into();
        }
        if let Some((nodes, graphs)) = batches.last_mut() {
            *nodes += u64::from(graph.n_node);
            *graphs += 1;
        }
    }
    let n_graph = batches.iter().map(|&(_, graphs)| graphs).max().unwrap_or(0);
    let mut nodes: Vec<u64> = batches.into_iter().map(|(nodes, _)| nodes).collect();
    nodes.sort_unstable();
    let largest = sample.iter().map(|g| g.n_node).max().unwrap_or(0);
    (interpolated(&nodes, p).max(largest.into()), n_graph)
}

/// Quantile of sorted values by linear interpolation, with the rounding of NumPy's `percentile`.
fn interpolated(sorted: &[u64], p: Probability) -> f64 {
    let position = sorted.len().saturating_sub(1) as f64 * p.0;
    #[allow(clippy::cast_sign_loss, reason = "not negative")]
    let below = position as usize;
    let value = |i: usize| sorted.get(i).or(sorted.last()).copied().unwrap_or(0) as f64;
    let (low, high, part) = (value(below), value(below + 1), position - below as f64);
    let step = high - low;
    if part < 0.5 { low + step * part } else { high - step * (1.0 - part) }
}

/// Number of random totals, reduced for batches so large that the number of drawn graphs would
/// exceed `N_DRAW`; their totals hardly vary.
const N_TOTAL: u32 = 10_000;
const N_DRAW: u32 = 4_000_000;

fn quantile_of_totals(sizes: &[u64], batch_size: u32, p: Probability, seed: u64) -> f64 {
    if sizes.is_empty() {
        return 0.0;
    }
    let mut rng = random::stream(seed, "budget quantile", 0);
    let n_total = (N_DRAW / batch_size).clamp(100, N_TOTAL);
    let mut draw = || sizes[random::below(&mut rng, sizes.len() as u64) as usize];
    let mut totals: Vec<u64> = (0..n_total)
        .map(|_| (0..batch_size).fold(0, |total: u64, _| total.saturating_add(draw())))
        .collect();
    totals.sort_unstable();
    totals[rank(totals.len(), p)] as f64
}

/// Index in a sorted sample of the smallest value that is not exceeded with probability `p`.
fn rank(n: usize, p: Probability) -> usize {
    #[allow(clippy::cast_sign_loss, reason = "a probability is not negative")]
    let rank = (p.get() * n as f64).ceil() as usize;
    rank.clamp(1, n) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(rule: Rule, sizes: &[u64], batch_size: u32) -> f64 {
        let batch_size = BatchSize::try_from(batch_size).unwrap();
        Estimate { rule, ..Estimate::default() }.limit(sizes, batch_size, 1)
    }

    fn check(sizes: &[(usize, u64)], batch_size: u32, expected: u64) {
        let sizes: Vec<u64> = sizes.iter().flat_map(|&(n, size)| vec![size; n]).collect();
        let limit = limit(Rule::Mean, &sizes, batch_size);
        assert_eq!(Estimate::default().rounded(limit, 1), Some(expected));
    }

    // The cases tested in the study's program.
    #[test]
    fn the_largest_graph_fits() {
        check(&[(10, 10), (1, 100)], 2, 128);
        check(&[(100, 10), (1, 100)], 10, 128);
    }

    #[test]
    fn means_are_rounded_strictly_up() {
        check(&[(10, 10)], 2, 64);
        check(&[(10, 32)], 2, 128);
        check(&[(10, 5)], 32, 192);
        check(&[(10, 6)], 32, 256);
    }

    #[test]
    fn rules_are_ordered_mean_quantile_maximum() {
        let sizes: Vec<u64> = (1..100).collect();
        let limit = |rule: Rule| limit(rule, &sizes, 32);
        let quantile = |p: f64| Rule::Quantile(Probability::try_from(p).unwrap());
        let mean = limit(Rule::Mean);
        // The total of 32 uniform numbers with mean 50 and variance 816.7 has standard deviation
        // 161.7. The 99th percentile of a normal distribution is 2.326 standard deviations above
        // the mean; the quantile of 10,000 draws has a standard error of about 6.
        assert!((limit(quantile(0.99)) - (mean + 2.326 * 161.7)).abs() < 30.0);
        assert!((limit(quantile(0.5)) - mean).abs() < 15.0);
        assert!(limit(Rule::Maximum) > limit(quantile(0.99)));
        assert!((limit(Rule::Maximum) - 99.0 * 32.0).abs() < 1e-9);
    }

    #[test]
    fn samples_are_seeded_and_without_replacement() {
        let graphs: Vec<GraphSize> =
            (0..50).map(|id| GraphSize { id, n_node: 1, n_edge: 0 }).collect();
        let ids =
            |from: Sample, seed| from.draw(&graphs, seed).iter().map(|g| g.id).collect::<Vec<_>>();
        let ten = NonZeroU32::new(10).unwrap();
        assert_eq!(ids(Sample::First(ten), 1), (0..10).collect::<Vec<_>>());
        let drawn = ids(Sample::Sample(ten), 1);
        assert_eq!(drawn, ids(Sample::Sample(ten), 1));
        assert_ne!(drawn, ids(Sample::Sample(ten), 2));
        let distinct: std::collections::BTreeSet<_> = drawn.iter().collect();
        assert_eq!(distinct.len(), 10);
        assert_eq!(ids(Sample::Sample(NonZeroU32::new(99).unwrap()), 1).len(), 50);
    }

    fn graphs(sizes: &[(u32, u32)]) -> Vec<GraphSize> {
        sizes.iter().map(|&(n_node, n_edge)| GraphSize { id: 7, n_node, n_edge }).collect()
    }

    #[test]
    fn a_limit_of_real_graphs_is_rounded_down() {
        let estimate: Estimate = toml::from_str("slack = 1.1\nreserve = \"apart\"").unwrap();
        let limit = estimate.limit(&[3, 4], BatchSize::try_from(5).unwrap(), 1);
        assert_eq!((estimate.rounded(limit, 1), estimate.rounded(limit, 0)), (Some(16), Some(15)));
        assert_eq!(estimate.rounded(0.0, 0), Some(0), "no graph has edges");
        assert_eq!(estimate.rounded(f64::INFINITY, 0), None);
    }

    #[test]
    fn medians_of_sizes_and_of_neighbours() {
        let estimate: Estimate = toml::from_str("rule = \"median\"\nreserve = \"apart\"").unwrap();
        let batch_size = BatchSize::try_from(4).unwrap();
        let edges = |sizes: &[(u32, u32)]| {
            estimate.limit_of_edges(&graphs(sizes), batch_size, 1).map_err(|e| e.to_string())
        };
        // Median 4.5, rounded up: 5 nodes for each of 3 graphs, or a third of the largest.
        assert!((estimate.limit(&[4, 5], batch_size, 1) - 15.0).abs() < 1e-9);
        assert!((estimate.limit(&[4, 4, 31], batch_size, 1) - 33.0).abs() < 1e-9);
        // Of 9 nodes 5 have 4 neighbours; 5 nodes with 4 are 10 pairs; 3 graphs, 2 directions.
        assert_eq!(edges(&[(4, 12), (5, 20)]), Ok(60.0));
        // Nodes that receive nothing do not count.
        assert_eq!(edges(&[(4, 12), (5, 20), (1, 0), (1, 0)]), Ok(36.0));
        let error = edges(&[(4, 12), (5, 8)]).unwrap_err();
        assert!(error.contains("graph 7 has 5 nodes and 8 edges"), "{error}");
    }

    #[test]
    fn nodes_and_graphs_of_batches_filled_by_edges() {
        let half = Probability::try_from(0.5).unwrap();
        let sample = graphs(&[(4, 6), (4, 4), (1, 9), (2, 1), (3, 20)]);
        // Batches of 8, 3 and 3 nodes; the largest graph has 4.
        assert_eq!(filled_by_edges(&sample, 10, half), (4.0, 2));
        assert_eq!(filled_by_edges(&sample, 10, Probability::try_from(0.75).unwrap()), (5.5, 2));
        assert_eq!(filled_by_edges(&[], 10, half), (0.0, 0));
    }

    #[test]
    fn probabilities_and_forms_in_a_configuration() {
        let estimate: Estimate =
            toml::from_str("rule = { quantile = 0.9 }\nfrom = { sample = 7 }").unwrap();
        let again: Estimate = toml::from_str(&toml::to_string(&estimate).unwrap()).unwrap();
        assert_eq!(estimate, again);
        for wrong in
            ["rule = { quantile = 1.0 }", "rule = { quantile = nan }", "from = { first = 0 }"]
        {
            assert!(toml::from_str::<Estimate>(wrong).is_err(), "{wrong}");
        }
    }
}
