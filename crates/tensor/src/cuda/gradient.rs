//! Sums of gradients: who comes first writes, whoever comes later adds.

use cudarc::driver::DeviceSlice;
use dfdx::prelude::*;

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
    #[allow(unsafe_code, reason = "the same memory, but one number shorter")]
    pub(super) fn sum(&self, gradient: &mut Buffer, n: usize) -> Sum {
        let place = memory(gradient);
        let adds = gradient.len() != n + 1;
        if !adds {
            // SAFETY: the memory is that of `gradient`, is longer than this, and is given away by the next
            // line. Any bits are a number, and the kernel writes all of them.
            let sum = unsafe { self.gpu.device.upgrade_device_ptr(place.address(), n) };
            std::mem::replace(&mut **gradient, sum).leak();
        }
        Sum { place, adds }
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
