//! Lengths, directions and cutoffs of edges.

use std::f32::consts::PI;

use super::out::Out;

/// `sqrt(|d|^2 + epsilon)` for every displacement d.
pub(super) fn distances<'o>(out: Out<'o>, displacement: &[f32], epsilon: f32) -> &'o mut [f32] {
    let (displacement, _) = displacement.as_chunks::<3>();
    out.rows(1, |first, out| {
        for (out, d) in out.iter_mut().zip(&displacement[first..]) {
            *out = length(d, epsilon);
        }
    })
}

/// `d / (sqrt(|d|^2 + epsilon) + epsilon)` for every displacement d.
pub(super) fn directions<'o>(out: Out<'o>, displacement: &[f32], epsilon: f32) -> &'o mut [f32] {
    let (displacement, _) = displacement.as_chunks::<3>();
    out.rows(3, |first, out| {
        let (out, _) = out.as_chunks_mut::<3>();
        for (out, d) in out.iter_mut().zip(&displacement[first..]) {
            let length = length(d, epsilon) + epsilon;
            *out = d.map(|d| d / length);
        }
    })
}

fn length(d: &[f32; 3], epsilon: f32) -> f32 {
    (d[0] * d[0] + d[1] * d[1] + d[2] * d[2] + epsilon).sqrt()
}

/// `(cos(pi d / cutoff) + 1) / 2` below the cutoff, 0 from there on; NaN stays NaN.
pub(super) fn cosine_cutoff<'o>(out: Out<'o>, distance: &[f32], cutoff: f32) -> &'o mut [f32] {
    out.rows(1, |first, out| {
        for (out, &d) in out.iter_mut().zip(&distance[first..]) {
            *out = if d >= cutoff { 0.0 } else { 0.5 * ((PI * d / cutoff).cos() + 1.0) };
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_have_length_one_and_padding_has_none() {
        let displacement = [1.0, -2.0, 2.0, 0.0, 0.0, 0.0];
        let (mut distance, mut direction) = ([0.0; 2], [0.0; 6]);
        distances(Out::Sums(&mut distance), &displacement, 1e-8);
        directions(Out::Sums(&mut direction), &displacement, 1e-8);
        assert_eq!(distance[..], [3.0, 1e-4]);
        let expected = [1.0 / 3.0, -2.0 / 3.0, 2.0 / 3.0, 0.0, 0.0, 0.0];
        assert!(direction.iter().zip(expected).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-7));
    }

    #[test]
    fn the_cutoff_falls_from_one_to_zero() {
        let mut factor = [7.0; 6];
        cosine_cutoff(Out::Sums(&mut factor), &[0.0, 2.0, 3.0, 6.0, 100.0, f32::NAN], 6.0);
        let expected = [1.0, 0.75, 0.5, 0.0, 0.0];
        assert!(factor.iter().zip(expected).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-6));
        assert!(factor[5].is_nan());
    }
}
