//! cuBLAS's handle, and the precision that it multiplies in.

use std::ffi::c_void;
use std::sync::Arc;

use batchlab_core::model::Precision;
use cudarc::cublas::{CudaBlas, sys};
use cudarc::driver::sys::CUstream;
use cudarc::driver::{CudaDevice, result};

use super::error::Error;

/// Bytes that products may use beside their result: what cuBLAS takes by itself on an H100.
const WORKSPACE: usize = 32 << 20;

/// A handle on dfdx's stream.
pub(super) struct Blas {
    library: CudaBlas,
    /// Address of memory that the products use. cuBLAS's own could not be used by work that is recorded.
    workspace: u64,
    /// That products are made in until another is asked for.
    precision: Precision,
}

impl Blas {
    #[allow(unsafe_code, reason = "memory of the driver is an address")]
    pub(super) fn new(device: &Arc<CudaDevice>) -> Result<Self, Error> {
        let library = CudaBlas::new(Arc::clone(device)).map_err(Error::blas("start"))?;
        // SAFETY: it is kept as long as the process runs.
        let workspace = unsafe { result::malloc_sync(WORKSPACE) }
            .map_err(Error::driver("find room for products of matrices"))?;
        let mut blas = Self { library, workspace, precision: Precision::Tf32 };
        blas.work_on(*device.cu_stream())?;
        // Not left to the library's own choice.
        blas.handle(Precision::F32)?;
        Ok(blas)
    }

    /// From now on products are made on this stream.
    #[allow(unsafe_code, reason = "calls of cuBLAS that cudarc does not wrap")]
    pub(super) fn work_on(&mut self, stream: CUstream) -> Result<(), Error> {
        let handle = *self.library.handle();
        // SAFETY: handle, stream and memory exist as long as the process. A choice of the stream goes
        // back to cuBLAS's own memory, so that comes second.
        unsafe {
            sys::cublasSetStream_v2(handle, stream.cast())
                .result()
                .map_err(Error::blas("choose its stream"))?;
            sys::cublasSetWorkspace_v2(handle, self.workspace as *mut c_void, WORKSPACE)
                .result()
                .map_err(Error::blas("choose its memory"))
        }
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
