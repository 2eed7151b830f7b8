//! Expansion of distances in Gaussians.

use super::math::exp;
use super::out::Out;
use super::wide::wide;
use crate::GaussianBasis;

/// Smaller values are 0.
const NEGLIGIBLE: f32 = 1e-12;

/// `out[e, k] = exp::<FUSED>(-coefficient (distance[e] - centre[k])^2)`. Every column is computed for every
/// edge, padding or not.
pub(super) fn expand<'o>(out: Out<'o>, distance: &[f32], basis: &GaussianBasis) -> &'o mut [f32] {
    let centre: Vec<f32> = (0..basis.n).map(|k| basis.first + k as f32 * basis.spacing).collect();
    out.rows(basis.n, |first, rows| {
        expand_rows(rows, &distance[first..], &centre, basis.coefficient);
    })
}

wide! {
    fn expand_rows(rows: &mut [f32], distance: &[f32], centre: &[f32], coefficient: f32) {
        for (row, &d) in rows.chunks_exact_mut(centre.len()).zip(distance) {
            for (value, &centre) in row.iter_mut().zip(centre) {
                let x = d - centre;
                let gaussian = exp::<FUSED>(-coefficient * x * x);
                *value = if gaussian < NEGLIGIBLE { 0.0 } else { gaussian };
            }
        }
    }
}
