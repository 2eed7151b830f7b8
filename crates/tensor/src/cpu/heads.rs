//! Means over heads, and rows that are added to all rows.

use super::rows::parallel;
use super::wide::wide;

/// The mean over the heads of each row: `[n_row, n_head * width]` to `[n_row, width]`.
pub(super) fn mean(out: &mut [f32], x: &[f32], n_head: usize, width: usize) {
    parallel(out, width, |first, out| {
        add_means(out, &x[first * n_head * width..], n_head, width);
    });
}

/// Adds the gradient of [`mean`].
pub(super) fn mean_backward(dx: &mut [f32], dy: &[f32], n_head: usize, width: usize) {
    parallel(dx, n_head * width, |first, dx| {
        add_shares(dx, &dy[first * width..], n_head, width);
    });
}

/// `x` and `row`, in every row.
pub(super) fn add_row(out: &mut [f32], x: &[f32], row: &[f32]) {
    let width = row.len();
    parallel(out, width, |first, out| {
        let x = &x[first * width..first * width + out.len()];
        add_row_to_all(out, x, row);
    });
}

wide! {
    fn add_means(out: &mut [f32], x: &[f32], n_head: usize, width: usize) {
        let factor = 1.0 / n_head as f32;
        let rows = out.chunks_exact_mut(width).zip(x.chunks_exact(n_head * width));
        for (out, x) in rows {
            for x in x.chunks_exact(width) {
                for (out, x) in out.iter_mut().zip(x) {
                    *out += x;
                }
            }
            for out in &mut *out {
                *out *= factor;
            }
        }
    }
}

wide! {
    fn add_shares(dx: &mut [f32], dy: &[f32], n_head: usize, width: usize) {
        let factor = 1.0 / n_head as f32;
        let rows = dx.chunks_exact_mut(n_head * width).zip(dy.chunks_exact(width));
        for (dx, dy) in rows {
            for dx in dx.chunks_exact_mut(width) {
                for (dx, dy) in dx.iter_mut().zip(dy) {
                    *dx += factor * dy;
                }
            }
        }
    }
}

wide! {
    fn add_row_to_all(out: &mut [f32], x: &[f32], row: &[f32]) {
        let width = row.len();
        for (out, x) in out.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
            for ((out, x), row) in out.iter_mut().zip(x).zip(row) {
                *out = x + row;
            }
        }
    }
}
