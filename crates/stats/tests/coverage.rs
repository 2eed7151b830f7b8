//! Do intervals cover the truth as often as they say? Also where steps are not independent: steps of
//! a machine that drifts are noise of first order, `x_t = phi x_(t-1) + e_t`, and only blocks that are
//! long beside that memory may be resampled.

use batchlab_stats::{Pairing, median, ratio_of_medians, student_t_test};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

const PHI: f64 = 0.9;
const N_BLOCK: usize = 24;
const N_STEP: usize = 200;
const N_STUDY: u64 = 200;

/// Step times around `centre`, autocorrelated.
struct Machine {
    random: ChaCha8Rng,
    drift: f64,
}

impl Machine {
    fn new(seed: u64) -> Self {
        Self { random: ChaCha8Rng::seed_from_u64(seed), drift: 0.0 }
    }

    fn steps(&mut self, centre: f64, n: usize) -> Vec<f64> {
        let step = |_| {
            // A sum of twelve uniform numbers is normal enough.
            let noise: f64 = (0..12).map(|_| self.random.random::<f64>()).sum::<f64>() - 6.0;
            self.drift = PHI * self.drift + noise;
            centre * (1.0 + 0.02 * self.drift)
        };
        (0..n).map(step).collect()
    }
}

/// Two strategies in turn, ABBA; the medians of each one's blocks.
#[allow(clippy::unwrap_used, reason = "blocks have steps")]
fn study(seed: u64, centres: [f64; 2]) -> [Vec<f64>; 2] {
    let mut machine = Machine::new(seed);
    let mut blocks = [Vec::new(), Vec::new()];
    for round in 0..N_BLOCK {
        for which in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
            blocks[which].push(median(&machine.steps(centres[which], N_STEP)).unwrap());
        }
    }
    blocks
}

#[test]
fn intervals_over_blocks_cover_as_often_as_they_say() {
    let covered = (0..N_STUDY)
        .filter(|&seed| {
            let [a, b] = study(seed, [1.3, 1.0]);
            ratio_of_medians(&a, &b, Pairing::Paired, 0.95, seed).unwrap().contains(1.3)
        })
        .count();
    // Of 200 studies 190 are expected, give or take 3.1; percentile intervals of medians are wide.
    assert!((180..=199).contains(&covered), "{covered} of {N_STUDY}");
}

/// The mistake that this crate warns of: with steps as units, equal strategies differ significantly
/// far more often than one time in twenty.
#[test]
fn tests_on_steps_find_differences_where_there_are_none() {
    let significant = |of: fn(&mut Machine) -> Vec<f64>| {
        (0..N_STUDY)
            .filter(|&seed| {
                let mut machine = Machine::new(seed);
                let [a, b] = [of(&mut machine), of(&mut machine)];
                student_t_test(&a, &b).unwrap().p_value < 0.05
            })
            .count()
    };
    let on_steps = significant(|machine| machine.steps(1.0, N_STEP));
    let on_blocks = significant(|machine| {
        (0..12).map(|_| median(&machine.steps(1.0, N_STEP)).unwrap()).collect()
    });
    assert!(on_steps > 60, "{on_steps} of {N_STUDY}");
    assert!(on_blocks < 20, "{on_blocks} of {N_STUDY}");
}
