//! Limits estimated from the sizes of the data.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contract::graphs::GraphSize;
use crate::random;

/// How limits that are not given are estimated. The default is the rule of arXiv 2502.00944.
///
/// ```toml
/// estimate = { rule = "mean", from = { first = 1000 } }
/// estimate = { rule = { quantile = 0.99 }, from = { sample = 5000 } }
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
}

/// The statistic that becomes the limit: a property of the total size of `batch_size` graphs drawn
/// at random from the sample. With any rule, the largest graph of the sample fits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// The mean of the total: the mean size times `batch_size`, as in the study.
    #[default]
    Mean,
    /// The maximum of the total: the largest size times `batch_size`.
    Maximum,
    /// The quantile of the total at this probability, for each resource separately.
    Quantile(Probability),
}

/// The graphs from which an estimate is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sample {
    /// The first graphs of the subset, as in the study.
    First(NonZeroU32),
    /// Graphs drawn at random without replacement, using the seed of the order.
    Sample(NonZeroU32),
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
        }
    }
}

crate::checked_number! {
    /// A probability strictly between 0 and 1.
    #[derive(PartialOrd)]
    pub struct Probability(f64): value if value > 0.0 && value < 1.0,
    else "{value} is not between 0 and 1, both excluded, for example 0.99"
}

impl Rule {
    /// The limit before rounding, from the sizes of a sample.
    #[must_use]
    pub fn limit(self, sizes: &[u64], batch_size: u32, seed: u64) -> f64 {
        let largest = sizes.iter().max().copied().unwrap_or(0) as f64;
        let total = match self {
            Self::Mean => {
                let total: u128 = sizes.iter().copied().map(u128::from).sum();
                total as f64 / sizes.len().max(1) as f64 * f64::from(batch_size)
            }
            Self::Maximum => largest * f64::from(batch_size),
            Self::Quantile(p) => quantile_of_totals(sizes, batch_size, p, seed),
        };
        total.max(largest)
    }
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
    use crate::batching::limits::strictly_up;

    fn check(sizes: &[(usize, u64)], batch_size: u32, expected: u64) {
        let sizes: Vec<u64> = sizes.iter().flat_map(|&(n, size)| vec![size; n]).collect();
        assert_eq!(strictly_up(Rule::Mean.limit(&sizes, batch_size, 1)), Some(expected));
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
        let limit = |rule: Rule| rule.limit(&sizes, 32, 1);
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
