//! Gradient accumulation: the first contribution overwrites, later ones add.

use cudarc::driver::DeviceSlice;
use dfdx::prelude::*;

use super::device::Gpu;
use super::error::Error;
use super::kernels::Kernels;
use super::module::{Argument, memory};
use super::{Buffer, Dense, libraries, words};

/// A gradient of `n` numbers without contributions: one number longer, until its sum is requested
/// with [`Kernels::sum`].
pub(super) fn unwritten(cuda: &Cuda, n: usize) -> Result<Buffer, CudaError> {
    let gradient = libraries::without_fills(|| Storage::<f32>::try_alloc_len(cuda, n + 1))
        .map_err(Error::dfdx(format!("allocate a gradient of {n} numbers")))?;
    // Exposes elements that a kernel fails to write.
    #[cfg(feature = "cuda-check")]
    words::fill(super::device::of(cuda)?, memory(&gradient).address(), words::UNWRITTEN, n + 1)?;
    Ok(gradient)
}

/// Truncates a buffer to `n` numbers.
#[allow(unsafe_code, reason = "the same memory with fewer numbers")]
pub(super) fn shorten(gpu: &Gpu, buffer: &mut Buffer, n: usize) {
    if n < buffer.len() {
        // SAFETY: the memory is that of `buffer`, which is longer, and which is leaked in the next
        // line. Any bit pattern is a valid number.
        let shorter = unsafe { gpu.device.upgrade_device_ptr(memory(buffer).address(), n) };
        std::mem::replace(&mut **buffer, shorter).leak();
    }
}

/// Where a kernel puts its contribution to a gradient.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sum {
    pub(super) place: Argument,
    /// Whether the contribution is added to existing numbers; otherwise it is the first, and all
    /// numbers are written.
    pub(super) adds: bool,
}

impl Sum {
    /// For a gradient that is not needed.
    pub(super) const NONE: Self = Self { place: Argument::Pointer(0), adds: false };

    /// The first and only contribution to a result.
    pub(super) fn first(out: &Dense) -> Self {
        Self { place: out.into(), adds: false }
    }

    /// As two kernel arguments.
    pub(super) fn arguments(self) -> [Argument; 2] {
        [self.place, Argument::I32(self.adds.into())]
    }
}

impl Kernels<'_> {
    /// The accumulator of a gradient of `n` numbers, for a kernel that writes all of them if it is
    /// first.
    pub(super) fn sum(&self, gradient: &mut Buffer, n: usize) -> Sum {
        let adds = gradient.len() != n + 1;
        shorten(self.gpu, gradient, n);
        Sum { place: memory(gradient), adds }
    }

    /// The same for an optional gradient.
    pub(super) fn sum_if(&self, gradient: Option<&mut Buffer>, n: usize) -> Sum {
        gradient.map_or(Sum::NONE, |gradient| self.sum(gradient, n))
    }

    /// The accumulator of a gradient of `n` numbers, for a kernel that adds to some of them only.
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
