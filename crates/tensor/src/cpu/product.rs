//! Matrix products by the gemm crate.

#![allow(unsafe_code, reason = "gemm takes pointers")]

use std::mem::MaybeUninit;
use std::ops::Range;

use super::out::{Out, written, zeroed};

/// Inner indices per call: gemm splits longer sums depending on the shape of the whole product.
const INNER: usize = 512;
/// With fewer inner indices or rows, gemm uses other kernels, which round or initialise
/// differently.
const MIN_INNER: usize = 3;
const MIN_ROW: usize = 2;

/// A matrix in memory: element (i, j) at `i * row_step + j * column_step`.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    values: &'a [f32],
    n_row: usize,
    n_column: usize,
    row_step: usize,
    column_step: usize,
    /// Whether it is stored in column-major order. Strides are ambiguous for a single column:
    /// treated as a row it would be summed by gemm's kernels for contiguous numbers, whose tail
    /// depends on the length if vectors have no masks (NEON).
    is_turned: bool,
}

impl<'a> View<'a> {
    pub(super) fn new(values: &'a [f32], n_row: usize, n_column: usize) -> Self {
        assert_eq!(values.len(), n_row * n_column, "a matrix of {n_row} x {n_column}");
        Self { values, n_row, n_column, row_step: n_column, column_step: 1, is_turned: false }
    }

    pub(super) fn transposed(self) -> Self {
        let Self { values, n_row, n_column, row_step, column_step, is_turned } = self;
        Self {
            values,
            n_row: n_column,
            n_column: n_row,
            row_step: column_step,
            column_step: row_step,
            is_turned: !is_turned,
        }
    }

    pub(super) fn rows(self, rows: Range<usize>) -> Self {
        assert!(rows.end <= self.n_row, "rows that exist");
        let values = &self.values[(rows.start * self.row_step).min(self.values.len())..];
        Self { values, n_row: rows.len(), ..self }
    }

    /// The same with trailing zeros, with the numbers in the same order in memory.
    fn with_zeros(self, [n_row, n_column]: [usize; 2], values: &mut Vec<f32>) -> View<'_> {
        let [row_step, column_step] = if self.is_turned { [1, n_row] } else { [n_column, 1] };
        values.resize(n_row * n_column, 0.0);
        for i in 0..self.n_row {
            for j in 0..self.n_column {
                values[i * row_step + j * column_step] =
                    self.values[i * self.row_step + j * self.column_step];
            }
        }
        View { values, n_row, n_column, row_step, column_step, is_turned: self.is_turned }
    }
}

/// `out = a b`, or `out += a b`; `out` is row-major. Single-threaded: the caller partitions the
/// work, in a way that does not depend on the number of threads.
///
/// A row of `out` does not depend on the number of rows, nor any number on zeros after the inner
/// indices: gemm's choice of kernels follows from the rest of the shape, if `b` is row-major and no
/// product with a single column has more than 256 rows.
pub(super) fn product(out: &mut [f32], a: View<'_>, b: View<'_>, add: bool) {
    let (m, n, k) = (a.n_row, b.n_column, a.n_column);
    assert_eq!(k, b.n_row, "inner lengths of a product");
    assert_eq!(out.len(), m * n, "a product of {m} x {n}");
    if k == 0 && !add {
        out.fill(0.0);
    }
    for first in (0..k).step_by(INNER) {
        let (a, b) = part(a, b, first);
        add_part(out, a, b, add || first > 0);
    }
}

/// Adds `a b` to accumulators, or writes it to new memory, with the same bits as [`product`].
pub(super) fn product_into<'o>(out: Out<'o>, a: View<'_>, b: View<'_>) -> &'o mut [f32] {
    match out {
        Out::Sums(sums) => {
            product(sums, a, b, true);
            sums
        }
        Out::New(room) => new_product(room, a, b),
    }
}

fn new_product<'o>(room: &'o mut [MaybeUninit<f32>], a: View<'_>, b: View<'_>) -> &'o mut [f32] {
    let (m, n, k) = (a.n_row, b.n_column, a.n_column);
    assert_eq!(k, b.n_row, "inner lengths of a product");
    assert_eq!(room.len(), m * n, "a product of {m} x {n}");
    if m < MIN_ROW || k < MIN_INNER {
        let out = zeroed(room);
        product(out, a, b, false);
        return out;
    }
    let (first_a, first_b) = part(a, b, 0);
    // SAFETY: `room` is mutably borrowed memory for m * n numbers. For a sum over at least
    // MIN_INNER >= 1 indices gemm writes every number, and reads none before.
    let out = unsafe {
        multiply(room.as_mut_ptr().cast(), first_a, first_b, false);
        written(room)
    };
    for first in (INNER..k).step_by(INNER) {
        let (a, b) = part(a, b, first);
        add_part(out, a, b, true);
    }
    out
}

/// The part of the factors for one call, with inner indices from `first` on.
fn part<'a, 'b>(a: View<'a>, b: View<'b>, first: usize) -> (View<'a>, View<'b>) {
    let inner = first..(first + INNER).min(a.n_column);
    (a.transposed().rows(inner.clone()).transposed(), b.rows(inner))
}

/// The same for at most [`INNER`] inner indices.
fn add_part(out: &mut [f32], a: View<'_>, b: View<'_>, add: bool) {
    let [m, k] = [a.n_row.max(MIN_ROW), a.n_column.max(MIN_INNER)];
    if [m, k] == [a.n_row, a.n_column] {
        return multiply_into(out, a, b, add);
    }
    let (mut of_a, mut of_b, mut rows) = (Vec::new(), Vec::new(), out.to_vec());
    rows.resize(m * b.n_column, 0.0);
    let b = b.with_zeros([k, b.n_column], &mut of_b);
    multiply_into(&mut rows, a.with_zeros([m, k], &mut of_a), b, add);
    out.copy_from_slice(&rows[..out.len()]);
}

fn multiply_into(out: &mut [f32], a: View<'_>, b: View<'_>, add: bool) {
    assert_eq!(out.len(), a.n_row * b.n_column, "room for the product");
    // SAFETY: `out` is mutably borrowed and holds as many numbers as the product.
    unsafe { multiply(out.as_mut_ptr(), a, b, add) }
}

/// # Safety
/// There must be exclusive memory at `out` for as many numbers as the product has, initialised if
/// `add`.
unsafe fn multiply(out: *mut f32, a: View<'_>, b: View<'_>, add: bool) {
    let (m, n, k) = (a.n_row, b.n_column, a.n_column);
    // SAFETY: all elements that gemm reads, (i, j) of `a` below (m, k) and of `b` below (k, n), lie
    // in their slices, because a `View` is made from a slice of exactly its size and only
    // transposed or cut. For `out` the caller guarantees it.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out,
            1,
            n.cast_signed(),
            add,
            a.values.as_ptr(),
            a.column_step.cast_signed(),
            a.row_step.cast_signed(),
            b.values.as_ptr(),
            b.column_step.cast_signed(),
            b.row_step.cast_signed(),
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_turned_and_cut_matrices() {
        let a: Vec<f32> = (0..12_u8).map(f32::from).collect();
        let b: Vec<f32> = (0..8_u8).map(|i| f32::from(i) - 3.0).collect();
        let (a, b) = (View::new(&a, 4, 3), View::new(&b, 4, 2));
        let mut out = vec![1.0; 6];
        product(&mut out, a.transposed(), b, true);
        let mut expected = Vec::new();
        for i in 0..3 {
            for j in 0..2 {
                let sum: f32 = (0..4).map(|k| a.values[3 * k + i] * b.values[2 * k + j]).sum();
                expected.push(1.0 + sum);
            }
        }
        assert_eq!(out, expected);
        let mut part = vec![f32::NAN; 2];
        product(&mut part, a.transposed().rows(1..2), b, false);
        assert_eq!(part, [out[2] - 1.0, out[3] - 1.0]);
    }
}
