//! Loops over rows of edges, whose operands are consecutive or looked up at the nodes.

use pulp::{Simd, WithSimd};

use crate::GaussianBasis;
use crate::cpu::math::exp;
use crate::cpu::simd::{multiply_add, vectorised};
use crate::cpu::wide::wide;

/// A row of numbers for each edge of a block.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    values: &'a [f32],
    /// Stride between rows.
    step: usize,
    /// The row of each edge, if not the one at its position.
    index: Option<&'a [u32]>,
}

/// A row for each edge of a block, to be written or, if several edges share one, added to.
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
    pub(super) fn get(&self, edge: usize, width: usize) -> &'a [f32] {
        let row = self.index.map_or(edge, |index| index[edge] as usize);
        &self.values[row * self.step..][..width]
    }
}

impl<'a> RowsMut<'a> {
    pub(super) fn in_place(values: &'a mut [f32], step: usize, add: bool) -> Self {
        Self { values, step, index: None, first: 0, add }
    }

    /// Rows from number `first` on, to be added to.
    pub(super) fn summed(
        values: &'a mut [f32],
        step: usize,
        index: &'a [u32],
        first: usize,
    ) -> Self {
        Self { values, step, index: Some(index), first, add: true }
    }

    /// Whether rows are added to instead of written.
    pub(super) fn adds(&self) -> bool {
        self.add
    }

    #[inline(always)]
    #[allow(clippy::inline_always, reason = "a part of every loop")]
    pub(super) fn get(&mut self, edge: usize, width: usize) -> &mut [f32] {
        let row = self.index.map_or(edge, |index| index[edge] as usize - self.first);
        &mut self.values[row * self.step..][..width]
    }
}

/// `out (+)= x`.
pub(super) fn put(out: RowsMut<'_>, x: Rows<'_>, n_edge: usize, width: usize) {
    vectorised(Each { kind: Kind::Copy, out, a: x, b: x, n_edge, width });
}

/// `out (+)= a b`.
pub(super) fn put_product(out: RowsMut<'_>, a: Rows<'_>, b: Rows<'_>, n_edge: usize, width: usize) {
    vectorised(Each { kind: Kind::Product, out, a, b, n_edge, width });
}

/// `out (+)= factor a b`, with an optional factor per edge.
pub(super) fn put_scaled_product(
    out: RowsMut<'_>,
    [a, b]: [Rows<'_>; 2],
    factor: Option<Rows<'_>>,
    n_edge: usize,
    width: usize,
) {
    match factor {
        None => put_product(out, a, b, n_edge, width),
        Some(factor) => vectorised(ScaledProduct { out, a, b, factor, n_edge, width }),
    }
}

/// `out (+)= factor x`, with a factor per edge.
pub(super) fn put_scaled(
    out: RowsMut<'_>,
    x: Rows<'_>,
    factor: Rows<'_>,
    n_edge: usize,
    width: usize,
) {
    vectorised(Each { kind: Kind::Scale, out, a: x, b: factor, n_edge, width });
}

#[derive(Clone, Copy)]
enum Kind {
    Copy,
    Product,
    Scale,
}

/// Sets or adds to every row of `out` a function of those of `a` and `b`. Rows are short: the
/// startup of a loop that the compiler vectorises for any length would take longer than the loop.
struct Each<'a> {
    kind: Kind,
    out: RowsMut<'a>,
    a: Rows<'a>,
    b: Rows<'a>,
    n_edge: usize,
    width: usize,
}

impl WithSimd for Each<'_> {
    type Output = ();

    #[inline(always)]
    #[allow(clippy::inline_always, reason = "it takes on the features of its caller")]
    fn with_simd<S: Simd>(self, simd: S) {
        let add = |sum, x| simd.add_f32s(sum, x);
        let add_product = |sum, a, b| multiply_add(simd, a, b, sum);
        match (self.kind, self.out.add) {
            (Kind::Copy, false) => self.run(simd, |_, a, _| a, |_, a, _| a),
            (Kind::Copy, true) => self.run(simd, |sum, a, _| add(sum, a), |sum, a, _| sum + a),
            (Kind::Product, false) => {
                self.run(simd, |_, a, b| simd.mul_f32s(a, b), |_, a, b| a * b);
            }
            (Kind::Product, true) => self.run(simd, add_product, |sum, a, b| sum + a * b),
            (Kind::Scale, false) => {
                self.run_scaled(simd, |_, a, b| simd.mul_f32s(a, b), |_, a, b| a * b);
            }
            (Kind::Scale, true) => self.run_scaled(simd, add_product, |sum, a, b| sum + a * b),
        }
    }
}

struct ScaledProduct<'a> {
    out: RowsMut<'a>,
    a: Rows<'a>,
    b: Rows<'a>,
    factor: Rows<'a>,
    n_edge: usize,
    width: usize,
}

impl WithSimd for ScaledProduct<'_> {
    type Output = ();

    #[inline(always)]
    #[allow(clippy::inline_always, reason = "it takes on the features of its caller")]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let zeros = simd.splat_f32s(0.0);
        for edge in 0..self.n_edge {
            let factor = self.factor.get(edge, 1)[0];
            let factors = simd.splat_f32s(factor);
            let (a, a_rest) = S::as_simd_f32s(self.a.get(edge, self.width));
            let (b, b_rest) = S::as_simd_f32s(self.b.get(edge, self.width));
            let add = self.out.add;
            let (out, rest) = S::as_mut_simd_f32s(self.out.get(edge, self.width));
            for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
                let sum = if add { *out } else { zeros };
                *out = multiply_add(simd, simd.mul_f32s(a, factors), b, sum);
            }
            for ((out, &a), &b) in rest.iter_mut().zip(a_rest).zip(b_rest) {
                let sum = if add { *out } else { 0.0 };
                *out = sum + a * factor * b;
            }
        }
    }
}

impl Each<'_> {
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "it takes on the features of its caller")]
    fn run<S: Simd>(
        mut self,
        _: S,
        vector: impl Fn(S::f32s, S::f32s, S::f32s) -> S::f32s,
        single: impl Fn(f32, f32, f32) -> f32,
    ) {
        for edge in 0..self.n_edge {
            let (a, b) = (self.a.get(edge, self.width), self.b.get(edge, self.width));
            let ((a, a_rest), (b, b_rest)) = (S::as_simd_f32s(a), S::as_simd_f32s(b));
            let (out, rest) = S::as_mut_simd_f32s(self.out.get(edge, self.width));
            for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
                *out = vector(*out, a, b);
            }
            for ((out, &a), &b) in rest.iter_mut().zip(a_rest).zip(b_rest) {
                *out = single(*out, a, b);
            }
        }
    }

    /// `b` has one number per row.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "it takes on the features of its caller")]
    fn run_scaled<S: Simd>(
        mut self,
        simd: S,
        vector: impl Fn(S::f32s, S::f32s, S::f32s) -> S::f32s,
        single: impl Fn(f32, f32, f32) -> f32,
    ) {
        for edge in 0..self.n_edge {
            let factor = self.b.get(edge, 1)[0];
            let factors = simd.splat_f32s(factor);
            let (a, a_rest) = S::as_simd_f32s(self.a.get(edge, self.width));
            let (out, rest) = S::as_mut_simd_f32s(self.out.get(edge, self.width));
            for (out, &a) in out.iter_mut().zip(a) {
                *out = vector(*out, a, factors);
            }
            for (out, &a) in rest.iter_mut().zip(a_rest) {
                *out = single(*out, a, factor);
            }
        }
    }
}

wide! {
    /// Adds all rows of `values` to `sum`.
    pub(super) fn add_to_row(sum: &mut [f32], values: &[f32], step: usize) {
        for values in values.chunks_exact(step.max(1)) {
            for (sum, value) in sum.iter_mut().zip(values) {
                *sum += value;
            }
        }
    }
}

wide! {
    /// Every Gaussian of every distance; the remainder of a row is zeroed.
    pub(super) fn put_gaussians(
        out: &mut [f32],
        step: usize,
        distance: &[f32],
        basis: &GaussianBasis,
    ) {
        for (row, &distance) in out.chunks_exact_mut(step.max(1)).zip(distance) {
            let (row, beyond) = row.split_at_mut(basis.n);
            for (k, value) in row.iter_mut().enumerate() {
                let x = distance - basis.first - k as f32 * basis.spacing;
                let gaussian = exp::<FUSED>(-basis.coefficient * x * x);
                *value = if gaussian < 1e-12 { 0.0 } else { gaussian };
            }
            beyond.fill(0.0);
        }
    }
}
