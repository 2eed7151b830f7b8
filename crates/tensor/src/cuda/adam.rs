//! In-place Adam: the parameters of a model in one launch.

use bytemuck::{Pod, Zeroable};
use cudarc::driver::DeviceSlice;

use super::error::Error;
use super::kernels::Kernels;
use super::module::{Launch, arguments, count};
use super::raw;
use super::{Buffer, Dense};
use crate::Adam;

/// Tensors per launch. They are passed as arguments, for which a kernel has room for 4 KiB.
const ROOM: usize = 84;

/// Elements per block.
const BLOCK: u32 = 256;

/// Same layout as `AdamTensor` in kernels/adam.cu.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Tensor {
    parameter: u64,
    first: u64,
    second: u64,
    gradient: u64,
    n: u32,
    first_block: u32,
    decay: f32,
    unused: u32,
}

impl Kernels<'_> {
    /// In place: returns the parameters that were passed in.
    pub(crate) fn adam(
        &self,
        step: Adam,
        decay: &[f32],
        parameters: &[&Dense],
        gradients: &[Buffer],
        moments: &mut [[Buffer; 2]],
    ) -> Result<Vec<Dense>, Error> {
        let mut tensors = Vec::with_capacity(parameters.len());
        let each = parameters.iter().zip(decay).zip(gradients).zip(moments);
        for (((parameter, &decay), gradient), [first, second]) in each {
            tensors.push(Tensor {
                parameter: raw::of_tensor(parameter),
                first: raw::of_buffer(first),
                second: raw::of_buffer(second),
                gradient: raw::of_buffer(gradient),
                n: count("numbers in a parameter", gradient.len())?,
                first_block: 0,
                decay,
                unused: 0,
            });
        }
        tensors.chunks(ROOM).try_for_each(|tensors| self.adam_launch(step, tensors))?;
        Ok(parameters.iter().map(|&parameter| parameter.clone()).collect())
    }

    fn adam_launch(&self, step: Adam, tensors: &[Tensor]) -> Result<(), Error> {
        const KEEP: [f32; 2] = [Adam::BETA1 as f32, Adam::BETA2 as f32];
        const TAKE: [f32; 2] = [(1.0 - Adam::BETA1) as f32, (1.0 - Adam::BETA2) as f32];
        const EPSILON: f32 = Adam::EPSILON as f32;
        let mut table = [Tensor::zeroed(); ROOM];
        let mut n_block = 0;
        for (entry, tensor) in table.iter_mut().zip(tensors) {
            *entry = Tensor { first_block: n_block, ..*tensor };
            n_block += tensor.n.div_ceil(BLOCK);
        }
        let launch = Launch { blocks: [n_block, 1], threads: BLOCK, shared: 0 };
        let numbers = arguments![
            count("parameters", tensors.len())?,
            step.learning_rate,
            step.second_correction,
            KEEP[0],
            TAKE[0],
            KEEP[1],
            TAKE[1],
            EPSILON
        ];
        self.launch_with("adam", launch, bytemuck::cast_slice_mut(&mut table), numbers)
    }
}
