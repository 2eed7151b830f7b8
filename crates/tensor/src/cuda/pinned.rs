//! Host memory for asynchronous copies from and to the device.

use std::ffi::c_void;

use cudarc::driver::{result, sys};

use super::device::Gpu;
use super::error::Error;

/// Page-locked host memory.
pub(super) struct Pinned {
    start: *mut u8,
    n: usize,
}

// SAFETY: the memory is owned exclusively, and CUDA lets any thread use it.
#[allow(unsafe_code, reason = "memory of the driver is a pointer")]
unsafe impl Send for Pinned {}

#[allow(unsafe_code, reason = "memory of the driver is a pointer")]
impl Pinned {
    /// `n` bytes, at least 1.
    pub(super) fn new(n: usize) -> Result<Self, Error> {
        let mut start = std::ptr::null_mut::<c_void>();
        // SAFETY: the driver fills in the pointer.
        unsafe { sys::cuMemHostAlloc(&raw mut start, n.max(1), sys::CU_MEMHOSTALLOC_PORTABLE) }
            .result()
            .map_err(Error::driver(format!("lock {n} bytes of the host's memory")))?;
        let start: *mut u8 = start.cast();
        // SAFETY: the driver has allocated this many bytes.
        unsafe { start.write_bytes(0, n.max(1)) };
        Ok(Self { start, n: n.max(1) })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: this many bytes were allocated and zeroed; a caller that starts a copy to them
        // waits for it.
        unsafe { std::slice::from_raw_parts(self.start, self.n) }
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and nobody else holds the memory.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.n) }
    }

    /// Queues a copy of as many bytes from the device.
    pub(super) fn fetch(&mut self, gpu: &Gpu, from: u64) -> Result<(), Error> {
        // SAFETY: the caller guarantees that `from` is device memory of at least this size, and waits
        // for the copy before it reads or frees this memory.
        unsafe { result::memcpy_dtoh_async(self.bytes_mut(), from, gpu.stream()) }
            .map_err(Error::driver("copy from the GPU"))
    }
}

#[allow(unsafe_code, reason = "memory of the driver is a pointer")]
impl Drop for Pinned {
    fn drop(&mut self) {
        // SAFETY: the pointer comes from the driver, and callers wait for the copies they start. If
        // the driver has already shut down at the end of the process, there is nothing to free.
        let _ = unsafe { sys::cuMemFreeHost(self.start.cast()) };
    }
}
