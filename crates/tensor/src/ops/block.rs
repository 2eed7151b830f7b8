//! Submatrices, such as the rows of a weight that belong to one of its inputs.

use std::ops::Range;

use batchlab_core::ModelError;

use crate::backend::kernels;
use crate::matrix::engine;
use crate::{Backend, Buffer, Dense, Matrix, Pass};

impl<D: Backend> Pass<'_, D> {
    /// A copy of some rows of `x`.
    ///
    /// With the rows of a weight, a layer on concatenated inputs is a sum of layers, `[a; b] W = a
    /// W_a + b W_b`, each of which runs where its input lives: the part of nodes is computed once
    /// per node instead of once per edge.
    pub fn rows(&mut self, x: &Matrix<D>, rows: Range<usize>) -> Result<Matrix<D>, ModelError> {
        self.block(x, rows, 0..x.n_column())
    }

    /// A copy of some columns of `x`.
    pub fn columns(
        &mut self,
        x: &Matrix<D>,
        columns: Range<usize>,
    ) -> Result<Matrix<D>, ModelError> {
        self.block(x, 0..x.n_row(), columns)
    }

    fn block(
        &mut self,
        x: &Matrix<D>,
        rows: Range<usize>,
        columns: Range<usize>,
    ) -> Result<Matrix<D>, ModelError> {
        let whole = x.shape();
        let [n_row, n_column] = whole;
        assert!(rows.start <= rows.end && rows.end <= n_row, "rows {rows:?} of {n_row}");
        assert!(
            columns.start <= columns.end && columns.end <= n_column,
            "columns {columns:?} of {n_column}"
        );
        let shape = [rows.len(), columns.len()];
        let result = self.device().block(x.tensor(), &rows, &columns, shape).map_err(engine)?;
        let of_x = x.gradient();
        Ok(self.record(result, x.is_tracked(), move |device, dy| {
            device.block_backward(&mut *of_x.sum(device)?, &dy, whole, &rows, &columns)
        }))
    }
}

kernels! {
    /// Kernels of submatrices.
    pub trait BlockKernels;

    /// A copy of some columns of some rows, as a matrix of `shape` with the same number of
    /// elements.
    fn block(
        x: &Dense<Self>, rows: &Range<usize>, columns: &Range<usize>, shape: [usize; 2]
    ) -> Dense<Self>;
    /// The gradient of `block`, for a matrix of the shape `whole`.
    fn block_backward(
        dx: &mut Buffer<Self>, dy: &Buffer<Self>, whole: [usize; 2], rows: &Range<usize>,
        columns: &Range<usize>
    ) -> ();
}
