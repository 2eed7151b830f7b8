//! Indices and numbers of a batch on the device.

use std::rc::Rc;

use cudarc::driver::{
    result,
    sys::{self, CUdeviceptr},
};

use super::arena::Memory;
use super::device::Gpu;
use super::error::Error;

/// A part of an arena, 32 bits for each index or number.
pub struct Words {
    memory: Rc<Memory>,
    first: usize,
    n: usize,
}

impl Words {
    /// `n` words from `first` on.
    pub(super) fn view(memory: Rc<Memory>, first: usize, n: usize) -> Self {
        Self { memory, first, n }
    }

    /// The address of the first word.
    pub(super) fn address(&self) -> CUdeviceptr {
        self.memory.address(self.first)
    }

    /// Number of words.
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

/// Fills memory of `n` numbers, in the order of the stream.
#[allow(unsafe_code, reason = "calls of the driver that cudarc does not wrap")]
pub(super) fn fill(gpu: &Gpu, to: CUdeviceptr, value: f32, n: usize) -> Result<(), Error> {
    if n == 0 {
        return Ok(());
    }
    gpu.bind()?;
    // SAFETY: callers give memory of so many numbers.
    unsafe { sys::cuMemsetD32Async(to, value.to_bits(), n, gpu.stream()) }
        .result()
        .map_err(Error::driver(format!("fill {n} numbers")))
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
