//! Dot products of rows, per head.

#![allow(unsafe_code, reason = "vectors are loaded through pointers")]
#![allow(clippy::inline_always, reason = "these take on the processor features of the loop")]

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::elementwise::add_to;
use super::rows::parallel;
use super::simd::{lanes, load, multiply_add, vectorised};
use super::wide::wide;

/// Writes to `out[i, head]` the dot product of the head's columns of row `rows[0][i]` of `x[0]` and
/// row `rows[1][i]` of `x[1]`.
pub(super) fn dots(
    out: &mut [f32],
    x: [&[f32]; 2],
    rows: [&[u32]; 2],
    [n_head, width]: [usize; 2],
) {
    vectorised(Listed { out, x, rows, n_head, width });
}

/// Adds the same for rows in order.
pub(super) fn add_dots(out: &mut [f32], a: &[f32], b: &[f32], [n_head, width]: [usize; 2]) {
    parallel(out, n_head, |first, out| {
        let from = first * n_head * width;
        let range = from..from + out.len() * width;
        vectorised(InOrder { out, a: &a[range.clone()], b: &b[range], n_head, width });
    });
}

/// The dot product of each head's columns with the weights of that head: `x` `[n_row, n_head *
/// width]`, `weight` `[n_head, width]`, `out` `[n_row, n_head]`.
pub(super) fn head_scores(out: &mut [f32], x: &[f32], weight: &[f32], n_head: usize) {
    let width = weight.len() / n_head.max(1);
    parallel(out, n_head, |first, out| {
        let from = first * n_head * width;
        let x = &x[from..from + out.len() * width];
        vectorised(InOrder { out, a: x, b: weight, n_head, width });
    });
}

/// Number of rows whose products are summed before they are added to the gradient of the weights.
const GROUP: usize = 256;

/// Adds the gradients of [`head_scores`].
pub(super) fn head_scores_backward(
    dx: &mut [f32],
    dweight: &mut [f32],
    dy: &[f32],
    x: &[f32],
    weight: &[f32],
    n_head: usize,
) {
    let n_column = weight.len();
    if n_column == 0 {
        return;
    }
    let n_group = (dy.len() / n_head).div_ceil(GROUP);
    let mut sums = vec![0.0; n_group * n_column];
    let groups = dx.par_chunks_mut(GROUP * n_column).zip(sums.par_chunks_mut(n_column));
    let from = x.par_chunks(GROUP * n_column).zip(dy.par_chunks(GROUP * n_head));
    groups.zip(from).for_each(|((dx, sum), (x, dy))| add_outer(dx, sum, dy, x, weight, n_head));
    // Groups are counted from the first row and added in order, so padding after the real rows does
    // not change a bit.
    sums.chunks_exact(n_column).for_each(|sum| add_to(dweight, sum));
}

wide! {
    fn add_outer(
        dx: &mut [f32],
        dweight: &mut [f32],
        dy: &[f32],
        x: &[f32],
        weight: &[f32],
        n_head: usize,
    ) {
        let n_column = weight.len();
        let width = n_column / n_head;
        let rows = dx.chunks_exact_mut(n_column).zip(x.chunks_exact(n_column));
        for ((dx, x), dy) in rows.zip(dy.chunks_exact(n_head)) {
            let heads = dx.chunks_exact_mut(width).zip(x.chunks_exact(width));
            let weights = dweight.chunks_exact_mut(width).zip(weight.chunks_exact(width));
            for (((dx, x), (dweight, weight)), &dy) in heads.zip(weights).zip(dy) {
                for (dx, w) in dx.iter_mut().zip(weight) {
                    *dx += dy * w;
                }
                for (dw, x) in dweight.iter_mut().zip(x) {
                    *dw += dy * x;
                }
            }
        }
    }
}

struct Listed<'a> {
    out: &'a mut [f32],
    x: [&'a [f32]; 2],
    rows: [&'a [u32]; 2],
    n_head: usize,
    width: usize,
}

impl WithSimd for Listed<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { out, x, rows, n_head, width } = self;
        let ends = rows[0].iter().zip(rows[1]);
        for (out, (&a, &b)) in out.chunks_exact_mut(n_head).zip(ends) {
            for (head, out) in out.iter_mut().enumerate() {
                let start = |node: u32| (node as usize * n_head + head) * width;
                *out = dot(simd, &x[0][start(a)..][..width], &x[1][start(b)..][..width]);
            }
        }
    }
}

struct InOrder<'a> {
    out: &'a mut [f32],
    a: &'a [f32],
    /// As long as `a`, or a single row that is paired with every row.
    b: &'a [f32],
    n_head: usize,
    width: usize,
}

impl WithSimd for InOrder<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { out, a, b, n_head, width } = self;
        if width == 0 {
            return;
        }
        let is_one_row = b.len() == n_head * width;
        for (i, (out, a)) in out.iter_mut().zip(a.chunks_exact(width)).enumerate() {
            let row = if is_one_row { i % n_head } else { i };
            *out += dot(simd, a, &b[row * width..(row + 1) * width]);
        }
    }
}

/// The dot product, with four accumulators per vector lane.
#[inline(always)]
fn dot<S: Simd>(simd: S, a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "rows of equal length");
    let lanes = lanes::<S>();
    let mut sums = [simd.splat_f32s(0.0); 4];
    let mut at = 0;
    while at + 4 * lanes <= a.len() {
        for (j, sum) in sums.iter_mut().enumerate() {
            // SAFETY: at + 4 vectors end within both rows, which have the same length.
            let [x, y] = [a, b].map(|row| unsafe { load::<S>(row.as_ptr().add(at + j * lanes)) });
            *sum = multiply_add(simd, x, y, *sum);
        }
        at += 4 * lanes;
    }
    while at + lanes <= a.len() {
        // SAFETY: a vector from `at` ends within both rows.
        let [x, y] = [a, b].map(|row| unsafe { load::<S>(row.as_ptr().add(at)) });
        sums[0] = multiply_add(simd, x, y, sums[0]);
        at += lanes;
    }
    let [p, q, r, s] = sums;
    let sum = simd.reduce_sum_f32s(simd.add_f32s(simd.add_f32s(p, q), simd.add_f32s(r, s)));
    sum + a[at..].iter().zip(&b[at..]).map(|(a, b)| a * b).sum::<f32>()
}
