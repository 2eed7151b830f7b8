//! Searches the neighbours of one atom.

use crate::NeighborError;
use crate::bins::Bins;
use crate::lattice::{Image, Lattice, MAX_COORDINATE, Vector, norm};

/// Maximum number of pairs of an atom and an image to examine per structure: about a second of
/// work.
const MAX_PAIR: f64 = (1 << 28) as f64;

/// A structure that has been checked and prepared for searches.
#[derive(Debug)]
pub(crate) struct Search<'a> {
    positions: &'a [Vector],
    lattice: Lattice,
    /// Coordinates in the lattice, `[n_node]`.
    fractional: Vec<Vector>,
    /// For large structures only.
    bins: Option<Bins>,
    n_pair: f64,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Neighbor {
    pub(crate) distance: f64,
    pub(crate) sender: u32,
    pub(crate) image: Image,
    pub(crate) displacement: Vector,
}

impl Neighbor {
    /// Nearest first; ties by sender, then by image.
    pub(crate) fn order(&self, other: &Self) -> std::cmp::Ordering {
        let ties = || (self.sender, self.image).cmp(&(other.sender, other.image));
        self.distance.total_cmp(&other.distance).then_with(ties)
    }
}

impl<'a> Search<'a> {
    pub(crate) fn new(
        positions: &'a [Vector],
        cell: Option<&[Vector; 3]>,
    ) -> Result<Self, NeighborError> {
        for (atom, position) in positions.iter().enumerate() {
            if let Some(&value) = position.iter().find(|x| x.is_nan() || x.abs() > MAX_COORDINATE) {
                return Err(NeighborError::Position { atom, value, max: MAX_COORDINATE });
            }
        }
        let lattice = Lattice::new(cell.unwrap_or(&[[0.0; 3]; 3]), positions)?;
        let fractional = positions.iter().map(|&position| lattice.fractional(position)).collect();
        Ok(Self { positions, lattice, fractional, bins: None, n_pair: 0.0 })
    }

    /// Prepares for searches within about `radius`.
    pub(crate) fn prepare(&mut self, radius: f64) {
        self.bins = Bins::new(&self.lattice, &self.fractional, radius);
    }

    pub(crate) fn lattice(&self) -> &Lattice {
        &self.lattice
    }

    /// Fills `found` with all neighbours of an atom closer than `radius`, in no particular order.
    ///
    /// # Errors
    /// If there are too many pairs, counted over all searches so far.
    pub(crate) fn near(
        &mut self,
        receiver: usize,
        radius: f64,
        found: &mut Vec<Neighbor>,
    ) -> Result<(), NeighborError> {
        found.clear();
        let n_node = self.positions.len() as f64;
        let max = MAX_PAIR - self.n_pair;
        let too_many = |n_pair| Err(NeighborError::TooMany { n_pair, radius, max: MAX_PAIR });
        if let Some(bins) = &self.bins {
            let mut collect = Collect::new(receiver, radius, found);
            let mut n_pair = 0.0;
            let n_bin = bins.near(receiver, radius, max, |sender, image| {
                n_pair += 1.0;
                let difference =
                    subtract(self.positions[receiver], self.positions[sender as usize]);
                collect.consider(sender, image, subtract(difference, self.lattice.offset(image)));
            });
            self.n_pair += n_pair + n_bin.unwrap_or(f64::INFINITY);
            if self.n_pair > MAX_PAIR {
                return too_many(self.n_pair / (receiver + 1) as f64 * n_node);
            }
            return Ok(());
        }
        let n_image = self.lattice.max_image(radius);
        if n_node * n_image > max {
            return too_many(n_node * n_node * n_image);
        }
        self.n_pair += n_node * n_image;
        self.look_at_all(receiver, radius, found);
        Ok(())
    }

    fn look_at_all(&self, receiver: usize, radius: f64, found: &mut Vec<Neighbor>) {
        let mut collect = Collect::new(receiver, radius, found);
        let here = self.positions[receiver];
        let lattice = &self.lattice;
        if lattice.is_open() {
            for (sender, &there) in self.positions.iter().enumerate() {
                collect.consider(sender as u32, [0; 3], subtract(here, there));
            }
            return;
        }
        let reach = lattice.reach(radius);
        for (sender, &there) in self.positions.iter().enumerate() {
            let difference = subtract(here, there);
            let between = subtract(self.fractional[receiver], self.fractional[sender]);
            let [first, second, third] = lattice.images(between, reach);
            for i in first {
                for j in second.clone() {
                    let row = lattice.row_offset(i, j);
                    for k in third.clone() {
                        let offset = lattice.along_row(row, k);
                        collect.consider(sender as u32, [i, j, k], subtract(difference, offset));
                    }
                }
            }
        }
    }
}

struct Collect<'a> {
    receiver: u32,
    radius: f64,
    /// Slightly more than the squared radius: pairs beyond it are discarded without exact
    /// arithmetic.
    square: f64,
    found: &'a mut Vec<Neighbor>,
}

impl<'a> Collect<'a> {
    fn new(receiver: usize, radius: f64, found: &'a mut Vec<Neighbor>) -> Self {
        let square = radius * radius * (1.0 + 1e-12);
        Self { receiver: receiver as u32, radius, square, found }
    }

    #[inline]
    fn consider(&mut self, sender: u32, image: Image, displacement: Vector) {
        let [x, y, z] = displacement;
        if x * x + y * y + z * z > self.square {
            return;
        }
        let distance = norm(displacement);
        let is_itself = sender == self.receiver && image == [0; 3];
        if distance < self.radius && !is_itself {
            self.found.push(Neighbor { distance, sender, image, displacement });
        }
    }
}

fn subtract(a: Vector, b: Vector) -> Vector {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sorted(search: &mut Search, receiver: usize, radius: f64) -> Vec<(u64, u32, Image)> {
        let mut found = Vec::new();
        search.near(receiver, radius, &mut found).unwrap();
        found.sort_unstable_by(Neighbor::order);
        found.iter().map(|n| (n.distance.to_bits(), n.sender, n.image)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn bins_find_what_looking_at_every_atom_finds(
            lengths in prop::array::uniform3(4.0..25.0),
            skew in prop::array::uniform3(-1.5..1.5),
            fractional in prop::collection::vec(prop::array::uniform3(-1.5..2.5), 48..150),
            share in 0.05..0.6,
            repeats in any::<[bool; 3]>(),
        ) {
            let ([a, b, c], [x, y, z]): ([f64; 3], [f64; 3]) = (lengths, skew);
            let cell = [[a, 0., 0.], [x * a, b, 0.], [y * a, z * b, c]];
            // A share of the cell's size, so that no small cell has millions of neighbours.
            let radius = share * (a * b * c).cbrt();
            let positions: Vec<Vector> = fractional
                .iter()
                .map(|f: &Vector| [0, 1, 2].map(|k| (0..3).map(|i| f[i] * cell[i][k]).sum()))
                .collect();
            let cell = [0, 1, 2].map(|k| if repeats[k] { cell[k] } else { [0.0; 3] });
            let mut binned = Search::new(&positions, Some(&cell)).unwrap();
            binned.prepare(radius);
            let mut plain = Search::new(&positions, Some(&cell)).unwrap();
            prop_assert!(plain.bins.is_none());
            // Bins also serve wider searches than they were made for.
            for factor in [1.0, 1.7] {
                for receiver in 0..positions.len() {
                    prop_assert_eq!(
                        sorted(&mut binned, receiver, factor * radius),
                        sorted(&mut plain, receiver, factor * radius)
                    );
                }
            }
        }
    }

    #[test]
    fn large_structures_are_sorted_into_bins_and_small_ones_are_not() {
        let positions: Vec<Vector> = (0..1000)
            .map(|i| [f64::from(i % 10), f64::from(i / 10 % 10), f64::from(i / 100)])
            .collect();
        let cube = [[10., 0., 0.], [0., 10., 0.], [0., 0., 10.]];
        let has_bins = |positions: &[Vector], cell, radius| {
            let mut search = Search::new(positions, cell).unwrap();
            search.prepare(radius);
            search.bins.is_some()
        };
        assert!(has_bins(&positions, Some(&cube), 2.0) && has_bins(&positions, None, 2.0));
        assert!(!has_bins(&positions[..40], Some(&cube), 2.0));
        assert!(!has_bins(&positions, Some(&cube), 9.0) && !has_bins(&positions, None, 9.0));
    }
}
