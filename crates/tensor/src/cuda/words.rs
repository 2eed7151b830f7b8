//! Indices and numbers of a batch on the device.

use std::rc::Rc;

use cudarc::driver::{
    result,
    sys::{self, CUdeviceptr},
};

use super::arena::Memory;
use super::device::Gpu;
use super::error::Error;
use super::module::{Argument, Launch, count};
use super::recording;

/// A part of an arena, with 32 bits per index or number.
pub struct Words {
    memory: Rc<Memory>,
    first: usize,
    n: usize,
}

impl Words {
    /// `n` words starting at `first`.
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

/// What new memory of the emulated GPU holds: a NaN that no computation yields.
#[cfg(feature = "cuda-check")]
pub(super) const UNWRITTEN: f32 = f32::from_bits(u32::MAX);

/// Fills memory of `n` numbers, in stream order.
///
/// While a step is recorded, a kernel does so: for a fill of its own, the driver checks when the
/// recording is made ready that the memory is still allocated, and results that only the recording
/// uses are not.
#[allow(unsafe_code, reason = "calls of the driver that cudarc does not wrap")]
pub(super) fn fill(gpu: &Gpu, to: CUdeviceptr, value: f32, n: usize) -> Result<(), Error> {
    if n == 0 {
        return Ok(());
    }
    if recording::stream().is_some() {
        let n = count("numbers", n)?;
        let arguments = [Argument::Pointer(to), Argument::F32(value), Argument::U32(n)];
        return gpu.launch(&*gpu.plain()?, "fill", Launch::each(n as usize)?, &arguments);
    }
    gpu.bind()?;
    // SAFETY: callers pass memory of this many numbers.
    unsafe { sys::cuMemsetD32Async(to, value.to_bits(), n, gpu.stream()) }
        .result()
        .map_err(Error::driver(format!("fill {n} numbers")))
}

/// Copies from the host, in stream order. The host memory can be reused immediately.
#[allow(unsafe_code, reason = "copies take addresses")]
pub(super) fn copy<T>(gpu: &Gpu, to: CUdeviceptr, host: &[T]) -> Result<(), Error> {
    gpu.bind()?;
    // SAFETY: callers pass device memory with room for the values. For memory that is not
    // page-locked, the driver copies it before it returns.
    unsafe { result::memcpy_htod_async(to, host, gpu.stream()) }
        .map_err(Error::driver("copy to the GPU"))
}
