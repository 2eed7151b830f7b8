//! Losses over outputs: the one number per step that comes back from the device.

use std::sync::PoisonError;

use batchlab_core::model::{Loss, LossSum};
use dfdx::prelude::*;

use super::error::Error;
use super::kernels::Kernels;
use super::module::{Argument, Launch, arguments, count, memory};
use super::{Buffer, Dense};
use crate::{Backend, Outputs};

impl Kernels<'_> {
    /// The loss, and the gradient of its mean. Waits for the device.
    pub(super) fn loss(
        &self,
        loss: Loss,
        prediction: &Dense,
        outputs: &Outputs<Cuda>,
    ) -> Result<(LossSum, Buffer), Error> {
        let &(n_row, width) = prediction.shape();
        let unit = self
            .cuda
            .zeros_buffer(n_row * width)
            .map_err(|error| Error::Engine(error.to_string()))?;
        let total = self.room(2)?;
        let common = arguments![
            &total,
            memory(&unit),
            prediction,
            &outputs.row,
            &outputs.target,
            &outputs.weight,
            outputs.weight_sum
        ];
        let size =
            arguments![count("columns", width)?, count("outputs", outputs.row_on_host.len())?];
        let (name, kind) = match loss {
            Loss::Mse => ("regression_loss", Some(0)),
            Loss::Mae => ("regression_loss", Some(1)),
            Loss::CrossEntropy => ("cross_entropy_loss", None),
        };
        let kind: Vec<Argument> = kind.map(Argument::I32).into_iter().collect();
        // One block of LOSS_THREADS threads.
        let launch = Launch { blocks: [1, 1], threads: 256, shared: 0 };
        self.launch(name, launch, &[common.as_slice(), &kind, size].concat())?;
        let mut answer = self.gpu.answer.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = answer.fetch(self.gpu, Argument::from(&total).address())?;
        Ok((LossSum { loss_sum: f64::from_le_bytes(bytes), weight_sum: outputs.weight_sum }, unit))
    }
}
