//! Layer norm, activation and dropout in one pass over the rows.

use dfdx::prelude::*;
use rayon::prelude::*;

use super::activation::{apply, multiply_by_derivative};
use super::elementwise::add_to;
use super::wide::wide;
use super::{Buffer, Dense, Result, filled_from_zeros, slice, sums};
use crate::Activation;
use crate::backend::RowsToNormalise;
use crate::dropout::Dropout;
use crate::ops::{ElementwiseKernels, NormaliseKernels};

impl NormaliseKernels for Cpu {
    fn normalise(&self, rows: &RowsToNormalise<'_, Self>) -> Result<[Dense; 2]> {
        let &(n_row, width) = rows.x.shape();
        let n_statistics = if rows.norm.is_some() { 2 * n_row } else { 0 };
        let mut statistics = vec![0.0; n_statistics];
        let out = filled_from_zeros(self, [n_row, width], |out| {
            forward(out, &mut statistics, &plain(rows));
        })?;
        Ok([out, self.try_tensor_from_vec(statistics, (n_statistics / 2, 2))?])
    }

    fn normalise_backward(
        &self,
        dx: Option<&mut Buffer>,
        dnorm: &mut [Buffer; 2],
        dy: &mut Buffer,
        rows: &RowsToNormalise<'_, Self>,
        statistics: &Dense,
    ) -> Result<()> {
        let width = rows.x.shape().1;
        let norm = rows.norm.map(|_| dnorm.each_mut().map(|gradient| sums(gradient, width)));
        backward(norm, dy, slice(statistics), &plain(rows));
        dx.map_or(Ok(()), |dx| self.accumulate(dx, dy))
    }
}

fn plain<'a>(rows: &RowsToNormalise<'a, Cpu>) -> Rows<'a> {
    Rows {
        x: slice(rows.x),
        width: rows.x.shape().1,
        norm: rows.norm.map(|norm| norm.map(slice)),
        activation: rows.activation,
        dropout: rows.dropout,
        row: rows.node.map(|node| node.of.as_slice()),
    }
}

/// What to apply to each row, in this order; each step is optional.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    /// `[n_row, width]`.
    pub(super) x: &'a [f32],
    pub(super) width: usize,
    /// Scale and offset of the layer norm, `[width]` each.
    pub(super) norm: Option<[&'a [f32]; 2]>,
    pub(super) activation: Activation,
    pub(super) dropout: Option<Dropout>,
    /// Row numbers for dropout, `[n_row]`; the index if not given.
    pub(super) row: Option<&'a [u32]>,
}

/// Number of rows whose gradients are summed before they are added to those of scale and offset.
const GROUP: usize = 64;

/// Added to the variance.
const EPSILON: f32 = crate::ops::normalise::EPSILON;

impl Rows<'_> {
    fn drop_row(&self, values: &mut [f32], row: usize) {
        if let Some(dropout) = self.dropout {
            let row = self.row.map_or(row as u32, |rows| rows[row]);
            drop_some(values, dropout.of_row(row), dropout.keep_below, dropout.factor);
        }
    }
}

/// Writes the rows and, for the norm, the mean and inverse standard deviation of each, `[n_row,
/// 2]`.
pub(super) fn forward(out: &mut [f32], statistics: &mut [f32], rows: &Rows<'_>) {
    let width = rows.width;
    if width == 0 {
        return;
    }
    let groups = out.par_chunks_mut(GROUP * width).zip(rows.x.par_chunks(GROUP * width));
    let of_group = |group: usize, out: &mut [f32], x: &[f32], statistics: &mut [f32]| {
        match rows.norm {
            Some([scale, offset]) => norm(out, statistics, x, scale, offset),
            None => out.copy_from_slice(x),
        }
        apply(rows.activation, out);
        for (i, out) in out.chunks_exact_mut(width).enumerate() {
            rows.drop_row(out, group * GROUP + i);
        }
    };
    if rows.norm.is_some() {
        let groups = groups.zip(statistics.par_chunks_mut(2 * GROUP)).enumerate();
        groups.for_each(|(group, ((out, x), statistics))| of_group(group, out, x, statistics));
    } else {
        groups.enumerate().for_each(|(group, (out, x))| of_group(group, out, x, &mut []));
    }
}

/// Adds to `norm` the gradients of [`forward`] with respect to scale and offset; `dy` becomes that
/// with respect to the rows.
pub(super) fn backward(
    norm: Option<[&mut [f32]; 2]>,
    dy: &mut [f32],
    statistics: &[f32],
    rows: &Rows<'_>,
) {
    let width = rows.width;
    if width == 0 {
        return;
    }
    // Sums of groups, which are counted from the first row and added in order, so padding after the
    // real rows does not change a bit.
    let n_group = dy.len().div_ceil(GROUP * width);
    let mut sums = vec![0.0; if rows.norm.is_some() { n_group * 2 * width } else { 0 }];
    let of_group = |group: usize, dy: &mut [f32], sums: &mut [f32]| {
        let first = group * GROUP;
        let x = &rows.x[first * width..first * width + dy.len()];
        let mut value = vec![0.0; dy.len()];
        let statistics = if let Some([scale, offset]) = rows.norm {
            let statistics = &statistics[2 * first..][..2 * dy.len() / width];
            scaled(&mut value, statistics, x, scale, offset);
            statistics
        } else {
            value.copy_from_slice(x);
            &[]
        };
        if !rows.activation.keeps_input() {
            apply(rows.activation, &mut value);
        }
        for (i, dy) in dy.chunks_exact_mut(width).enumerate() {
            rows.drop_row(dy, first + i);
        }
        multiply_by_derivative(rows.activation, dy, &value);
        if let Some([scale, _]) = rows.norm {
            let (of_scale, of_offset) = sums.split_at_mut(width);
            norm_backward(dy, of_scale, of_offset, x, statistics, scale);
        }
    };
    if rows.norm.is_some() {
        let groups = dy.par_chunks_mut(GROUP * width).zip(sums.par_chunks_mut(2 * width));
        groups.enumerate().for_each(|(group, (dy, sums))| of_group(group, dy, sums));
    } else {
        let groups = dy.par_chunks_mut(GROUP * width).enumerate();
        groups.for_each(|(group, dy)| of_group(group, dy, &mut []));
    }
    if let Some([scale, offset]) = norm {
        for sums in sums.chunks_exact(2 * width) {
            add_to(scale, &sums[..width]);
            add_to(offset, &sums[width..]);
        }
    }
}

wide! {
    /// Multiplies each value by 0 or `factor`.
    fn drop_some(values: &mut [f32], row: [u32; 2], keep_below: u32, factor: f32) {
        for (column, value) in (0_u32..).zip(values) {
            let kept = Dropout::bits(row, column) <= keep_below;
            *value = if kept { factor * *value } else { 0.0 };
        }
    }
}

/// Number of columns summed at a time, as many as a vector has lanes.
const LANES: usize = 16;

#[allow(clippy::inline_always, reason = "it takes on the processor features of its caller")]
#[inline(always)]
fn sum_of(row: &[f32], term: impl Fn(usize, f32) -> f32) -> f32 {
    let mut sums = [0.0; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for (n, chunk) in chunks.iter().enumerate() {
        for (i, (sum, &x)) in sums.iter_mut().zip(chunk).enumerate() {
            *sum += term(n * LANES + i, x);
        }
    }
    for (i, (sum, &x)) in sums.iter_mut().zip(rest).enumerate() {
        *sum += term(chunks.len() * LANES + i, x);
    }
    let mut n = LANES;
    while n > 1 {
        n /= 2;
        for i in 0..n {
            sums[i] += sums[i + n];
        }
    }
    sums[0]
}

wide! {
    fn norm(out: &mut [f32], statistics: &mut [f32], x: &[f32], scale: &[f32], offset: &[f32]) {
        let width = scale.len();
        let rows = out.chunks_exact_mut(width).zip(x.chunks_exact(width));
        for ((out, x), statistics) in rows.zip(statistics.chunks_exact_mut(2)) {
            let mean = sum_of(x, |_, x| x) / width as f32;
            let variance = sum_of(x, |_, x| (x - mean) * (x - mean)) / width as f32;
            let inverse = 1.0 / (variance + EPSILON).sqrt();
            statistics.copy_from_slice(&[mean, inverse]);
            for ((out, x), (scale, offset)) in out.iter_mut().zip(x).zip(scale.iter().zip(offset)) {
                *out = (x - mean) * inverse * scale + offset;
            }
        }
    }
}

wide! {
    /// The same with known statistics.
    fn scaled(out: &mut [f32], statistics: &[f32], x: &[f32], scale: &[f32], offset: &[f32]) {
        let width = scale.len();
        let rows = out.chunks_exact_mut(width).zip(x.chunks_exact(width));
        for ((out, x), statistics) in rows.zip(statistics.chunks_exact(2)) {
            let (mean, inverse) = (statistics[0], statistics[1]);
            for ((out, x), (scale, offset)) in out.iter_mut().zip(x).zip(scale.iter().zip(offset)) {
                *out = (x - mean) * inverse * scale + offset;
            }
        }
    }
}

wide! {
    /// Turns the gradient of the norm's result into that of its input.
    fn norm_backward(
        dy: &mut [f32],
        of_scale: &mut [f32],
        of_offset: &mut [f32],
        x: &[f32],
        statistics: &[f32],
        scale: &[f32],
    ) {
        let width = scale.len();
        let rows = dy.chunks_exact_mut(width).zip(x.chunks_exact(width));
        for ((dy, x), statistics) in rows.zip(statistics.chunks_exact(2)) {
            let (mean, inverse) = (statistics[0], statistics[1]);
            let own = of_scale.iter_mut().zip(&mut *of_offset);
            for ((of_scale, of_offset), (dy, x)) in own.zip(dy.iter().zip(x)) {
                *of_scale += dy * (x - mean) * inverse;
                *of_offset += dy;
            }
            let of_mean = sum_of(dy, |i, dy| dy * scale[i]) / width as f32;
            let of_deviation =
                sum_of(dy, |i, dy| dy * scale[i] * (x[i] - mean) * inverse) / width as f32;
            for ((dy, x), scale) in dy.iter_mut().zip(x).zip(scale) {
                let normal = (x - mean) * inverse;
                *dy = inverse * (*dy * scale - of_mean - normal * of_deviation);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_mean_zero_and_deviation_one() {
        let x: Vec<f32> = (0..3 * 37).map(|i| (i * 29 % 41) as f32 - 7.0).collect();
        let (scale, offset) = (vec![1.0; 37], vec![0.0; 37]);
        let norm = Some([&scale[..], &offset[..]]);
        let activation = Activation::Identity;
        let rows = Rows { x: &x, width: 37, norm, activation, dropout: None, row: None };
        let (mut out, mut statistics) = (vec![0.0; x.len()], vec![0.0; 6]);
        forward(&mut out, &mut statistics, &rows);
        for row in out.chunks(37) {
            let mean = row.iter().sum::<f32>() / 37.0;
            let variance = row.iter().map(|x| x * x).sum::<f32>() / 37.0;
            assert!(mean.abs() < 1e-6 && (variance - 1.0).abs() < 1e-5, "{mean} {variance}");
        }
    }
}
