//! Lengths, directions, cutoffs and expansions of edges.

use std::f32::consts::PI;

use dfdx::prelude::*;

use super::math::exp;
use super::wide::wide;
use super::{Dense, Result, filled, slice};
use crate::GaussianBasis;
use crate::ops::GeometryKernels;

/// Smaller values are flushed to 0.
const NEGLIGIBLE: f32 = 1e-12;

impl GeometryKernels for Cpu {
    fn edge_geometry(&self, displacement: &Dense, epsilon: f32) -> Result<[Dense; 2]> {
        let (d, _) = slice(displacement).as_chunks::<3>();
        let distance = filled(self, [d.len(), 1], |out| {
            out.rows(1, |first, out| {
                for (out, d) in out.iter_mut().zip(&d[first..]) {
                    *out = length(d, epsilon);
                }
            })
        })?;
        let direction = filled(self, [d.len(), 3], |out| {
            out.rows(3, |first, out| {
                let (out, _) = out.as_chunks_mut::<3>();
                for (out, d) in out.iter_mut().zip(&d[first..]) {
                    let length = length(d, epsilon) + epsilon;
                    *out = d.map(|d| d / length);
                }
            })
        })?;
        Ok([distance, direction])
    }

    fn cosine_cutoff(&self, distance: &Dense, cutoff: f32) -> Result<Dense> {
        let distance = slice(distance);
        filled(self, [distance.len(), 1], |out| {
            out.rows(1, |first, out| {
                for (out, &d) in out.iter_mut().zip(&distance[first..]) {
                    *out = if d >= cutoff { 0.0 } else { 0.5 * ((PI * d / cutoff).cos() + 1.0) };
                }
            })
        })
    }

    /// Every column is computed for every edge, padding or not.
    fn gaussians(&self, distance: &Dense, basis: &GaussianBasis) -> Result<Dense> {
        let &GaussianBasis { n, first, spacing, coefficient } = basis;
        let (distance, centre) = (slice(distance), (0..n).map(|k| first + k as f32 * spacing));
        let centre: Vec<f32> = centre.collect();
        filled(self, [distance.len(), n], |out| {
            out.rows(n, |first, rows| expand_rows(rows, &distance[first..], &centre, coefficient))
        })
    }
}

fn length(d: &[f32; 3], epsilon: f32) -> f32 {
    (d[0] * d[0] + d[1] * d[1] + d[2] * d[2] + epsilon).sqrt()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_have_length_one_and_padding_has_none() {
        let device = Cpu::default();
        let displacement = device.tensor_from_vec(vec![1.0, -2.0, 2.0, 0.0, 0.0, 0.0], (2, 3));
        let [distance, direction] = device.edge_geometry(&displacement, 1e-8).unwrap();
        assert_eq!(slice(&distance), [3.0, 1e-4]);
        let expected = [1.0 / 3.0, -2.0 / 3.0, 2.0 / 3.0, 0.0, 0.0, 0.0];
        let near = |(a, b): (&f32, f32)| (a - b).abs() < 1e-7;
        assert!(slice(&direction).iter().zip(expected).all(near));
    }

    #[test]
    fn the_cutoff_falls_from_one_to_zero() {
        let device = Cpu::default();
        let distance = vec![0.0, 2.0, 3.0, 6.0, 100.0, f32::NAN];
        let factor = device.cosine_cutoff(&device.tensor_from_vec(distance, (6, 1)), 6.0).unwrap();
        let expected = [1.0, 0.75, 0.5, 0.0, 0.0];
        let near = |(a, b): (&f32, f32)| (a - b).abs() < 1e-6;
        assert!(slice(&factor).iter().zip(expected).all(near) && slice(&factor)[5].is_nan());
    }
}
