//! Builds cells from their lengths and angles.

use batchlab_core::EdgeRule;

/// Cosine of an angle in degrees, computed as the sine of the complement to be exactly 0 at 90.
fn cosine(degrees: f64) -> f64 {
    (90.0 - degrees).to_radians().sin()
}

/// Volume of the cell with edges of length 1.
pub(crate) fn unit_volume(angles: [f64; 3]) -> f64 {
    let [alpha, beta, gamma] = angles.map(cosine);
    let square = 1.0 - alpha * alpha - beta * beta - gamma * gamma + 2.0 * alpha * beta * gamma;
    square.max(0.0).sqrt()
}

/// Vectors from lengths in angstrom and angles in degrees: a along x, b in the xy plane.
pub(crate) fn cell(lengths: [f64; 3], angles: [f64; 3]) -> [[f64; 3]; 3] {
    let [a, b, c] = lengths;
    let [alpha, beta, gamma] = angles.map(cosine);
    let sine = (1.0 - gamma * gamma).sqrt();
    [
        [a, 0.0, 0.0],
        [b * gamma, b * sine, 0.0],
        [c * beta, c * (alpha - beta * gamma) / sine, c * unit_volume(angles) / sine],
    ]
}

/// Positions in angstrom from fractional ones.
pub(crate) fn positions(fractional: &[[f64; 3]], cell: &[[f64; 3]; 3]) -> Vec<[f64; 3]> {
    let along = |f: &[f64; 3], axis: usize| (0..3).map(|k| f[k] * cell[k][axis]).sum();
    fractional.iter().map(|f| [0, 1, 2].map(|axis| along(f, axis))).collect()
}

pub(crate) fn radius(radius: f64) -> EdgeRule {
    EdgeRule::Radius(radius.try_into().expect("a radius"))
}

pub(crate) fn nearest(n: usize) -> EdgeRule {
    EdgeRule::Nearest(u32::try_from(n).ok().and_then(|n| n.try_into().ok()).expect("a number"))
}
