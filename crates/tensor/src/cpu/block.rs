//! Parts of a matrix.

use std::ops::Range;

use super::elementwise::add_to;
use super::out::Out;
use super::rows::parallel;

/// Copies columns `columns` of the rows from `first_row` on; `x` has `n_column` columns.
pub(super) fn copy<'o>(
    out: Out<'o>,
    x: &[f32],
    n_column: usize,
    first_row: usize,
    columns: &Range<usize>,
) -> &'o mut [f32] {
    let width = columns.len();
    out.rows(width, |first, rows| {
        for (row, out) in rows.chunks_exact_mut(width).enumerate() {
            let start = (first_row + first + row) * n_column + columns.start;
            out.copy_from_slice(&x[start..start + width]);
        }
    })
}

/// Adds to those columns of those rows of `dx`.
pub(super) fn add(
    dx: &mut [f32],
    dy: &[f32],
    n_column: usize,
    rows: &Range<usize>,
    columns: &Range<usize>,
) {
    let width = columns.len();
    let dx = &mut dx[rows.start * n_column..rows.end * n_column];
    parallel(dx, n_column, |first, rows| {
        for (row, dx) in rows.chunks_exact_mut(n_column).enumerate() {
            let start = (first + row) * width;
            add_to(&mut dx[columns.clone()], &dy[start..start + width]);
        }
    });
}
