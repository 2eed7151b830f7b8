//! Atoms at random positions with a minimum distance.

use batchlab_core::random;
use rand_chacha::rand_core::Rng;

use crate::formulas::Formula;

/// The share of the volume filled by spheres with the minimum distance as diameter. Random
/// sequential placement saturates near 0.38 (S. Torquato, O. U. Uche, F. H. Stillinger, Physical
/// Review E 74, 061308, 2006).
const FILLED: f64 = 0.3;

/// Number of attempts to place an atom before the minimum distance shrinks.
const MAX_TRY: u32 = 200;

/// Factor by which it shrinks.
const SHRINK: f64 = 0.95;

/// A synthetic crystal.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Crystal {
    /// The lengths of a rectangular cell in angstrom.
    pub(crate) lengths: [f64; 3],
    /// In angstrom, `[n_atom, 3]`, inside the cell.
    pub(crate) position: Vec<[f64; 3]>,
    /// Minimum distance between any two atoms, including images, in angstrom.
    pub(crate) least_distance: f64,
}

impl Crystal {
    /// The crystal with this index for a seed, independent of all others.
    pub(crate) fn new(formula: &Formula, seed: u64, index: usize) -> Self {
        let mut rng = random::stream(seed, "aflow-sizes", index as u64);
        let side = formula.volume.cbrt();
        let [p, q] = [0.9 + 0.25 * uniform(&mut rng), 0.9 + 0.25 * uniform(&mut rng)];
        // Rounded to remove the last bit of the cubic root, which differs between machines.
        let lengths = [p, q, 1.0 / (p * q)].map(|factor| (side * factor * 1e6).round() * 1e-6);
        let n_atom = formula.atomic_number.len();
        let per_atom = formula.volume / n_atom as f64;
        let shortest = lengths.iter().copied().fold(f64::INFINITY, f64::min);
        let distance = (6.0 * FILLED / std::f64::consts::PI * per_atom).cbrt();
        let least_distance = ((distance * 1e6).round() * 1e-6).min(shortest);
        let mut crystal = Self { lengths, position: Vec::with_capacity(n_atom), least_distance };
        let mut n_try = 0;
        while crystal.position.len() < n_atom {
            let place = lengths.map(|length| length * uniform(&mut rng));
            if crystal.is_free(place) {
                crystal.position.push(place);
                n_try = 0;
            } else {
                n_try += 1;
            }
            if n_try == MAX_TRY {
                crystal.least_distance *= SHRINK;
                n_try = 0;
            }
        }
        crystal
    }

    /// The rows of the cell.
    pub(crate) fn cell(&self) -> [[f64; 3]; 3] {
        let [a, b, c] = self.lengths;
        [[a, 0.0, 0.0], [0.0, b, 0.0], [0.0, 0.0, c]]
    }

    fn is_free(&self, place: [f64; 3]) -> bool {
        let square = self.least_distance * self.least_distance;
        self.position.iter().all(|other| {
            let along = |k: usize| {
                let d = (place[k] - other[k]).abs();
                d.min(self.lengths[k] - d)
            };
            let [x, y, z] = [0, 1, 2].map(along);
            x * x + y * y + z * z >= square
        })
    }
}

/// A uniform number in [0, 1) with 53 random bits.
fn uniform(rng: &mut impl Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use batchlab_core::EdgeRule;
    use batchlab_neighbors::connect;

    use super::*;
    use crate::formulas;

    #[test]
    fn volume_and_least_distance_hold() {
        for (index, formula) in formulas::list(400).unwrap().iter().enumerate() {
            let crystal = Crystal::new(formula, 1, index);
            let volume: f64 = crystal.lengths.iter().product();
            assert!((volume / formula.volume - 1.0).abs() < 1e-5);
            assert_eq!(crystal.position.len(), formula.atomic_number.len());
            let nearest = EdgeRule::Nearest(1.try_into().unwrap());
            let edges = connect(nearest, &crystal.position, Some(&crystal.cell())).unwrap();
            let least = edges.distance.iter().copied().fold(f32::INFINITY, f32::min);
            assert!(f64::from(least) > crystal.least_distance - 1e-5, "{index}: {least}");
            let per_atom = formula.volume / crystal.position.len() as f64;
            assert!(crystal.least_distance > 0.7 * per_atom.cbrt(), "{index}");
        }
    }

    #[test]
    fn a_crystal_is_that_of_its_seed_and_number() {
        let formula = &formulas::list(1).unwrap()[0];
        let crystal = Crystal::new(formula, 1, 0);
        assert_eq!(crystal, Crystal::new(formula, 1, 0));
        assert_ne!(crystal, Crystal::new(formula, 2, 0));
        assert_ne!(crystal, Crystal::new(formula, 1, 1));
    }
}
