//! A learnable target without physical meaning.

use batchlab_core::EdgeRule;
use batchlab_neighbors::{NeighborError, connect};

/// Maximum distance at which a pair of atoms contributes, in angstrom.
pub const CUTOFF: f64 = 4.0;

/// Weight of an element in a pair: an arbitrary number from 0.5 to 1.5.
#[must_use]
pub fn strength(atomic_number: u8) -> f64 {
    0.5 + f64::from(u32::from(atomic_number) * 37 % 101) / 100.0
}

/// Mean over the atoms of the sum over their neighbours of `s_i s_j (1 - (r / cutoff)^2)^3`. It is
/// smooth in every position, even where a neighbour crosses the cutoff, and has the same scale for
/// crystals of any size.
pub(crate) fn value(
    atomic_number: &[u8],
    positions: &[[f64; 3]],
    cell: &[[f64; 3]; 3],
    cutoff: EdgeRule,
) -> Result<f64, NeighborError> {
    let edges = connect(cutoff, positions, Some(cell))?;
    let pairs = edges.receiver.iter().zip(&edges.sender).zip(&edges.distance);
    let sum: f64 = pairs
        .map(|((&i, &j), &r)| {
            let [i, j] = [i, j].map(|atom| strength(atomic_number[atom as usize]));
            let decay = 1.0 - (f64::from(r) / CUTOFF).powi(2);
            i * j * decay * decay * decay
        })
        .sum();
    Ok(sum / atomic_number.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cube_of_one_atom_by_hand() {
        // Six neighbours at 3 angstrom; the next are at 4.24.
        let cube = [[3., 0., 0.], [0., 3., 0.], [0., 0., 3.]];
        let cutoff = EdgeRule::Radius(CUTOFF.try_into().unwrap());
        let found = value(&[11], &[[0.5; 3]], &cube, cutoff).unwrap();
        let expected = 6.0 * strength(11).powi(2) * (1.0_f64 - 9.0 / 16.0).powi(3);
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        assert!((strength(11) - 0.53).abs() < 1e-12);
    }
}
