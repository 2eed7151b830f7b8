//! Products of small matrices that are already in the cache: nothing is packed.
//!
//! Rows of `b` and of the result are padded to a multiple of [`LANES`](super::simd::LANES). A tile
//! of the result, six rows by one panel, stays in registers during the loop over the inner index.

#![allow(unsafe_code, reason = "vectors are loaded and stored through pointers")]
#![allow(clippy::inline_always, reason = "these take on the processor features of the loop")]

use pulp::{Simd, WithSimd};

use super::simd::{LANES, fetch, is_fused, lanes, load, multiply_add, panels, store, vectorised};

/// Inner indices per pass: their part of both operands stays in the L1 cache.
const SLICE: usize = 160;

/// The left factor: element (i, p) at `i * row_step + p * inner_step`.
#[derive(Clone, Copy)]
pub(super) struct Factor<'a> {
    values: &'a [f32],
    n_row: usize,
    n_inner: usize,
    row_step: usize,
    inner_step: usize,
}

impl<'a> Factor<'a> {
    /// `n_row` rows of `n_inner` numbers, which start `step` numbers apart.
    pub(super) fn rows(values: &'a [f32], [n_row, n_inner]: [usize; 2], step: usize) -> Self {
        let used = if n_row == 0 { 0 } else { (n_row - 1) * step + n_inner };
        assert!(used <= values.len(), "{n_row} rows of {n_inner} with step {step}");
        Self { values, n_row, n_inner, row_step: step, inner_step: 1 }
    }

    /// The transposed matrix.
    pub(super) fn transposed(self) -> Self {
        let Self { values, n_row, n_inner, row_step, inner_step } = self;
        Self { values, n_row: n_inner, n_inner: n_row, row_step: inner_step, inner_step: row_step }
    }
}

/// `out = a b`, or `out += a b`, for `b` `[n_inner, n]` and `out` `[n_row, n]`; n is a multiple of
/// [`LANES`](super::simd::LANES).
pub(super) fn product(out: &mut [f32], a: Factor<'_>, b: &[f32], n: usize, add: bool) {
    product_and_fetch(out, a, b, n, add, [&[]; 2]);
}

/// The same, while prefetching `ahead` into a core's own cache.
pub(super) fn product_and_fetch(
    out: &mut [f32],
    a: Factor<'_>,
    b: &[f32],
    n: usize,
    add: bool,
    ahead: [&[f32]; 2],
) {
    check(out, a, b, n);
    if a.n_inner == 0 && !add {
        out[..a.n_row * n].fill(0.0);
    }
    vectorised(Product { out, a, b, row: None, n, add, ahead });
}

/// `out = a b` plus `row` `[n]` in every row, while prefetching `ahead`.
pub(super) fn product_and_row(
    out: &mut [f32],
    a: Factor<'_>,
    b: &[f32],
    row: &[f32],
    n: usize,
    ahead: [&[f32]; 2],
) {
    check(out, a, b, n);
    assert_eq!(row.len(), n, "a padded row");
    if a.n_inner == 0 {
        out[..a.n_row * n].chunks_exact_mut(n.max(1)).for_each(|out| out.copy_from_slice(row));
    }
    vectorised(Product { out, a, b, row: Some(row), n, add: false, ahead });
}

fn check(out: &[f32], a: Factor<'_>, b: &[f32], n: usize) {
    assert!(n.is_multiple_of(LANES), "padded rows");
    assert!(b.len() >= a.n_inner * n && out.len() >= a.n_row * n, "a product of {} rows", a.n_row);
}

struct Product<'a> {
    out: &'a mut [f32],
    a: Factor<'a>,
    b: &'a [f32],
    /// Added to every row.
    row: Option<&'a [f32]>,
    n: usize,
    add: bool,
    /// Memory to prefetch meanwhile, a part with each tile.
    ahead: [&'a [f32]; 2],
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { out, a, b, mut row, n, mut add, mut ahead } = self;
        for first in (0..a.n_inner).step_by(SLICE) {
            let n_inner = SLICE.min(a.n_inner - first);
            panels!(S, n, |column, N| {
                // SAFETY: `check` has verified that `b` has n_inner rows and `out` n_row rows of n
                // numbers, `product_and_row` that `row` has n; the panel ends at n at the latest.
                // `Factor::rows` has checked `a`.
                unsafe {
                    let tile = Tile {
                        out: out.as_mut_ptr().add(column),
                        a: a.values.as_ptr().add(first * a.inner_step),
                        b: b.as_ptr().add(first * n + column),
                        row: row.map(|row| row.as_ptr().add(column)),
                        n_inner,
                        step: [n, a.row_step, a.inner_step],
                        add,
                    };
                    let mut at = 0;
                    // Plain vectors have only 16 registers and no fused multiplication: six rows of
                    // sums do not fit.
                    while is_fused::<S>() && at + 6 <= a.n_row {
                        for ahead in &mut ahead {
                            let share = ahead.len() / (a.n_row - at) * 6;
                            let (now, later) = ahead.split_at(share.min(ahead.len()));
                            fetch(now);
                            *ahead = later;
                        }
                        tile.compute::<S, 6, N>(simd, at);
                        at += 6;
                    }
                    while at + 3 <= a.n_row {
                        tile.compute::<S, 3, N>(simd, at);
                        at += 3;
                    }
                    while at < a.n_row {
                        tile.compute::<S, 1, N>(simd, at);
                        at += 1;
                    }
                }
            });
            (row, add) = (None, true);
        }
    }
}

#[derive(Clone, Copy)]
struct Tile {
    out: *mut f32,
    a: *const f32,
    b: *const f32,
    row: Option<*const f32>,
    n_inner: usize,
    /// Strides: between rows of `out` and `b`; between rows of `a`; between inner indices of `a`.
    step: [usize; 3],
    add: bool,
}

impl Tile {
    /// # Safety
    /// Rows `row..row + M` of `out` and `a`, `n_inner` inner indices of `a` and `b`, and N vectors
    /// in each row of `out` and `b` and in `row` must exist.
    #[inline(always)]
    unsafe fn compute<S: Simd, const M: usize, const N: usize>(self, simd: S, row: usize) {
        let lanes = lanes::<S>();
        let [wide, row_step, inner_step] = self.step;
        let mut sum = [[simd.splat_f32s(0.0); N]; M];
        // SAFETY: the caller guarantees it.
        unsafe {
            let a = self.a.add(row * row_step);
            for p in 0..self.n_inner {
                let b: [S::f32s; N] =
                    std::array::from_fn(|j| load::<S>(self.b.add(p * wide + j * lanes)));
                for (i, sum) in sum.iter_mut().enumerate() {
                    let a = simd.splat_f32s(*a.add(i * row_step + p * inner_step));
                    for (sum, b) in sum.iter_mut().zip(b) {
                        *sum = multiply_add(simd, a, b, *sum);
                    }
                }
            }
            for (i, sum) in sum.into_iter().enumerate() {
                for (j, sum) in sum.into_iter().enumerate() {
                    let out = self.out.add((row + i) * wide + j * lanes);
                    let sum = match self.row {
                        _ if self.add => simd.add_f32s(load::<S>(out), sum),
                        Some(row) => simd.add_f32s(sum, load::<S>(row.add(j * lanes))),
                        None => sum,
                    };
                    store::<S>(out, sum);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::simd::padded;
    use super::*;

    fn numbers(n: usize, seed: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 31 + seed) % 23) as f32 / 8.0 - 1.25).collect()
    }

    /// Small multiples of 1/8: all sums are exact.
    fn check(n_row: usize, n_inner: usize, n: usize, turned: bool, add: bool) {
        let n = padded(n);
        let step = if turned { n_row + 3 } else { n_inner + 3 };
        let values = numbers(n_row.max(n_inner) * step, 1);
        let a = if turned {
            Factor::rows(&values, [n_inner, n_row], step).transposed()
        } else {
            Factor::rows(&values, [n_row, n_inner], step)
        };
        let b = numbers(n_inner * n, 5);
        let mut out = vec![2.0; n_row * n];
        product(&mut out, a, &b, n, add);
        for i in 0..n_row {
            for j in 0..n {
                let at = |p| if turned { p * step + i } else { i * step + p };
                let sum: f32 = (0..n_inner).map(|p| values[at(p)] * b[p * n + j]).sum();
                let expected = sum + if add { 2.0 } else { 0.0 };
                let got = out[i * n + j];
                assert!((got - expected).abs() < 1e-6, "{n_row} {n_inner} {n} ({i}, {j}): {got}");
            }
        }
        let row = numbers(n, 9);
        let mut sums = vec![f32::NAN; n_row * n];
        product(&mut sums, a, &b, n, false);
        for sums in sums.chunks_exact_mut(n) {
            sums.iter_mut().zip(&row).for_each(|(sum, x)| *sum += x);
        }
        let mut out = vec![f32::NAN; n_row * n];
        product_and_row(&mut out, a, &b, &row, n, [&b, &values]);
        assert_eq!(out, sums, "{n_row} {n_inner} {n} and a row");
    }

    #[test]
    fn products_of_every_shape() {
        for n_row in [0, 1, 2, 5, 6, 7, 15] {
            for n_inner in [0, 1, 20, SLICE, SLICE + 1] {
                for n in [1, 16, 33, 64, 100, 160] {
                    check(n_row, n_inner, n, false, n_inner % 2 == 0);
                    check(n_row, n_inner, n, true, n_inner % 2 == 1);
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "3 rows of 4")]
    fn a_factor_that_is_too_short_is_refused() {
        let _ = Factor::rows(&[0.0; 11], [3, 4], 4);
    }
}
