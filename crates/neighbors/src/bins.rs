//! Sorts atoms into spatial bins, so that a search in a large structure only visits nearby atoms.

#![allow(clippy::cast_sign_loss, reason = "bins are numbered from 0")]

use crate::lattice::{Image, Lattice, SLACK, Vector};

/// With fewer atoms, a brute-force search is just as fast.
const MIN_ATOM: usize = 48;

/// Divides the structure into bins parallel to the faces of its cell.
#[derive(Debug)]
pub(crate) struct Bins {
    /// Number of bins along each direction of the cell.
    n_bin: [i32; 3],
    /// The directions along which bins repeat.
    periodic: [bool; 3],
    /// Length of one angstrom along each direction, in fractional coordinates.
    reciprocal_length: Vector,
    /// Fractional coordinates of each atom, wrapped into the cell (0 to 1), `[n_node]`.
    inside: Vec<Vector>,
    /// Number of cells by which wrapping moved each atom, `[n_node]`.
    cell_of: Vec<Image>,
    /// Index of the first atom of each bin in `atom`, `[n_bin + 1]`.
    start: Vec<u32>,
    /// Atoms sorted by bin, `[n_node]`.
    atom: Vec<u32>,
}

impl Bins {
    /// Sorts the atoms for searches within about `radius` angstrom; `None` if brute force is at
    /// least as fast. `fractional` are coordinates in `lattice`.
    pub(crate) fn new(lattice: &Lattice, fractional: &[Vector], radius: f64) -> Option<Self> {
        if fractional.len() < MIN_ATOM {
            return None;
        }
        let n_bin = divide(lattice.heights(), radius, fractional.len());
        let (periodic, reciprocal_length) = (lattice.periodic(), lattice.reciprocal_lengths());
        // Number of atoms visited, as a multiple of all atoms.
        let (mut with_bins, mut without) = (1.0, 1.0);
        for axis in 0..3 {
            let span = 2.0 * radius * reciprocal_length[axis];
            let spread = span + 1.0 / f64::from(n_bin[axis]);
            with_bins *= if periodic[axis] { spread } else { spread.min(1.0) };
            without *= if periodic[axis] { span.max(1.0) } else { 1.0 };
        }
        // NaN, from an infinite radius, must count as no.
        if with_bins.partial_cmp(&(0.5 * without)) != Some(std::cmp::Ordering::Less) {
            return None;
        }
        let cell_of: Vec<Image> = fractional
            .iter()
            .map(|f| [0, 1, 2].map(|axis| if periodic[axis] { f[axis].floor() as i32 } else { 0 }))
            .collect();
        let at_home = |(f, cell): (&Vector, &Image)| [0, 1, 2].map(|k| f[k] - f64::from(cell[k]));
        let inside: Vec<Vector> = fractional.iter().zip(&cell_of).map(at_home).collect();
        let (start, atom) = sort(&inside, n_bin);
        Some(Self { n_bin, periodic, reciprocal_length, inside, cell_of, start, atom })
    }

    /// Calls `visit` for every sender and image that may lie within `radius` of the receiver, and
    /// for some that do not. Returns the number of bins visited, or `None`, before visiting any, if
    /// it would exceed `max_bin`.
    pub(crate) fn near(
        &self,
        receiver: usize,
        radius: f64,
        max_bin: f64,
        mut visit: impl FnMut(u32, Image),
    ) -> Option<f64> {
        let (here, home) = (self.inside[receiver], self.cell_of[receiver]);
        let [first, second, third] = [0, 1, 2].map(|k| {
            let reach = radius * self.reciprocal_length[k] + SLACK;
            let n = f64::from(self.n_bin[k]);
            let (low, high) = ((here[k] - reach) * n, (here[k] + reach) * n);
            let (low, high) = (low.floor() as i32, high.floor() as i32);
            if self.periodic[k] { (low, high) } else { (low.max(0), high.min(self.n_bin[k] - 1)) }
        });
        let n_visit: f64 = [first, second, third]
            .map(|(low, high)| f64::from(high) - f64::from(low) + 1.0)
            .iter()
            .product();
        if n_visit > max_bin {
            return None;
        }
        let wrap = |axis: usize, bin: i32| {
            (bin.rem_euclid(self.n_bin[axis]) as usize, bin.div_euclid(self.n_bin[axis]))
        };
        let [_, n_second, n_third] = self.n_bin.map(|n| n as usize);
        for i in first.0..=first.1 {
            let (bin_i, cell_i) = wrap(0, i);
            for j in second.0..=second.1 {
                let (bin_j, cell_j) = wrap(1, j);
                for k in third.0..=third.1 {
                    let (bin_k, cell_k) = wrap(2, k);
                    let bin = (bin_i * n_second + bin_j) * n_third + bin_k;
                    let atoms = self.start[bin] as usize..self.start[bin + 1] as usize;
                    for &sender in &self.atom[atoms] {
                        let away = self.cell_of[sender as usize];
                        let cell = [cell_i, cell_j, cell_k];
                        visit(sender, [0, 1, 2].map(|axis| cell[axis] + home[axis] - away[axis]));
                    }
                }
            }
        }
        Some(n_visit)
    }
}

/// Bins half as wide as the radius, but not more of them than atoms.
fn divide(heights: Vector, radius: f64, n_atom: usize) -> [i32; 3] {
    let mut width = 0.5 * radius;
    loop {
        let n_bin = heights.map(|height| (height / width).floor().max(1.0));
        if n_bin.iter().product::<f64>() <= n_atom as f64 {
            return n_bin.map(|n| n as i32);
        }
        width *= 1.1;
    }
}

/// Atoms sorted by bin, keeping their order within a bin, and the start of each bin.
fn sort(inside: &[Vector], n_bin: [i32; 3]) -> (Vec<u32>, Vec<u32>) {
    let bin_of = |f: &Vector| {
        let [i, j, k] = [0, 1, 2].map(|axis| {
            let bin = (f[axis] * f64::from(n_bin[axis])).floor() as i32;
            bin.clamp(0, n_bin[axis] - 1) as usize
        });
        (i * n_bin[1] as usize + j) * n_bin[2] as usize + k
    };
    let mut start = vec![0; n_bin.iter().map(|&n| n as usize).product::<usize>() + 1];
    for f in inside {
        start[bin_of(f) + 1] += 1;
    }
    for bin in 1..start.len() {
        start[bin] += start[bin - 1];
    }
    let (mut next, mut atom) = (start.clone(), vec![0; inside.len()]);
    for (node, f) in inside.iter().enumerate() {
        let slot = &mut next[bin_of(f)];
        atom[*slot as usize] = node as u32;
        *slot += 1;
    }
    (start, atom)
}
