//! Loops over rows of edges, whose operands lie one after the other or are looked up at the nodes.

use crate::GaussianBasis;
use crate::cpu::math::exp;
use crate::cpu::wide::wide;

/// A row of numbers for each edge of a block.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    values: &'a [f32],
    /// From the start of one row to that of the next.
    step: usize,
    /// Which row belongs to an edge, if not the one of its place.
    index: Option<&'a [u32]>,
}

/// A row for each edge of a block, to be written or, where several edges share one, added to.
pub(super) struct RowsMut<'a> {
    values: &'a mut [f32],
    step: usize,
    index: Option<&'a [u32]>,
    /// Number of the first row.
    first: usize,
    add: bool,
}

impl<'a> Rows<'a> {
    pub(super) fn in_place(values: &'a [f32], step: usize) -> Self {
        Self { values, step, index: None }
    }

    pub(super) fn looked_up(values: &'a [f32], step: usize, index: &'a [u32]) -> Self {
        Self { values, step, index: Some(index) }
    }

    #[inline(always)]
    #[allow(clippy::inline_always, reason = "a part of every loop")]
    fn get(&self, edge: usize, width: usize) -> &'a [f32] {
        let row = self.index.map_or(edge, |index| index[edge] as usize);
        &self.values[row * self.step..][..width]
    }
}

impl<'a> RowsMut<'a> {
    pub(super) fn in_place(values: &'a mut [f32], step: usize, add: bool) -> Self {
        Self { values, step, index: None, first: 0, add }
    }

    /// Rows from number `first` on, which are added to.
    pub(super) fn summed(
        values: &'a mut [f32],
        step: usize,
        index: &'a [u32],
        first: usize,
    ) -> Self {
        Self { values, step, index: Some(index), first, add: true }
    }

    #[inline(always)]
    #[allow(clippy::inline_always, reason = "a part of every loop")]
    fn get(&mut self, edge: usize, width: usize) -> &mut [f32] {
        let row = self.index.map_or(edge, |index| index[edge] as usize - self.first);
        &mut self.values[row * self.step..][..width]
    }
}

wide! {
    /// `out (+)= x`.
    pub(super) fn put(out: RowsMut<'_>, x: Rows<'_>, n_edge: usize, width: usize) {
        let mut out = out;
        let add = out.add;
        for edge in 0..n_edge {
            let (out, x) = (out.get(edge, width), x.get(edge, width));
            if add {
                for (out, x) in out.iter_mut().zip(x) {
                    *out += x;
                }
            } else {
                out.copy_from_slice(x);
            }
        }
    }
}

wide! {
    /// `out (+)= a b`.
    pub(super) fn put_product(
        out: RowsMut<'_>,
        a: Rows<'_>,
        b: Rows<'_>,
        n_edge: usize,
        width: usize,
    ) {
        let mut out = out;
        let add = out.add;
        for edge in 0..n_edge {
            let factors = a.get(edge, width).iter().zip(b.get(edge, width));
            let out = out.get(edge, width).iter_mut();
            if add {
                for (out, (a, b)) in out.zip(factors) {
                    *out += a * b;
                }
            } else {
                for (out, (a, b)) in out.zip(factors) {
                    *out = a * b;
                }
            }
        }
    }
}

wide! {
    /// `out (+)= factor x`, one factor per edge.
    pub(super) fn put_scaled(
        out: RowsMut<'_>,
        x: Rows<'_>,
        factor: Rows<'_>,
        n_edge: usize,
        width: usize,
    ) {
        let mut out = out;
        let add = out.add;
        for edge in 0..n_edge {
            let factor = factor.get(edge, 1)[0];
            let out = out.get(edge, width).iter_mut();
            if add {
                for (out, x) in out.zip(x.get(edge, width)) {
                    *out += factor * x;
                }
            } else {
                for (out, x) in out.zip(x.get(edge, width)) {
                    *out = factor * x;
                }
            }
        }
    }
}

wide! {
    /// Adds the same row to every row of `values`.
    pub(super) fn add_row(values: &mut [f32], row: &[f32], step: usize) {
        for values in values.chunks_exact_mut(step) {
            for (value, x) in values.iter_mut().zip(row) {
                *value += x;
            }
        }
    }
}

wide! {
    /// Adds all rows of `values` to `sum`.
    pub(super) fn add_to_row(sum: &mut [f32], values: &[f32], step: usize) {
        for values in values.chunks_exact(step) {
            for (sum, value) in sum.iter_mut().zip(values) {
                *sum += value;
            }
        }
    }
}

wide! {
    /// Every Gaussian of every distance; what is beyond them in a row becomes 0.
    pub(super) fn put_gaussians(
        out: &mut [f32],
        step: usize,
        distance: &[f32],
        basis: &GaussianBasis,
    ) {
        for (row, &distance) in out.chunks_exact_mut(step).zip(distance) {
            let (row, beyond) = row.split_at_mut(basis.n);
            for (k, value) in row.iter_mut().enumerate() {
                let x = distance - basis.first - k as f32 * basis.spacing;
                let gaussian = exp(-basis.coefficient * x * x);
                *value = if gaussian < 1e-12 { 0.0 } else { gaussian };
            }
            beyond.fill(0.0);
        }
    }
}
