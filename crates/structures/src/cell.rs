//! Unit cells in crystallographic notation.

use crate::error::Problem;

/// A vector in angstrom.
type Vector = [f64; 3];

/// The vectors of a cell as rows. A row of zeros marks a direction without periodicity.
pub type Cell = [Vector; 3];

/// The cell of a structure that is periodic along some of these vectors; `None` if along none.
pub(crate) fn repeating(vectors: &Cell, periodic: [bool; 3]) -> Result<Option<Cell>, Problem> {
    let mut cell = [[0.0; 3]; 3];
    for direction in 0..3 {
        if !periodic[direction] {
            continue;
        }
        if vectors[direction].iter().all(|&x| x == 0.0) {
            return Err(Problem::NoVector { direction: direction + 1 });
        }
        cell[direction] = vectors[direction];
    }
    Ok(periodic.contains(&true).then_some(cell))
}

/// The vectors of a cell, as rows, from its lengths in angstrom and its angles in degrees (alpha
/// between b and c, beta between a and c, gamma between a and b): a along x, b in the xy plane.
///
/// # Errors
/// If lengths and angles do not form a cell.
pub fn vectors(lengths: [f64; 3], angles: [f64; 3]) -> Result<[Vector; 3], Problem> {
    let [a, b, c] = lengths;
    // Computed as the sine of the complement, to be exactly 0 at 90 degrees.
    let [alpha, beta, gamma] = angles.map(|degrees| (90.0 - degrees).to_radians().sin());
    let square = 1.0 - alpha * alpha - beta * beta - gamma * gamma + 2.0 * alpha * beta * gamma;
    let is_cell = lengths.iter().all(|&x| x > 0.0 && x.is_finite())
        && angles.iter().all(|&x| x > 0.0 && x < 180.0)
        && square > 0.0;
    if !is_cell {
        return Err(Problem::Cell { value: format!("{lengths:?} {angles:?}") });
    }
    let sine = (1.0 - gamma * gamma).sqrt();
    let upper = (alpha - beta * gamma) / sine;
    Ok([[a, 0.0, 0.0], [b * gamma, b * sine, 0.0], [c * beta, c * upper, c * square.sqrt() / sine]])
}

/// A position in angstrom from its fractional coordinates.
#[must_use]
pub fn cartesian(fractional: Vector, cell: &[Vector; 3]) -> Vector {
    [0, 1, 2].map(|axis| (0..3).map(|k| fractional[k] * cell[k][axis]).sum())
}

/// Volume of a cell in cubic angstrom.
#[must_use]
pub fn volume(cell: &[Vector; 3]) -> f64 {
    let [a, b, c] = cell;
    (a[0] * (b[1] * c[2] - b[2] * c[1])
        + a[1] * (b[2] * c[0] - b[0] * c[2])
        + a[2] * (b[0] * c[1] - b[1] * c[0]))
        .abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::float_cmp, reason = "exact for right angles")]
    fn lengths_and_angles_come_back() {
        let (lengths, angles) = ([3.0, 4.0, 5.0], [70.0, 95.0, 120.0]);
        let cell = vectors(lengths, angles).unwrap();
        let dot = |i: usize, j: usize| (0..3).map(|k| cell[i][k] * cell[j][k]).sum::<f64>();
        for i in 0..3 {
            let (j, k) = ((i + 1) % 3, (i + 2) % 3);
            assert!((dot(i, i).sqrt() - lengths[i]).abs() < 1e-12);
            let angle = (dot(j, k) / lengths[j] / lengths[k]).acos().to_degrees();
            assert!((angle - angles[i]).abs() < 1e-9, "{angle}");
        }
        let right = vectors([2.0, 3.0, 4.0], [90.0; 3]).unwrap();
        assert_eq!(right, [[2., 0., 0.], [0., 3., 0.], [0., 0., 4.]]);
        assert!((volume(&right) - 24.0).abs() < 1e-12);
        assert_eq!(cartesian([0.5, -1.0, 2.0], &right), [1.0, -3.0, 8.0]);
    }

    #[test]
    fn a_cell_has_the_vectors_along_which_a_structure_repeats() {
        let (a, b, c) = ([1., 0., 0.], [1., 2., 0.], [0., 0., 3.]);
        let zero = [0.0; 3];
        assert_eq!(repeating(&[a, b, c], [true; 3]), Ok(Some([a, b, c])));
        assert_eq!(repeating(&[a, b, c], [true, false, true]), Ok(Some([a, zero, c])));
        assert_eq!(repeating(&[a, b, zero], [true, true, false]), Ok(Some([a, b, zero])));
        assert_eq!(repeating(&[a, b, c], [false; 3]), Ok(None));
        assert_eq!(repeating(&[a, zero, c], [true; 3]), Err(Problem::NoVector { direction: 2 }));
    }

    #[test]
    fn what_is_no_cell_is_refused() {
        for (lengths, angles) in [
            ([0.0, 1.0, 1.0], [90.0; 3]),
            ([1.0; 3], [90.0, 90.0, 180.0]),
            ([1.0; 3], [30.0, 30.0, 120.0]),
            ([f64::NAN, 1.0, 1.0], [90.0; 3]),
            ([1.0; 3], [90.0, f64::NAN, 90.0]),
        ] {
            assert!(vectors(lengths, angles).is_err(), "{lengths:?} {angles:?}");
        }
    }
}
