//! Sums and products of two matrices of the same shape.

use batchlab_core::ModelError;

use crate::matrix::engine;
use crate::{Backend, Matrix, Pass};

impl<D: Backend> Pass<'_, D> {
    /// `a + b`, for example a residual connection.
    ///
    /// # Errors
    /// A device that fails.
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

    /// `a * b`, element by element.
    ///
    /// # Errors
    /// A device that fails.
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
}
