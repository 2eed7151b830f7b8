//! Products of matrices, by the crate gemm.

#![allow(unsafe_code, reason = "gemm takes pointers")]

/// A matrix in memory: element (i, j) at `i * row_step + j * column_step`.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    values: &'a [f32],
    n_row: usize,
    n_column: usize,
    row_step: usize,
    column_step: usize,
}

impl<'a> View<'a> {
    pub(super) fn new(values: &'a [f32], n_row: usize, n_column: usize) -> Self {
        assert_eq!(values.len(), n_row * n_column, "a matrix of {n_row} x {n_column}");
        Self { values, n_row, n_column, row_step: n_column, column_step: 1 }
    }

    pub(super) fn transposed(self) -> Self {
        let Self { values, n_row, n_column, row_step, column_step } = self;
        Self {
            values,
            n_row: n_column,
            n_column: n_row,
            row_step: column_step,
            column_step: row_step,
        }
    }

    pub(super) fn rows(self, first: usize, n_row: usize) -> Self {
        assert!(first + n_row <= self.n_row, "rows that exist");
        let values = &self.values[(first * self.row_step).min(self.values.len())..];
        Self { values, n_row, ..self }
    }
}

/// `out = a b`, or `out += a b`; `out` is row-major. One thread: the caller divides the work, in a
/// way that does not depend on the number of threads.
pub(super) fn product(out: &mut [f32], a: View<'_>, b: View<'_>, add: bool) {
    let (m, n, k) = (a.n_row, b.n_column, a.n_column);
    assert_eq!(k, b.n_row, "inner lengths of a product");
    assert_eq!(out.len(), m * n, "a product of {m} x {n}");
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 {
        if !add {
            out.fill(0.0);
        }
        return;
    }
    // SAFETY: all elements that gemm reads, (i, j) of `a` below (m, k) and of `b` below (k, n), lie
    // in their slices, because a `View` is made from a slice of exactly its size and only turned
    // or cut by rows; `out` is a slice of m * n elements borrowed for writing, so it overlaps with
    // neither.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
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
        product(&mut part, a.transposed().rows(1, 1), b, false);
        assert_eq!(part, [out[2] - 1.0, out[3] - 1.0]);
    }
}
