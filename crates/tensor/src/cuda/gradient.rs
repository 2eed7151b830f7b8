//! Sums of gradients: who comes first writes, whoever comes later adds.

use cudarc::driver::DeviceSlice;
use dfdx::prelude::*;

use super::device::Gpu;
use super::error::Error;
use super::kernels::Kernels;
use super::module::{Argument, memory};
use super::{Buffer, words};

/// A gradient of `n` numbers that nothing was added to: one number longer, until [`Kernels::sum`] is asked for
/// its sum. What dfdx has filled it with does not count, because a recording does not repeat that.
pub(super) fn unwritten(cuda: &Cuda, n: usize) -> Result<Buffer, CudaError> {
    let gradient = Storage::<f32>::try_alloc_len(cuda, n + 1)?;
    // So that what a kernel leaves out is seen.
    #[cfg(feature = "cuda-check")]
    words::fill(super::device::of(cuda)?, memory(&gradient).address(), f32::NAN, n + 1)?;
    Ok(gradient)
}

/// Leaves only the first `n` numbers of a buffer.
#[allow(unsafe_code, reason = "the same memory with fewer numbers")]
pub(super) fn shorten(gpu: &Gpu, buffer: &mut Buffer, n: usize) {
    if n < buffer.len() {
        // SAFETY: the memory is that of `buffer`, which is longer, and which gives it away in the next line.
        // Any bits are numbers.
        let shorter = unsafe { gpu.device.upgrade_device_ptr(memory(buffer).address(), n) };
        std::mem::replace(&mut **buffer, shorter).leak();
    }
}

/// Where a kernel leaves its part of a gradient.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sum {
    pub(super) place: Argument,
    /// Whether the part is added to what is there; else it is the first, and all numbers are written.
    pub(super) adds: bool,
}

impl Sum {
    /// Of a gradient that nobody wants.
    pub(super) const NONE: Self = Self { place: Argument::Pointer(0), adds: false };

    /// As two arguments of a kernel.
    pub(super) fn arguments(self) -> [Argument; 2] {
        [self.place, Argument::I32(self.adds.into())]
    }
}

impl Kernels<'_> {
    /// The sum of a gradient of `n` numbers, for a kernel that writes all of them where it comes first.
    pub(super) fn sum(&self, gradient: &mut Buffer, n: usize) -> Sum {
        let adds = gradient.len() != n + 1;
        shorten(self.gpu, gradient, n);
        Sum { place: memory(gradient), adds }
    }

    /// The same where the gradient may not be wanted.
    pub(super) fn sum_if(&self, gradient: Option<&mut Buffer>, n: usize) -> Sum {
        gradient.map_or(Sum::NONE, |gradient| self.sum(gradient, n))
    }

    /// The sum of a gradient of `n` numbers, for a kernel that adds to some of them only.
    pub(super) fn sum_from_zeros(
        &self,
        gradient: &mut Buffer,
        n: usize,
    ) -> Result<Argument, Error> {
        let Sum { place, adds } = self.sum(gradient, n);
        if !adds {
            words::fill(self.gpu, place.address(), 0.0, n)?;
        }
        Ok(place)
    }
}
