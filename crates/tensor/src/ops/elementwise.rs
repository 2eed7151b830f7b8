//! Sums and products, element by element and row by row.

use batchlab_core::ModelError;

use crate::matrix::engine;
use crate::{Backend, Matrix, Pass};

impl<D: Backend> Pass<'_, D> {
    /// `a + b`, for example a residual connection.
    pub fn add(&mut self, a: &Matrix<D>, b: &Matrix<D>) -> Result<Matrix<D>, ModelError> {
        assert_eq!(a.shape(), b.shape(), "sum of two matrices");
        let result = self.device().add(a.tensor(), b.tensor()).map_err(engine)?;
        let tracked = [a.is_tracked(), b.is_tracked()];
        let (of_a, of_b) = (a.tensor().ghost(), b.tensor().ghost());
        Ok(self.record(result, tracked.contains(&true), move |device, gradients, dy| {
            if tracked[0] {
                device.accumulate(gradients.get_or_alloc_mut(&of_a)?, dy)?;
            }
            if tracked[1] {
                device.accumulate(gradients.get_or_alloc_mut(&of_b)?, dy)?;
            }
            Ok(())
        }))
    }

    /// `row` `[1, width]` added to every row of `x` `[n_row, width]`, for example a bias.
    pub fn add_row(&mut self, x: &Matrix<D>, row: &Matrix<D>) -> Result<Matrix<D>, ModelError> {
        assert_eq!(row.shape(), [1, x.n_column()], "one number per column");
        let result = self.device().add_row(x.tensor(), row.tensor()).map_err(engine)?;
        let tracked = [x.is_tracked(), row.is_tracked()];
        let (of_x, of_row) = (x.tensor().ghost(), row.tensor().ghost());
        Ok(self.record(result, tracked.contains(&true), move |device, gradients, dy| {
            if tracked[1] {
                device.add_row_backward(gradients.get_or_alloc_mut(&of_row)?, dy)?;
            }
            if tracked[0] {
                device.accumulate(gradients.get_or_alloc_mut(&of_x)?, dy)?;
            }
            Ok(())
        }))
    }

    /// `a * b`, element by element.
    pub fn multiply(&mut self, a: &Matrix<D>, b: &Matrix<D>) -> Result<Matrix<D>, ModelError> {
        assert_eq!(a.shape(), b.shape(), "product of two matrices");
        let result = self.device().multiply(a.tensor(), b.tensor()).map_err(engine)?;
        let tracked = [a.is_tracked(), b.is_tracked()];
        let (a, b) = (a.tensor().clone(), b.tensor().clone());
        Ok(self.record(result, tracked.contains(&true), move |device, gradients, dy| {
            if tracked[0] {
                device.accumulate_product(gradients.get_or_alloc_mut(&a)?, dy, &b)?;
            }
            if tracked[1] {
                device.accumulate_product(gradients.get_or_alloc_mut(&b)?, dy, &a)?;
            }
            Ok(())
        }))
    }

    /// Row i of `x` times `factor[i]`, for example by a cutoff or by the weight of an edge.
    /// `x` `[n_row, width]`, `factor` `[n_row, 1]`.
    pub fn scale_rows(
        &mut self,
        x: &Matrix<D>,
        factor: &Matrix<D>,
    ) -> Result<Matrix<D>, ModelError> {
        assert_eq!(factor.shape(), [x.n_row(), 1], "one factor per row");
        let result = self.device().scale_rows(x.tensor(), factor.tensor()).map_err(engine)?;
        let tracked = [x.is_tracked(), factor.is_tracked()];
        let (x, factor) = (x.tensor().clone(), factor.tensor().clone());
        Ok(self.record(result, tracked.contains(&true), move |device, gradients, dy| {
            if tracked[0] {
                let dx = gradients.get_or_alloc_mut(&x)?;
                device.scale_rows_backward(Some(dx), None, dy, &x, &factor)?;
            }
            if tracked[1] {
                let dfactor = gradients.get_or_alloc_mut(&factor)?;
                device.scale_rows_backward(None, Some(dfactor), dy, &x, &factor)?;
            }
            Ok(())
        }))
    }
}
