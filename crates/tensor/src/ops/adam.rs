//! The optimiser.

use crate::backend::kernels;
use crate::{Buffer, Dense};

/// One step of Adam (Kingma and Ba 2015, arXiv 1412.6980, algorithm 1).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adam {
    /// Step size, corrected for the start of the moments: lr / (1 - beta1^t).
    pub learning_rate: f32,
    /// 1 / (1 - beta2^t).
    pub second_correction: f32,
}

impl Adam {
    /// Decay rate of the mean of the gradients.
    pub const BETA1: f64 = 0.9;
    /// Decay rate of the mean of their squares.
    pub const BETA2: f64 = 0.999;
    /// Added to the root, to avoid division by zero.
    pub const EPSILON: f64 = 1e-8;

    /// The `n_update`-th step, counted from 1.
    #[must_use]
    pub fn step(learning_rate: f64, n_update: u64) -> Self {
        let power = |beta: f64| beta.powf(n_update as f64);
        Self {
            learning_rate: (learning_rate / (1.0 - power(Self::BETA1))) as f32,
            second_correction: (1.0 / (1.0 - power(Self::BETA2))) as f32,
        }
    }
}

kernels! {
    /// The kernel of the optimiser.
    pub trait AdamKernels;

    /// All parameters after one step, in order; the moments are updated in place. Parameters may
    /// also be updated in place, in which case clones show the new values. `decay` times the
    /// parameter is added to each gradient.
    fn adam(
        step: Adam, decay: &[f32], parameters: &[&Dense<Self>], gradients: &[Buffer<Self>],
        moments: &mut [[Buffer<Self>; 2]]
    ) -> Vec<Dense<Self>>;
}
