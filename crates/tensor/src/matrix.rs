//! The matrix type of all operations.

use std::cell::Cell;

use batchlab_core::ModelError;
use dfdx::prelude::*;

use crate::gradient::Gradient;
use crate::{Dense, DeviceMemory};

/// A row-major matrix `[n_row, n_column]` on the device. Cloning is cheap.
///
/// It knows whether it depends on a parameter. Otherwise, as for distances, nothing is recorded and
/// no gradient is computed.
#[derive(Debug, Clone)]
pub struct Matrix<D: DeviceMemory> {
    tensor: Dense<D>,
    tracked: bool,
    gradient: Gradient<D>,
}

impl<D: DeviceMemory> Matrix<D> {
    /// Values from the host, without gradient.
    pub fn constant(
        device: &D,
        values: Vec<f32>,
        [n_row, n_column]: [usize; 2],
    ) -> Result<Self, ModelError> {
        count_copy();
        let tensor = device.try_tensor_from_vec(values, (n_row, n_column)).map_err(engine)?;
        Ok(Self::from_kernel(tensor, false))
    }

    /// Zeros without gradient; nothing is copied.
    pub fn zeros(device: &D, shape: [usize; 2]) -> Result<Self, ModelError> {
        Ok(Self::from_kernel(device.zero_matrix(shape).map_err(engine)?, false))
    }

    /// Wraps a dfdx tensor; `tracked` if it depends on a parameter. Gradients belong to the matrix:
    /// to reuse an existing one, clone the matrix and not its tensor.
    ///
    /// # Errors
    /// If the tensor is not contiguous (transposed, broadcast or sliced).
    pub fn new(tensor: Dense<D>, tracked: bool) -> Result<Self, ModelError> {
        if D::is_contiguous(&tensor) {
            Ok(Self::from_kernel(tensor, tracked))
        } else {
            Err(ModelError::Engine(
                "a transposed, broadcast or sliced tensor must be copied into a contiguous one \
                 first, for example by adding zeros"
                    .into(),
            ))
        }
    }

    /// Wraps a tensor just created by a kernel, and therefore contiguous.
    pub(crate) fn from_kernel(tensor: Dense<D>, tracked: bool) -> Self {
        let (n_row, n_column) = *tensor.shape();
        Self { tensor, tracked, gradient: Gradient::new(n_row * n_column) }
    }

    /// The underlying dfdx tensor.
    pub fn tensor(&self) -> &Dense<D> {
        &self.tensor
    }

    /// Unwraps the dfdx tensor.
    pub(crate) fn into_tensor(self) -> Dense<D> {
        self.tensor
    }

    /// Whether gradients flow through this matrix.
    pub fn is_tracked(&self) -> bool {
        self.tracked
    }

    /// The accumulator of its gradient.
    pub(crate) fn gradient(&self) -> Gradient<D> {
        self.gradient.clone()
    }

    /// Number of rows.
    pub fn n_row(&self) -> usize {
        self.tensor.shape().0
    }

    /// Number of columns.
    pub fn n_column(&self) -> usize {
        self.tensor.shape().1
    }

    /// `[n_row, n_column]`.
    pub fn shape(&self) -> [usize; 2] {
        [self.n_row(), self.n_column()]
    }

    /// A copy of the values on the host, in row-major order.
    pub fn to_vec(&self) -> Vec<f32> {
        count_copy();
        let mut values = vec![0.0; self.n_row() * self.n_column()];
        self.tensor.copy_into(&mut values);
        values
    }
}

thread_local! {
    static N_COPY: Cell<u64> = const { Cell::new(0) };
}

/// Number of matrices of this thread copied individually from or to the host. Work with such copies
/// cannot be recorded.
pub(crate) fn n_copy() -> u64 {
    N_COPY.get()
}

fn count_copy() {
    N_COPY.set(N_COPY.get() + 1);
}

/// Wraps an error of the device.
#[allow(clippy::needless_pass_by_value, reason = "used as map_err(engine)")]
pub(crate) fn engine(error: impl std::fmt::Display) -> ModelError {
    #[cfg(feature = "cuda")]
    if let Some(explanation) = crate::cuda::error::take_explanation() {
        return crate::cuda::error::of_model(explanation);
    }
    #[cfg(feature = "cuda")]
    return crate::cuda::error::of_model(error.to_string());
    #[cfg(not(feature = "cuda"))]
    ModelError::Engine(error.to_string())
}
