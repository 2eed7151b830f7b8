//! Indices and numbers from the host.

use cudarc::driver::{CudaSlice, DevicePtr, DeviceSlice, result, sys::CUdeviceptr};

use super::device::Gpu;
use super::error::Error;

/// Device memory for indices, 32 bits each.
#[derive(Default)]
pub struct Words {
    memory: Option<CudaSlice<u32>>,
    n: usize,
}

impl Words {
    /// The address of the first index, 0 if there is no memory.
    pub(super) fn address(&self) -> CUdeviceptr {
        self.memory.as_ref().map_or(0, |memory| *memory.device_ptr())
    }

    /// Number of indices.
    #[must_use]
    pub fn len(&self) -> usize {
        self.n
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// Replaces the content, keeping the memory where it is large enough.
    #[allow(unsafe_code, reason = "memory that has no values yet")]
    pub(super) fn write(&mut self, gpu: &Gpu, host: &[u32]) -> Result<(), Error> {
        self.n = host.len();
        if host.is_empty() {
            return Ok(());
        }
        let memory = match self.memory.take().filter(|memory| memory.len() >= host.len()) {
            Some(memory) => memory,
            // SAFETY: any bits are an index, and what is read later is written now.
            None => unsafe { gpu.device.alloc(host.len()) }
                .map_err(Error::driver(format!("find room for {} indices", host.len())))?,
        };
        copy(gpu, *memory.device_ptr(), host)?;
        self.memory = Some(memory);
        Ok(())
    }
}

/// Copies from the host, in the order of the stream. The host's memory can be used again at once.
#[allow(unsafe_code, reason = "copies take addresses")]
pub(super) fn copy<T>(gpu: &Gpu, to: CUdeviceptr, host: &[T]) -> Result<(), Error> {
    gpu.bind()?;
    // SAFETY: callers give memory of the device with room for the values. The driver takes memory
    // that is not page-locked over before it returns.
    unsafe { result::memcpy_htod_async(to, host, gpu.stream()) }
        .map_err(Error::driver("copy to the GPU"))
}
