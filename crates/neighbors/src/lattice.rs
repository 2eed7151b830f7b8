//! A periodic cell: its images, and which of them can be near.

use std::ops::RangeInclusive;

use crate::NeighborError;

/// A vector in angstrom.
pub(crate) type Vector = [f64; 3];

/// Multiples of the cell vectors to add to a position.
pub(crate) type Image = [i32; 3];

/// The largest allowed component of a position or of a cell vector, in angstrom. With
/// [`MIN_HEIGHT`] it keeps the numbers of images within 32 bits.
pub(crate) const MAX_COORDINATE: f64 = 1e5;

/// The minimum height of a cell in angstrom, far below the size of an atom.
const MIN_HEIGHT: f64 = 1e-3;

/// Margin added to the range of images, in heights of the cell, so that rounding never loses one.
/// Superfluous images are discarded by their distance.
pub(crate) const SLACK: f64 = 1e-3;

/// The cell of a structure. In a direction without periodicity, a vector perpendicular to the
/// others spans all atoms.
#[derive(Debug)]
pub(crate) struct Lattice {
    /// One row per vector, in angstrom.
    vector: [Vector; 3],
    /// Row k gives the k-th fractional coordinate, in 1/angstrom.
    reciprocal: [Vector; 3],
    /// Offset subtracted from fractional coordinates, so that atoms lie between 0 and 1 in
    /// directions without images.
    start: Vector,
    /// The vectors along which there are images.
    periodic: [bool; 3],
}

impl Lattice {
    /// A row of zeros stands for a direction without images.
    pub(crate) fn new(cell: &[Vector; 3], positions: &[Vector]) -> Result<Self, NeighborError> {
        let periodic = cell.map(|vector| vector.iter().any(|&x| x != 0.0));
        let mut vector = completed(cell, periodic);
        let mut reciprocal = reciprocal(&vector);
        let heights = reciprocal.map(|row| 1.0 / norm(row));
        let is_sane = cell.as_flattened().iter().all(|x| x.abs() <= MAX_COORDINATE)
            && heights.iter().all(|&height| height >= MIN_HEIGHT);
        if !is_sane {
            return Err(NeighborError::Cell { cell: Box::new(*cell), max: MAX_COORDINATE });
        }
        let mut start = [0.0; 3];
        for axis in 0..3 {
            if periodic[axis] || positions.is_empty() {
                continue;
            }
            let along = positions.iter().map(|&position| dot(reciprocal[axis], position));
            let (low, high) = along.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| {
                (low.min(x), high.max(x))
            });
            let width = (high - low).max(1.0);
            vector[axis] = vector[axis].map(|x| x * width);
            reciprocal[axis] = reciprocal[axis].map(|x| x / width);
            start[axis] = low / width;
        }
        Ok(Self { vector, reciprocal, start, periodic })
    }

    pub(crate) fn periodic(&self) -> [bool; 3] {
        self.periodic
    }

    /// Whether there are no images at all.
    pub(crate) fn is_open(&self) -> bool {
        self.periodic == [false; 3]
    }

    /// Distances between opposite faces, in angstrom.
    pub(crate) fn heights(&self) -> Vector {
        self.reciprocal_lengths().map(|length| 1.0 / length)
    }

    /// Maximum extent of one angstrom along each vector, in fractional coordinates.
    pub(crate) fn reciprocal_lengths(&self) -> Vector {
        self.reciprocal.map(norm)
    }

    /// Coordinates along the vectors of the cell.
    pub(crate) fn fractional(&self, position: Vector) -> Vector {
        [0, 1, 2].map(|axis| dot(self.reciprocal[axis], position) - self.start[axis])
    }

    /// In cubic angstrom.
    pub(crate) fn volume(&self) -> f64 {
        let [a, b, c] = self.vector;
        dot(a, cross(b, c)).abs()
    }

    /// Approximate number of `n_node` atoms and their images within a radius, based on the mean
    /// density; for slabs and wires at most those in a disc or on a line. The density of a
    /// non-periodic structure is unknown: 0.
    pub(crate) fn n_within(&self, radius: f64, n_node: f64) -> f64 {
        let pi = std::f64::consts::PI;
        let sphere = 4.0 / 3.0 * pi * radius.powi(3);
        let near = sphere * n_node / self.volume();
        let across = [0, 1, 2].into_iter().filter(|&axis| !self.periodic[axis]);
        let measure = across.clone().fold(self.volume(), |m, axis| m / norm(self.vector[axis]));
        match across.count() {
            0 => near,
            1 => near.min(pi * radius * radius * n_node / measure),
            2 => near.min(2.0 * radius * n_node / measure),
            _ => 0.0,
        }
    }

    /// The translation from a position to its image.
    pub(crate) fn offset(&self, [i, j, k]: Image) -> Vector {
        self.along_row(self.row_offset(i, j), k)
    }

    /// The offset of the image `[i, j, 0]`.
    pub(crate) fn row_offset(&self, i: i32, j: i32) -> Vector {
        let ([a, b, _], i, j) = (&self.vector, f64::from(i), f64::from(j));
        [0, 1, 2].map(|axis| i * a[axis] + j * b[axis])
    }

    /// The offset of the image `[i, j, k]`, from that of `[i, j, 0]`.
    pub(crate) fn along_row(&self, row: Vector, k: i32) -> Vector {
        let k = f64::from(k);
        [0, 1, 2].map(|axis| row[axis] + k * self.vector[2][axis])
    }

    /// The extent of `radius` along each vector of the cell, in fractional coordinates, slightly
    /// widened.
    pub(crate) fn reach(&self, radius: f64) -> Vector {
        self.reciprocal_lengths().map(|length| radius * length + SLACK)
    }

    /// The images of the sender that may be near enough, where `between` is the receiver's position
    /// minus the sender's in fractional coordinates, and `reach` is that of the radius.
    ///
    /// For image n, the remaining difference has the fractional coordinates f - n. Its component
    /// along the k-th normal of the cell is (f - n)_k times the k-th height, and no component
    /// exceeds its length.
    pub(crate) fn images(&self, between: Vector, reach: Vector) -> [RangeInclusive<i32>; 3] {
        [0, 1, 2].map(|k| {
            if !self.periodic[k] {
                return 0..=0;
            }
            ceil(between[k] - reach[k])..=-ceil(-(between[k] + reach[k]))
        })
    }

    /// Upper bound on the number of images returned by [`Lattice::images`].
    pub(crate) fn max_image(&self, radius: f64) -> f64 {
        let along = |axis: usize| 2.0 * (radius * norm(self.reciprocal[axis]) + SLACK) + 1.0;
        [0, 1, 2].into_iter().filter(|&axis| self.periodic[axis]).map(along).product()
    }
}

/// The cell with rows of zeros replaced by unit vectors perpendicular to all others.
fn completed(cell: &[Vector; 3], periodic: [bool; 3]) -> [Vector; 3] {
    let unit = |vector: Vector| vector.map(|x| x / norm(vector));
    let mut vector = *cell;
    for axis in 0..3 {
        let (next, last) = ((axis + 1) % 3, (axis + 2) % 3);
        match [periodic[axis], periodic[next], periodic[last]] {
            [false, true, true] => vector[axis] = unit(cross(cell[next], cell[last])),
            [true, false, false] => {
                // Away from the axis closest to its own direction.
                let size = cell[axis].map(f64::abs);
                let least = if size[0] <= size[1].min(size[2]) {
                    [1.0, 0.0, 0.0]
                } else if size[1] <= size[2] {
                    [0.0, 1.0, 0.0]
                } else {
                    [0.0, 0.0, 1.0]
                };
                vector[next] = unit(cross(cell[axis], least));
                vector[last] = unit(cross(cell[axis], vector[next]));
            }
            [false, false, false] => vector[axis][axis] = 1.0,
            _ => {}
        }
    }
    vector
}

fn reciprocal([a, b, c]: &[Vector; 3]) -> [Vector; 3] {
    let volume = dot(*a, cross(*b, *c));
    [cross(*b, *c), cross(*c, *a), cross(*a, *b)].map(|normal| normal.map(|x| x / volume))
}

/// The smallest integer that is not below `x`. Much faster than `f64::ceil` on a processor without
/// rounding instructions.
fn ceil(x: f64) -> i32 {
    let whole = x as i32;
    whole.saturating_add(i32::from(f64::from(whole) < x))
}

pub(crate) fn norm(v: Vector) -> f64 {
    dot(v, v).sqrt()
}

fn dot(a: Vector, b: Vector) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn cross(a: Vector, b: Vector) -> Vector {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heights_are_those_of_the_faces() {
        // A prism: 2 wide, sheared by 1 along x for each 3 along y, 5 high.
        let lattice = Lattice::new(&[[2., 0., 0.], [1., 3., 0.], [0., 0., 5.]], &[]).unwrap();
        let [a, b, c] = lattice.heights();
        assert!((a - 2.0 * 3.0 / 10_f64.sqrt()).abs() < 1e-12, "{a}");
        assert!((b - 3.0).abs() < 1e-12 && (c - 5.0).abs() < 1e-12, "{b} {c}");
        assert!((lattice.volume() - 30.0).abs() < 1e-12);
    }

    #[test]
    fn the_range_of_images_follows_the_difference() {
        let lattice = Lattice::new(&[[2., 0., 0.], [0., 4., 0.], [0., 0., 8.]], &[]).unwrap();
        // The receiver is 3 cells further along x: images 3 - 2.5 to 3 + 2.5.
        let between = lattice.fractional([6., 0., 4.]);
        let images = lattice.images(between, lattice.reach(5.0));
        assert_eq!(images, [1..=5, -1..=1, 0..=1]);
        assert!(lattice.max_image(5.0) >= 5.0 * 3.0 * 2.0);
    }

    #[test]
    fn a_vector_at_right_angles_spans_the_atoms_where_there_are_no_images() {
        let atoms = [[0.0, 0.0, 3.0], [1.0, 1.0, 8.0]];
        let slab = Lattice::new(&[[2., 0., 0.], [1., 3., 0.], [0.; 3]], &atoms).unwrap();
        assert!((slab.volume() - 2.0 * 3.0 * 5.0).abs() < 1e-12);
        assert_eq!(slab.images([0.0; 3], slab.reach(4.0))[2], 0..=0);
        let along_normal = atoms.map(|atom| slab.fractional(atom)[2]);
        assert!(along_normal[0].abs() < 1e-12 && (along_normal[1] - 1.0).abs() < 1e-12);
        for axis in 0..3 {
            let mut cell = [[0.0; 3]; 3];
            cell[axis] = [1.0, -2.0, 2.0];
            let wire = Lattice::new(&cell, &[]).unwrap();
            let ([a, b, c], length) = (wire.vector, if axis == 0 { 3.0 } else { 1.0 });
            assert!((norm(a) - length).abs() < 1e-12 && (wire.volume() - 3.0).abs() < 1e-12);
            assert!([dot(a, b), dot(b, c), dot(c, a)].iter().all(|x| x.abs() < 1e-12));
        }
        let open = Lattice::new(&[[0.; 3]; 3], &atoms).unwrap();
        assert!(open.is_open() && (open.volume() - 5.0).abs() < 1e-12);
    }

    #[test]
    fn cells_without_volume_and_without_numbers_are_refused() {
        let flat = [[1., 0., 0.], [0., 1., 0.], [1., 1., 0.]];
        let parallel = [[1., 0., 0.], [0.; 3], [-2., 0., 0.]];
        let nan = [[f64::NAN, 0., 0.], [0., 1., 0.], [0., 0., 1.]];
        let infinite = [[f64::INFINITY, 0., 0.], [0., 1., 0.], [0., 0., 1.]];
        let nanometres_in_metres = [[1e-9, 0., 0.], [0., 1e-9, 0.], [0., 0., 1e-9]];
        for cell in [flat, parallel, nan, infinite, nanometres_in_metres] {
            assert!(
                matches!(Lattice::new(&cell, &[]), Err(NeighborError::Cell { .. })),
                "{cell:?}"
            );
        }
    }
}
