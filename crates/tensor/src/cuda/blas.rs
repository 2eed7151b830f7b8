//! cuBLAS's handle.

use std::ffi::c_void;
use std::sync::Arc;

use cudarc::cublas::{CudaBlas, sys};
use cudarc::driver::sys::CUstream;
use cudarc::driver::{CudaDevice, result};

use super::error::Error;

/// Workspace of products in bytes: the default of cuBLAS on an H100.
const WORKSPACE: usize = 32 << 20;

/// A handle on dfdx's stream.
pub(super) struct Blas {
    library: CudaBlas,
    /// Address of the workspace. Recorded work could not use cuBLAS's own.
    workspace: u64,
}

impl Blas {
    #[allow(unsafe_code, reason = "memory of the driver is an address")]
    pub(super) fn new(device: &Arc<CudaDevice>) -> Result<Self, Error> {
        let library = CudaBlas::new(Arc::clone(device)).map_err(Error::blas("start"))?;
        // SAFETY: it is kept for the lifetime of the process.
        let workspace = unsafe { result::malloc_sync(WORKSPACE) }
            .map_err(Error::driver("allocate the workspace of matrix products"))?;
        let blas = Self { library, workspace };
        blas.work_on(*device.cu_stream())?;
        Ok(blas)
    }

    /// Directs products to this stream from now on.
    #[allow(unsafe_code, reason = "calls of cuBLAS that cudarc does not wrap")]
    pub(super) fn work_on(&self, stream: CUstream) -> Result<(), Error> {
        let handle = *self.library.handle();
        // SAFETY: handle, stream and memory exist as long as the process. Setting the stream resets
        // the workspace to cuBLAS's own, so the workspace is set afterwards.
        unsafe {
            sys::cublasSetStream_v2(handle, stream.cast())
                .result()
                .map_err(Error::blas("choose its stream"))?;
            sys::cublasSetWorkspace_v2(handle, self.workspace as *mut c_void, WORKSPACE)
                .result()
                .map_err(Error::blas("choose its memory"))
        }
    }

    /// For products, while holding the lock.
    pub(super) fn handle(&self) -> sys::cublasHandle_t {
        *self.library.handle()
    }
}
