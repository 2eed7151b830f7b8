//! cuBLAS's handle, and the precision that it multiplies in.

use std::sync::Arc;

use batchlab_core::model::Precision;
use cudarc::cublas::{CudaBlas, sys};
use cudarc::driver::CudaDevice;

use super::error::Error;

/// A handle on dfdx's stream.
pub(super) struct Blas {
    library: CudaBlas,
    /// That products are made in until another is asked for.
    precision: Precision,
}

impl Blas {
    pub(super) fn new(device: &Arc<CudaDevice>) -> Result<Self, Error> {
        let library = CudaBlas::new(Arc::clone(device)).map_err(Error::blas("start"))?;
        let mut blas = Self { library, precision: Precision::Tf32 };
        // Not left to the library's own choice.
        blas.handle(Precision::F32)?;
        Ok(blas)
    }

    /// The handle, for products in this precision.
    #[allow(unsafe_code, reason = "calls of cuBLAS that cudarc does not wrap")]
    pub(super) fn handle(&mut self, precision: Precision) -> Result<sys::cublasHandle_t, Error> {
        let handle = *self.library.handle();
        if self.precision != precision {
            let mode = match precision {
                Precision::F32 => sys::cublasMath_t::CUBLAS_DEFAULT_MATH,
                Precision::Tf32 => sys::cublasMath_t::CUBLAS_TF32_TENSOR_OP_MATH,
            };
            // SAFETY: the handle exists as long as `self`, which alone uses it meanwhile.
            unsafe { sys::cublasSetMathMode(handle, mode) }
                .result()
                .map_err(Error::blas("choose the precision of products"))?;
            self.precision = precision;
        }
        Ok(handle)
    }
}
