//! Long round trips by simulated annealing.

use rand_chacha::rand_core::Rng;

use super::Distances;
use crate::contract::random::{below, fraction, shuffle, stream};

/// Minimum number of proposed moves per batch, over as many annealing runs as needed, and the
/// maximum number in total: a fraction of a second.
const PER_BATCH: usize = 2_000;
const N_PROPOSAL: usize = 200_000;
/// Proposed moves per batch at one temperature.
const PER_TEMPERATURE: usize = 10;
const COOLING: f64 = 0.9;
/// An annealing run ends after this many temperatures without an accepted move.
const N_FROZEN: usize = 3;

impl Distances {
    /// Length of the round trip through the batches in this order.
    #[must_use]
    pub fn length(&self, tour: &[u32]) -> f64 {
        let next = tour.iter().cycle().skip(1);
        tour.iter().zip(next).map(|(&a, &b)| self.between(a, b)).sum()
    }

    /// A long round trip through all batches, starting at batch 0.
    ///
    /// Simulated annealing (Kirkpatrick et al. 1983) whose moves reverse a segment of the tour. The
    /// stopping rule counts moves rather than time, so that the same seed gives the same tour.
    #[must_use]
    pub fn longest_tour(&self, seed: u64) -> Vec<u32> {
        let n = self.n_batch();
        let natural: Vec<u32> = (0..n as u32).collect();
        // All round trips through three batches are equal.
        if n < 4 {
            return natural;
        }
        let mut best = (self.length(&natural), natural);
        let (mut n_proposal, mut number) = (0, 0);
        while n_proposal < N_PROPOSAL.min(PER_BATCH * n) {
            let mut rng = stream(seed, "tour", number);
            let tour = self.anneal(&mut rng, &mut n_proposal);
            let length = self.length(&tour);
            // Tours of equal length differ by rounding.
            if length > best.0 * (1.0 + 1e-12) {
                best = (length, tour);
            }
            number += 1;
        }
        best.1
    }

    fn anneal(&self, rng: &mut impl Rng, n_proposal: &mut usize) -> Vec<u32> {
        let n = self.n_batch();
        let mut tour: Vec<u32> = (0..n as u32).collect();
        shuffle(rng, &mut tour[1..]);
        let changes = (0..100).map(|_| {
            let piece = piece(rng, n);
            self.gain(&tour, piece).abs()
        });
        // A change of typical size is accepted with probability 1/2.
        let mut temperature = changes.sum::<f64>() / 100.0 / std::f64::consts::LN_2;
        let mut n_frozen = 0;
        while n_frozen < N_FROZEN {
            let mut n_accepted = 0;
            for _ in 0..PER_TEMPERATURE * n {
                *n_proposal += 1;
                let (first, last) = piece(rng, n);
                let gain = self.gain(&tour, (first, last));
                let draw = fraction(rng);
                if gain > 0.0 || gain < 0.0 && draw <= (gain / temperature).exp() {
                    tour[first..=last].reverse();
                    n_accepted += 1;
                    if n_accepted == n {
                        break;
                    }
                }
            }
            n_frozen = if n_accepted == 0 { n_frozen + 1 } else { 0 };
            temperature *= COOLING;
        }
        tour
    }

    /// Gain in tour length from reversing a segment.
    fn gain(&self, tour: &[u32], (first, last): (usize, usize)) -> f64 {
        let [before, from, to] = [tour[first - 1], tour[first], tour[last]];
        let after = tour[(last + 1) % tour.len()];
        let new = self.between(before, to) + self.between(from, after);
        let gain = new - self.between(before, from) - self.between(to, after);
        // The same two distances, added in a different order.
        if gain.abs() < 1e-12 * new { 0.0 } else { gain }
    }
}

/// First and last position of a segment of at least two batches that excludes position 0.
fn piece(rng: &mut impl Rng, n: usize) -> (usize, usize) {
    let [a, b] =
        [below(rng, n as u64 - 1), below(rng, n as u64 - 2)].map(|place| place as usize + 1);
    // `b` skips `a`, so that all pairs are equally likely.
    let b = if b >= a { b + 1 } else { b };
    (a.min(b), a.max(b))
}
