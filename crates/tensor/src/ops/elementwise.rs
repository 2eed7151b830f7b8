//! Sums and products, elementwise and row by row.

use batchlab_core::ModelError;

use crate::backend::kernels;
use crate::matrix::engine;
use crate::{Backend, Buffer, Dense, Matrix, Pass};

impl<D: Backend> Pass<'_, D> {
    /// `a + b`, for example a residual connection.
    pub fn add(&mut self, a: &Matrix<D>, b: &Matrix<D>) -> Result<Matrix<D>, ModelError> {
        assert_eq!(a.shape(), b.shape(), "sum of two matrices");
        let result = self.device().add(a.tensor(), b.tensor()).map_err(engine)?;
        let tracked = [a.is_tracked(), b.is_tracked()];
        let (of_a, of_b) = (a.gradient(), b.gradient());
        Ok(self.record(result, tracked.contains(&true), move |device, dy| {
            if !tracked[1] {
                return of_a.add(device, dy);
            }
            if tracked[0] {
                device.accumulate(&mut *of_a.sum(device)?, &dy)?;
            }
            of_b.add(device, dy)
        }))
    }

    /// Adds `row` `[1, width]` to every row of `x` `[n_row, width]`, for example a bias.
    pub fn add_row(&mut self, x: &Matrix<D>, row: &Matrix<D>) -> Result<Matrix<D>, ModelError> {
        assert_eq!(row.shape(), [1, x.n_column()], "one number per column");
        let result = self.device().add_row(x.tensor(), row.tensor()).map_err(engine)?;
        let tracked = [x.is_tracked(), row.is_tracked()];
        let (of_x, of_row) = (x.gradient(), row.gradient());
        Ok(self.record(result, tracked.contains(&true), move |device, dy| {
            if tracked[1] {
                device.add_row_backward(&mut *of_row.sum_from_zeros(device)?, &dy)?;
            }
            if tracked[0] { of_x.add(device, dy) } else { Ok(()) }
        }))
    }

    /// `a * b`, elementwise.
    pub fn multiply(&mut self, a: &Matrix<D>, b: &Matrix<D>) -> Result<Matrix<D>, ModelError> {
        assert_eq!(a.shape(), b.shape(), "product of two matrices");
        let result = self.device().multiply(a.tensor(), b.tensor()).map_err(engine)?;
        let tracked = [a.is_tracked(), b.is_tracked()];
        let (of_a, of_b) = (a.gradient(), b.gradient());
        let (a, b) = (a.tensor().clone(), b.tensor().clone());
        Ok(self.record(result, tracked.contains(&true), move |device, dy| {
            if tracked[0] {
                device.accumulate_product(&mut *of_a.sum(device)?, &dy, &b)?;
            }
            if tracked[1] {
                device.accumulate_product(&mut *of_b.sum(device)?, &dy, &a)?;
            }
            Ok(())
        }))
    }

    /// Row i of `x` times `factor[i]`, for example a cutoff or an edge weight. `x` `[n_row,
    /// width]`, `factor` `[n_row, 1]`.
    pub fn scale_rows(
        &mut self,
        x: &Matrix<D>,
        factor: &Matrix<D>,
    ) -> Result<Matrix<D>, ModelError> {
        assert_eq!(factor.shape(), [x.n_row(), 1], "one factor per row");
        let result = self.device().scale_rows(x.tensor(), factor.tensor()).map_err(engine)?;
        let tracked = [x.is_tracked(), factor.is_tracked()];
        let (of_x, of_factor) = (x.gradient(), factor.gradient());
        let (x, factor) = (x.tensor().clone(), factor.tensor().clone());
        Ok(self.record(result, tracked.contains(&true), move |device, dy| {
            if tracked[0] {
                let mut dx = of_x.sum(device)?;
                device.scale_rows_backward(Some(&mut dx), None, &dy, &x, &factor)?;
            }
            if tracked[1] {
                let mut dfactor = of_factor.sum(device)?;
                device.scale_rows_backward(None, Some(&mut dfactor), &dy, &x, &factor)?;
            }
            Ok(())
        }))
    }
}

kernels! {
    /// Kernels of sums and products.
    pub trait ElementwiseKernels;

    /// Sum of two matrices.
    fn add(a: &Dense<Self>, b: &Dense<Self>) -> Dense<Self>;
    /// Elementwise product of two matrices.
    fn multiply(a: &Dense<Self>, b: &Dense<Self>) -> Dense<Self>;
    /// `da += dy`.
    fn accumulate(da: &mut Buffer<Self>, dy: &Buffer<Self>) -> ();
    /// `da += dy * b`.
    fn accumulate_product(da: &mut Buffer<Self>, dy: &Buffer<Self>, b: &Dense<Self>) -> ();
    /// Row i of `x` times `factor[i]`; `factor` `[n_row, 1]`.
    fn scale_rows(x: &Dense<Self>, factor: &Dense<Self>) -> Dense<Self>;
    /// The needed gradients of `scale_rows`.
    fn scale_rows_backward(
        dx: Option<&mut Buffer<Self>>, dfactor: Option<&mut Buffer<Self>>, dy: &Buffer<Self>,
        x: &Dense<Self>, factor: &Dense<Self>
    ) -> ();
    /// `row` `[1, width]` added to each row of `x`.
    fn add_row(x: &Dense<Self>, row: &Dense<Self>) -> Dense<Self>;
    /// The gradient of `add_row` with respect to the row: the column sums of `dy`.
    fn add_row_backward(drow: &mut Buffer<Self>, dy: &Buffer<Self>) -> ();
}
