//! Medians over blocks, with intervals.

use serde::Serialize;

/// The median over blocks, in microseconds per batch, with a 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    pub median_us: f64,
    pub low_us: f64,
    pub high_us: f64,
}

impl Summary {
    /// Of one value per block.
    ///
    /// The interval is between two order statistics: the number of blocks below the true median is
    /// binomial with p = 1/2, whatever their distribution (Conover, Practical Nonparametric
    /// Statistics, section 3.2, in the normal approximation).
    ///
    /// # Panics
    /// Without any block.
    #[must_use]
    pub fn of(blocks_us: &[f64]) -> Self {
        assert!(!blocks_us.is_empty(), "there is no median of no blocks");
        let mut sorted = blocks_us.to_vec();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len();
        let half_width = 1.96 * (n as f64).sqrt() / 2.0;
        #[allow(clippy::cast_sign_loss, reason = "clamped at 0")]
        let low = (n as f64 / 2.0 - half_width).floor().max(0.0) as usize;
        Self {
            median_us: f64::midpoint(sorted[(n - 1) / 2], sorted[n / 2]),
            low_us: sorted[low],
            high_us: sorted[n - 1 - low],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_between_order_statistics() {
        // For n = 100 tables give the 40th and the 61st value.
        let blocks: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        let summary = Summary::of(&blocks);
        assert_eq!(summary, Summary { median_us: 50.5, low_us: 41.0, high_us: 60.0 });
    }

    #[test]
    fn few_blocks_span_everything() {
        let summary = Summary::of(&[3.0, 1.0, 2.0]);
        assert_eq!(summary, Summary { median_us: 2.0, low_us: 1.0, high_us: 3.0 });
    }
}
