//! The model-independent kernels, compiled together when a device is opened, and the infrastructure
//! to launch them.

use std::sync::Arc;

use cudarc::driver::CudaSlice;
use dfdx::prelude::*;

use super::device::{self, Gpu};
use super::error::Error;
use super::module::{Argument, Launch, Module, count};
use super::{Dense, libraries, raw, recording, words};

/// All model-independent kernels, in one program.
pub(super) const SOURCE: &str = concat!(
    include_str!("kernels/common.cu"),
    include_str!("kernels/elementwise.cu"),
    include_str!("kernels/adam.cu"),
    include_str!("kernels/activation.cu"),
    include_str!("kernels/segment.cu"),
    include_str!("kernels/attention.cu"),
    include_str!("kernels/normalise.cu"),
    include_str!("kernels/block.cu"),
    include_str!("kernels/geometry.cu"),
    include_str!("kernels/equivariant_update.cu"),
    include_str!("kernels/loss.cu"),
);

/// The model-independent kernels of one GPU, for one operation.
pub(crate) struct Kernels<'a> {
    pub(super) cuda: &'a Cuda,
    pub(super) gpu: &'static Gpu,
    module: Arc<Module>,
}

impl<'a> Kernels<'a> {
    /// Looks up the compiled kernels.
    ///
    /// # Errors
    /// If the device has not been opened before and cannot be.
    pub(crate) fn of(cuda: &'a Cuda) -> Result<Self, Error> {
        let gpu = device::of(cuda)?;
        Ok(Self { cuda, gpu, module: gpu.plain()? })
    }

    /// A result, `[n_row, n_column]`, which a kernel will write completely before it is read.
    pub(super) fn matrix(&self, shape: [usize; 2]) -> Result<Dense, Error> {
        let matrix = libraries::without_fills(|| self.new_matrix(shape))?;
        // Exposes elements that a kernel fails to write.
        #[cfg(feature = "cuda-check")]
        words::fill(self.gpu, raw::of_tensor(&matrix), words::UNWRITTEN, shape[0] * shape[1])?;
        Ok(matrix)
    }

    /// Zeros, `[n_row, n_column]`.
    pub(super) fn zeros(&self, shape: [usize; 2]) -> Result<Dense, Error> {
        if recording::stream().is_none() {
            return self.new_matrix(shape);
        }
        // dfdx would fill it now, but not when the recording is repeated.
        let matrix = libraries::without_fills(|| self.new_matrix(shape))?;
        words::fill(self.gpu, raw::of_tensor(&matrix), 0.0, shape[0] * shape[1])?;
        Ok(matrix)
    }

    fn new_matrix(&self, [n_row, n_column]: [usize; 2]) -> Result<Dense, Error> {
        let zeros = self.cuda.try_zeros_like(&(n_row, n_column));
        zeros.map_err(Error::dfdx(format!("allocate a matrix of {n_row} x {n_column}")))
    }

    /// Memory for numbers that a kernel will write before they are read.
    #[allow(unsafe_code, reason = "memory that has no values yet")]
    pub(super) fn unwritten(&self, n: usize) -> Result<CudaSlice<f32>, Error> {
        // SAFETY: any bit pattern is a valid number, and kernels write whatever is read later.
        unsafe { self.gpu.device.alloc(n.max(1)) }
            .map_err(Error::driver(format!("allocate {n} numbers")))
    }

    /// Runs a kernel with a thread for each of `n` elements. The number is appended to the kernel's
    /// arguments.
    pub(super) fn each(&self, name: &str, n: usize, arguments: &[Argument]) -> Result<(), Error> {
        let mut all = arguments.to_vec();
        all.push(count("elements", n)?.into());
        self.launch(name, Launch::each(n)?, &all)
    }

    pub(super) fn launch(
        &self,
        name: &str,
        launch: Launch,
        arguments: &[Argument],
    ) -> Result<(), Error> {
        self.gpu.launch(&self.module, name, launch, arguments)
    }

    /// Runs a kernel whose first argument is a structure, passed by value.
    pub(super) fn launch_with(
        &self,
        name: &str,
        launch: Launch,
        structure: &mut [u8],
        arguments: &[Argument],
    ) -> Result<(), Error> {
        self.gpu.launch_with(&self.module, name, launch, Some(structure), arguments)
    }
}
