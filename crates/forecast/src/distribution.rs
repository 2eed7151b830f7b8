//! Distribution of numbers: moments, quantiles, and a histogram with round bins.

use batchlab_core::graphs::Topology;
use batchlab_core::{Graphs, View};
use serde::Serialize;

/// Probabilities of the reported quantiles.
pub const SHARES: [f64; 7] = [0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0];

/// Maximum number of histogram bins.
const MAX_BIN: f64 = 60.0;

/// Numbers beyond this are first divided by [`SCALE`], because their squares, sums and differences
/// would overflow.
const LARGE: f64 = 1e150;
const SCALE: f64 = 1e200;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Distribution {
    pub n: usize,
    pub mean: f64,
    /// Population standard deviation (division by n).
    pub deviation: f64,
    /// Minimum, 5 %, 25 %, median, 75 %, 95 %, maximum; linearly interpolated.
    pub quantiles: [f64; 7],
    pub histogram: Histogram,
}

/// Counts in bins of equal width; bin `i` covers values from `first + i * width` up to, but
/// excluding, the next bin.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Histogram {
    /// Lower end of the first bin.
    pub first: f64,
    /// 1, 2 or 5 times a power of ten; integral for integers.
    pub width: f64,
    pub count: Vec<u64>,
}

impl Distribution {
    /// The distribution of the finite numbers; `None` if there are none.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        let values: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
        let largest = values.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        if largest > LARGE {
            let scaled: Vec<f64> = values.iter().map(|value| value / SCALE).collect();
            return Self::of_moderate(&scaled).map(Self::scaled_back);
        }
        Self::of_moderate(&values)
    }

    /// For numbers whose squares can be added without overflow.
    fn of_moderate(values: &[f64]) -> Option<Self> {
        let n = values.len();
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let (&least, &most) = (sorted.first()?, sorted.last()?);
        let mean = values.iter().sum::<f64>() / n as f64;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n as f64;
        let quantile = |share: f64| {
            let place = share * (n - 1) as f64;
            #[allow(clippy::cast_sign_loss, reason = "a place is not negative")]
            let below = place as usize;
            let above = (below + 1).min(n - 1);
            sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64)
        };
        Some(Self {
            n,
            mean,
            deviation: variance.sqrt(),
            quantiles: SHARES.map(quantile),
            histogram: Histogram::of(values, least, most),
        })
    }

    fn scaled_back(self) -> Self {
        // Clamped, as the end of a bin may exceed the largest number.
        let back = |value: f64| (value * SCALE).clamp(f64::MIN, f64::MAX);
        let Histogram { first, width, count } = self.histogram;
        Self {
            n: self.n,
            mean: back(self.mean),
            deviation: back(self.deviation),
            quantiles: self.quantiles.map(back),
            histogram: Histogram { first: back(first), width: back(width), count },
        }
    }

    #[must_use]
    pub fn least(&self) -> f64 {
        self.quantiles[0]
    }

    #[must_use]
    pub fn most(&self) -> f64 {
        self.quantiles[6]
    }
}

impl Histogram {
    fn of(values: &[f64], least: f64, most: f64) -> Self {
        let whole = values.iter().all(|value| value.fract() == 0.0);
        let width = round_width((most - least) / MAX_BIN, if whole { 1.0 } else { 0.0 });
        let first = (least / width).floor() * width;
        #[allow(clippy::cast_sign_loss, reason = "nothing lies below the first bin")]
        let bin = |value: f64| ((value - first) / width) as usize;
        let mut count = vec![0; bin(most) + 1];
        for &value in values {
            count[bin(value)] += 1;
        }
        Self { first, width, count }
    }

    /// Upper end of the last bin.
    #[must_use]
    pub fn end(&self) -> f64 {
        (self.first + self.width * self.count.len() as f64).min(f64::MAX)
    }
}

/// The next larger width of the form 1, 2 or 5 times a power of ten.
fn round_width(width: f64, least: f64) -> f64 {
    let width = width.max(least);
    if width <= 0.0 || !width.is_finite() {
        return 1.0;
    }
    let power = 10_f64.powf(width.log10().floor());
    // With a tolerance, because powers are not exact.
    let fits = |step: &f64| step * power >= width * (1.0 - 1e-9);
    [1.0, 2.0, 5.0, 10.0].iter().find(|step| fits(step)).map_or(10.0 * power, |step| step * power)
}

/// Nodes and edges of every graph or, for a single graph, the in-degree of each node.
#[must_use]
pub fn sizes(graphs: &Graphs) -> (Vec<f64>, Vec<f64>) {
    if let Topology::One(one) = &graphs.topology {
        return (Vec::new(), one.offset.windows(2).map(|row| (row[1] - row[0]) as f64).collect());
    }
    let all: Vec<u32> = (0..graphs.n_member() as u32).collect();
    match graphs.view(&all) {
        View::ManyGraphs(sizes) => {
            sizes.iter().map(|size| (f64::from(size.n_node), f64::from(size.n_edge))).unzip()
        }
        View::OneGraph(_) => (Vec::new(), Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_and_moments_are_those_of_the_definition() {
        let found = Distribution::of(&[4.0, 1.0, 3.0, 2.0, 10.0]).expect("five numbers");
        assert_eq!((found.n, found.mean.to_bits()), (5, 4.0_f64.to_bits()));
        assert!((found.deviation - 10_f64.sqrt()).abs() < 1e-12);
        let expected = [1.0, 1.2, 2.0, 3.0, 4.0, 8.8, 10.0];
        for (found, expected) in found.quantiles.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
        assert_eq!(Distribution::of(&[]), None);
    }

    fn check(values: &[f64], first: f64, width: f64, n_bin: usize) {
        let histogram = Distribution::of(values).expect("numbers").histogram;
        assert!((histogram.first - first).abs() < 1e-9, "{histogram:?}");
        assert!((histogram.width - width).abs() < 1e-9, "{histogram:?}");
        assert_eq!(histogram.count.len(), n_bin, "{histogram:?}");
        assert_eq!(histogram.count.iter().sum::<u64>(), values.len() as u64);
    }

    #[test]
    fn bins_are_round_and_hold_everything() {
        check(&[3.0, 29.0], 3.0, 1.0, 27);
        check(&[6.0, 812.0], 0.0, 20.0, 41);
        check(&[-3.5, 0.25, 8.05], -3.6, 0.2, 59);
        check(&[7.0, 7.0], 7.0, 1.0, 1);
        check(&[0.5], 0.0, 1.0, 1);
        check(&[1e-9, 2e-9], 1e-9, 2e-11, 51);
    }

    #[test]
    fn any_numbers_have_a_distribution() {
        let (tiny, huge) = (f64::from_bits(1), f64::MAX);
        for values in [
            &[-huge, huge][..],
            &[-1e308, 0.5, 1e308],
            &[huge; 5],
            &[1e200, 1e200_f64.next_up()],
            &[1.0, 1.0_f64.next_up()],
            &[0.0, tiny],
            &[-tiny, 1e-300, 1.0],
            &[f64::NAN, 1.0, f64::INFINITY, 3.0, f64::NEG_INFINITY],
        ] {
            let found = Distribution::of(values).expect("numbers");
            let numbers =
                [found.mean, found.deviation, found.histogram.first, found.histogram.end()];
            let all = numbers.iter().chain(&found.quantiles);
            assert!(all.copied().all(f64::is_finite), "{values:?}: {found:?}");
            assert!(found.quantiles.is_sorted(), "{values:?}: {found:?}");
            assert_eq!(found.histogram.count.iter().sum::<u64>(), found.n as u64, "{values:?}");
            assert!(found.histogram.count.len() < 200, "{values:?}");
        }
        assert_eq!(Distribution::of(&[f64::NAN]), None);
        let spread = Distribution::of(&[-1e308, 1e308]).expect("two numbers");
        assert!((spread.deviation / 1e308 - 1.0).abs() < 1e-12, "{spread:?}");
    }
}
