//! Sums of gradients: who comes first writes, whoever comes later adds.

use cudarc::driver::DeviceSlice;

use super::error::Error;
use super::kernels::Kernels;
use super::module::{Argument, memory};
use super::{Buffer, words};

type Result<T> = std::result::Result<T, Error>;

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
    #[allow(unsafe_code, reason = "memory that has no values yet")]
    pub(super) fn sum(&self, gradient: &mut Buffer, n: usize) -> Result<Sum> {
        let adds = gradient.len() == n;
        if !adds {
            // SAFETY: any bits are a number, and the kernel writes all of them.
            **gradient = unsafe { self.gpu.device.alloc(n) }
                .map_err(Error::driver(format!("find room for a gradient of {n} numbers")))?;
        }
        Ok(Sum { place: memory(gradient), adds })
    }

    /// The same where the gradient may not be wanted.
    pub(super) fn sum_if(&self, gradient: Option<&mut Buffer>, n: usize) -> Result<Sum> {
        gradient.map_or(Ok(Sum::NONE), |gradient| self.sum(gradient, n))
    }

    /// The sum of a gradient of `n` numbers, for a kernel that adds to some of them only.
    pub(super) fn sum_from_zeros(&self, gradient: &mut Buffer, n: usize) -> Result<Argument> {
        let Sum { place, adds } = self.sum(gradient, n)?;
        if !adds {
            words::fill(self.gpu, place.address(), 0.0, n)?;
        }
        Ok(place)
    }
}
