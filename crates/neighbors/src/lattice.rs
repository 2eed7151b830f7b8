//! A periodic cell: its images, and which of them can be near.

use std::ops::RangeInclusive;

use crate::NeighborError;

/// A vector in angstrom.
pub(crate) type Vector = [f64; 3];

/// How often each vector of the cell is added to a position.
pub(crate) type Image = [i32; 3];

/// The largest component of a position or of a cell's vector, in angstrom. With
/// [`MIN_HEIGHT`] it keeps the numbers of images within 32 bits.
pub(crate) const MAX_COORDINATE: f64 = 1e5;

/// The least height of a cell in angstrom, far below the size of an atom.
const MIN_HEIGHT: f64 = 1e-3;

/// By how much, in heights of the cell, the range of images is widened, so that rounding never
/// loses one. Superfluous images are discarded by their distance.
pub(crate) const SLACK: f64 = 1e-3;

#[derive(Debug)]
pub(crate) struct Lattice {
    /// One row per vector, in angstrom.
    vector: [Vector; 3],
    /// Row k gives the k-th fractional coordinate, in 1/angstrom.
    reciprocal: [Vector; 3],
}

impl Lattice {
    pub(crate) fn new(cell: &[Vector; 3]) -> Result<Self, NeighborError> {
        let [a, b, c] = *cell;
        let volume = dot(a, cross(b, c));
        let reciprocal =
            [cross(b, c), cross(c, a), cross(a, b)].map(|normal| normal.map(|x| x / volume));
        let lattice = Self { vector: *cell, reciprocal };
        let is_sane = cell.as_flattened().iter().all(|x| x.abs() <= MAX_COORDINATE)
            && lattice.heights().iter().all(|&height| height >= MIN_HEIGHT);
        if is_sane {
            Ok(lattice)
        } else {
            Err(NeighborError::Cell { cell: Box::new(*cell), max: MAX_COORDINATE })
        }
    }

    /// Distance between opposite faces, in angstrom; NaN for a cell without volume.
    pub(crate) fn heights(&self) -> Vector {
        self.reciprocal_lengths().map(|length| 1.0 / length)
    }

    /// How far one angstrom reaches at most along each vector, in fractional coordinates.
    pub(crate) fn reciprocal_lengths(&self) -> Vector {
        self.reciprocal.map(norm)
    }

    /// Coordinates along the vectors of the cell.
    pub(crate) fn fractional(&self, position: Vector) -> Vector {
        self.reciprocal.map(|row| dot(row, position))
    }

    /// In cubic angstrom.
    pub(crate) fn volume(&self) -> f64 {
        let [a, b, c] = self.vector;
        dot(a, cross(b, c)).abs()
    }

    /// What is added to a position to get to its image.
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

    /// How far `radius` reaches along each vector of the cell, in fractional coordinates and a
    /// little widened.
    pub(crate) fn reach(&self, radius: f64) -> Vector {
        self.reciprocal_lengths().map(|length| radius * length + SLACK)
    }

    /// The images of the sender that may be near enough, where `between` is the receiver's
    /// position minus the sender's in fractional coordinates, and `reach` is that of the radius.
    ///
    /// The difference that remains with image n has the fractional coordinates f - n. Its
    /// component along the k-th normal of the cell is (f - n)_k times the k-th height, and no
    /// component exceeds the whole.
    pub(crate) fn images(between: Vector, reach: Vector) -> [RangeInclusive<i32>; 3] {
        [0, 1, 2].map(|k| ceil(between[k] - reach[k])..=-ceil(-(between[k] + reach[k])))
    }

    /// Upper bound of the number of images that [`Lattice::images`] spans.
    pub(crate) fn max_image(&self, radius: f64) -> f64 {
        self.reciprocal.iter().map(|&row| 2.0 * (radius * norm(row) + SLACK) + 1.0).product()
    }
}

/// The least whole number that is not below `x`. Without particular instructions of the processor
/// this is much faster than `f64::ceil`.
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
        let lattice = Lattice::new(&[[2., 0., 0.], [1., 3., 0.], [0., 0., 5.]]).unwrap();
        let [a, b, c] = lattice.heights();
        assert!((a - 2.0 * 3.0 / 10_f64.sqrt()).abs() < 1e-12, "{a}");
        assert!((b - 3.0).abs() < 1e-12 && (c - 5.0).abs() < 1e-12, "{b} {c}");
        assert!((lattice.volume() - 30.0).abs() < 1e-12);
    }

    #[test]
    fn the_range_of_images_follows_the_difference() {
        let lattice = Lattice::new(&[[2., 0., 0.], [0., 4., 0.], [0., 0., 8.]]).unwrap();
        // The receiver is 3 cells further along x: images 3 - 2.5 to 3 + 2.5.
        let between = lattice.fractional([6., 0., 4.]);
        let images = Lattice::images(between, lattice.reach(5.0));
        assert_eq!(images, [1..=5, -1..=1, 0..=1]);
        assert!(lattice.max_image(5.0) >= 5.0 * 3.0 * 2.0);
    }

    #[test]
    fn cells_without_volume_and_without_numbers_are_refused() {
        let flat = [[1., 0., 0.], [0., 1., 0.], [1., 1., 0.]];
        let zero = [[0.; 3]; 3];
        let nan = [[f64::NAN, 0., 0.], [0., 1., 0.], [0., 0., 1.]];
        let infinite = [[f64::INFINITY, 0., 0.], [0., 1., 0.], [0., 0., 1.]];
        let nanometres_in_metres = [[1e-9, 0., 0.], [0., 1e-9, 0.], [0., 0., 1e-9]];
        for cell in [flat, zero, nan, infinite, nanometres_in_metres] {
            assert!(matches!(Lattice::new(&cell), Err(NeighborError::Cell { .. })), "{cell:?}");
        }
    }
}
