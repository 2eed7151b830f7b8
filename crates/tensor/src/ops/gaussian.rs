//! Distances as smooth one-hot vectors.

use batchlab_core::ModelError;

use crate::matrix::engine;
use crate::{Backend, Matrix, Pass};

/// Gaussians with equally spaced centres: `exp(-coefficient (d - first - k spacing)^2)` for k below
/// `n`, all lengths in angstrom.
///
/// Values below 1e-12 are 0: they do not change a sum of numbers near 1, and arithmetic with the
/// denormal numbers that they become in a product is many times slower.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GaussianBasis {
    /// Number of Gaussians.
    pub n: usize,
    /// Centre of the first.
    pub first: f32,
    /// Distance between two centres.
    pub spacing: f32,
    /// 1 / (2 sigma^2), per square angstrom.
    pub coefficient: f32,
}

impl<D: Backend> Pass<'_, D> {
    /// Expands distances `[n_edge, 1]` in Gaussians, `[n_edge, n]`. No gradient flows back to the
    /// distances.
    pub fn gaussians(
        &mut self,
        distance: &Matrix<D>,
        basis: &GaussianBasis,
    ) -> Result<Matrix<D>, ModelError> {
        assert_eq!(distance.n_column(), 1, "one distance per edge");
        let result = self.device().gaussians(distance.tensor(), basis).map_err(engine)?;
        Ok(Matrix::from_kernel(result, false))
    }
}
