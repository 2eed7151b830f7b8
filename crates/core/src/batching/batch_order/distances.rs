//! Distances between batches.

use rand_chacha::rand_core::Rng;

use super::OrderDistance;
use crate::contract::random::fraction;

/// Added to every distance between two different batches, so that identical batches can follow each
/// other.
const SMALLEST: f64 = 1e-5;

/// Distances between batches, computed on demand: for thousands of batches the matrix would not fit
/// in memory.
#[derive(Debug, Clone)]
pub struct Distances {
    by: OrderDistance,
    n_bin: usize,
    /// Share of each bin in each batch, `[n_batch, n_bin]`.
    share: Vec<f64>,
    /// Logarithms of the shares.
    log: Vec<f64>,
}

impl Distances {
    /// Distances between batches with these histograms, which must have equal length.
    ///
    /// ```
    /// use batchlab_core::batch_order::{Distances, OrderDistance};
    ///
    /// let distances = Distances::new(&[vec![3, 0], vec![0, 3], vec![2, 1]], OrderDistance::L1);
    /// // Shares of 4/5 and 1/5 against 1/5 and 4/5.
    /// assert!((distances.between(0, 1) - 1.2).abs() < 1e-4);
    /// assert_eq!(distances.between(2, 2), 0.0);
    /// ```
    #[must_use]
    pub fn new(counts: &[Vec<u32>], by: OrderDistance) -> Self {
        let n_bin = counts.first().map_or(0, Vec::len);
        let shares = |counts: &Vec<u32>| {
            let smoothed: Vec<f64> = counts.iter().map(|&n| f64::from(n) + 1.0).collect();
            let total: f64 = smoothed.iter().sum();
            smoothed.into_iter().map(move |n| n / total)
        };
        let share: Vec<f64> = counts.iter().flat_map(shares).collect();
        let log = share.iter().map(|share| share.ln()).collect();
        Self { by, n_bin, share, log }
    }

    /// Number of batches.
    #[must_use]
    pub fn n_batch(&self) -> usize {
        self.share.len().checked_div(self.n_bin).unwrap_or(0)
    }

    /// Distance between two batches; 0 from a batch to itself, otherwise positive.
    ///
    /// # Panics
    /// If one of them does not exist.
    #[must_use]
    pub fn between(&self, a: u32, b: u32) -> f64 {
        if a == b {
            return 0.0;
        }
        let row = |batch: u32| batch as usize * self.n_bin..(batch as usize + 1) * self.n_bin;
        let shares = self.share[row(a)].iter().zip(&self.share[row(b)]);
        let distance: f64 = match self.by {
            OrderDistance::L1 => shares.map(|(p, q)| (p - q).abs()).sum(),
            OrderDistance::Kl => {
                let logs = self.log[row(a)].iter().zip(&self.log[row(b)]);
                shares.zip(logs).map(|((p, q), (of_p, of_q))| (p - q) * (of_p - of_q)).sum()
            }
        };
        // Rounding may yield a negative value for equal histograms.
        distance.max(0.0) + SMALLEST
    }

    /// Probability of each batch in `left` to follow `last`.
    #[must_use]
    pub fn probabilities(&self, last: u32, left: &[u32]) -> Vec<f64> {
        let distances: Vec<f64> = left.iter().map(|&next| self.between(last, next)).collect();
        let total: f64 = distances.iter().sum();
        distances.into_iter().map(|distance| distance / total).collect()
    }

    /// Draws the index in `left` of the batch that follows `last`.
    pub(super) fn draw(&self, last: u32, left: &[u32], rng: &mut impl Rng) -> usize {
        let mut draw = fraction(rng);
        let drawn = self.probabilities(last, left).into_iter().position(|probability| {
            draw -= probability;
            draw < 0.0
        });
        // Rounding may leave a remainder after the last batch; a single remaining batch is also
        // handled here.
        drawn.unwrap_or(left.len() - 1)
    }
}
