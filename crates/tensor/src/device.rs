//! Devices by name.

use std::panic::PanicHookInfo;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};

use batchlab_core::ModelError;

use crate::cpu::{memory, wide};
use crate::raw;

/// A device supported by this build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// The CPU, with the threads of the caller's rayon pool.
    Cpu,
    /// An NVIDIA GPU, counted from 0.
    #[cfg(feature = "cuda")]
    Cuda(usize),
}

impl FromStr for Device {
    type Err = ModelError;

    /// Parses `cpu` and `cuda:0`; the latter is rejected by a build without CUDA, or if there is no
    /// such GPU. Kernels are compiled here, so that a run fails before it loads anything.
    fn from_str(name: &str) -> Result<Self, ModelError> {
        let unavailable = |reason: &str| {
            Err(ModelError::Device { device: name.to_owned(), reason: reason.to_owned() })
        };
        if name == "cpu" {
            if let Err(reason) = wide::limit() {
                return unavailable(&reason);
            }
            return match raw::check() {
                Ok(()) => {
                    memory::keep_freed();
                    Ok(Self::Cpu)
                }
                Err(reason) => unavailable(&format!(
                    "dfdx stores tensors in another way than this program expects ({reason}); \
                     build it with the dfdx version of its Cargo.lock"
                )),
            };
        }
        match name.strip_prefix("cuda:").map(str::parse::<usize>) {
            Some(Ok(ordinal)) => cuda(ordinal).or_else(|reason| unavailable(&reason)),
            _ => unavailable("a device is \"cpu\", or \"cuda:0\" where CUDA is supported"),
        }
    }
}

/// Names of GPUs are no longer tried out from now on: a process that only supervises others must not
/// open a GPU, which may be reserved for one process at a time.
pub fn leave_gpus_closed() {
    GPUS_STAY_CLOSED.store(true, Ordering::Relaxed);
}

static GPUS_STAY_CLOSED: AtomicBool = AtomicBool::new(false);

#[cfg(feature = "cuda")]
fn cuda(ordinal: usize) -> Result<Device, String> {
    if GPUS_STAY_CLOSED.load(Ordering::Relaxed) {
        return Ok(Device::Cuda(ordinal));
    }
    match crate::cuda::open(ordinal) {
        Ok(_) => Ok(Device::Cuda(ordinal)),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(not(feature = "cuda"))]
fn cuda(_: usize) -> Result<Device, String> {
    Err("this build has no support for CUDA; use device = \"cpu\", or build with `cargo build \
         --release --features cuda` (see docs/gpu.md)"
        .into())
}

/// Why the GPU was lost, if that is what this panic is about.
///
/// After a kernel has gone wrong, the driver fails every call, even those that free memory. dfdx
/// panics there, and a second time while the stack unwinds, which aborts the process: the error that
/// names the kernel never gets to the top. A program that asks in its panic hook, reports the answer
/// and exits loses nothing. See [`ModelError::DeviceLost`] for the cases without a panic.
#[must_use]
pub fn loss_behind(panic: &PanicHookInfo<'_>) -> Option<String> {
    let payload = panic.payload();
    let literal = || payload.downcast_ref::<&str>().copied();
    loss(payload.downcast_ref::<String>().map(String::as_str).or_else(literal)?)
}

#[cfg(feature = "cuda")]
fn loss(panic: &str) -> Option<String> {
    crate::cuda::error::loss_behind(panic)
}

#[cfg(not(feature = "cuda"))]
fn loss(_: &str) -> Option<String> {
    None
}

/// Number of threads used by CPU kernels: those of the current rayon pool.
#[must_use]
pub fn n_thread() -> usize {
    rayon::current_num_threads()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expected: &str) {
        assert_eq!(Device::from_str(name).unwrap_err().to_string(), expected);
    }

    #[test]
    fn devices_by_name() {
        assert_eq!(Device::from_str("cpu").unwrap(), Device::Cpu);
        #[cfg(not(feature = "cuda"))]
        check(
            "cuda:0",
            "device \"cuda:0\" is not available: this build has no support for CUDA; use device = \
             \"cpu\", or build with `cargo build --release --features cuda` (see docs/gpu.md)",
        );
        check(
            "gpu",
            "device \"gpu\" is not available: a device is \"cpu\", or \"cuda:0\" where CUDA is \
             supported",
        );
    }
}
