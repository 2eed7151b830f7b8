//! Kernels for NVIDIA GPUs: dfdx's `Cuda` as a [`Backend`](crate::Backend).
//!
//! dfdx gives memory and tape; what is computed is computed by kernels of our own, plain CUDA C++
//! that NVRTC compiles for the GPU at hand when it is opened, and by cuBLAS. No kernel of dfdx runs
//! in a training step.

mod device;
pub(crate) mod error;
mod kernels;
mod module;
mod raw;
mod words;

pub(crate) use device::open;

#[cfg(test)]
mod tests {
    use dfdx::prelude::*;

    use super::module::{Launch, arguments};
    use super::{device, kernels, open};
    use crate::Dense;

    #[test]
    fn a_kernel_runs_on_tensors_of_dfdx() {
        let cuda = open(0).unwrap();
        let gpu = device::of(&cuda).unwrap();
        let values: Vec<f32> = (0..1000_u16).map(f32::from).collect();
        let a: Dense<Cuda> = cuda.tensor_from_vec(values.clone(), (10, 100));
        let b: Dense<Cuda> = cuda.tensor_from_vec(vec![0.5; 1000], (10, 100));
        let out: Dense<Cuda> = cuda.zeros_like(&a);
        let program = gpu.program(kernels::SOURCE).unwrap();
        let launch = Launch::each(1000).unwrap();
        gpu.launch(&program, "add", launch, arguments![&out, &a, &b, 1000_u32]).unwrap();
        let expected: Vec<f32> = values.iter().map(|x| x + 0.5).collect();
        assert_eq!(out.as_vec(), expected);
    }
}
