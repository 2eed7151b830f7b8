//! Indices on the device.

use cudarc::driver::{CudaSlice, DevicePtr, sys::CUdeviceptr};

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
}
