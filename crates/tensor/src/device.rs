//! Devices by name.

use std::str::FromStr;

use batchlab_core::ModelError;

use crate::cpu::{memory, wide};
use crate::raw;

/// A device that this build can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// The processor, with the threads of the rayon pool that the caller runs in.
    Cpu,
}

impl FromStr for Device {
    type Err = ModelError;

    /// Understands `cpu` and `cuda:0`; the latter is refused by a build without CUDA.
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
        if name.strip_prefix("cuda:").is_some_and(|index| index.parse::<u32>().is_ok()) {
            return unavailable("this build has no support for CUDA; use device = \"cpu\"");
        }
        unavailable("a device is \"cpu\", or \"cuda:0\" where CUDA is supported")
    }
}

/// Number of threads that kernels on the processor use: those of the current rayon pool.
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
        check(
            "cuda:0",
            "device \"cuda:0\" is not available: this build has no support for CUDA; use device = \
             \"cpu\"",
        );
        check(
            "gpu",
            "device \"gpu\" is not available: a device is \"cpu\", or \"cuda:0\" where CUDA is \
             supported",
        );
    }
}
