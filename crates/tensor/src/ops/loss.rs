//! Losses.

use std::cell::Cell;
use std::rc::Rc;

use batchlab_core::ModelError;
use batchlab_core::model::{Loss, LossSum};
use dfdx::prelude::*;

use crate::matrix::engine;
use crate::pass::Seed;
use crate::{Backend, Matrix, Outputs, Pass};

impl<D: Backend> Pass<'_, D> {
    /// Loss over the outputs with their weights, and what gradients of its mean start from.
    ///
    /// `prediction` `[n_graph or n_node, output_width]`; each output names its row. Outputs of
    /// weight 0 are not looked at: what a model predicts for padding, even NaN, changes nothing.
    pub fn loss(
        &mut self,
        loss: Loss,
        prediction: &Matrix<D>,
        outputs: &Rc<Outputs<D>>,
    ) -> Result<(LossSum, Seed<D>), ModelError> {
        let (sum, unit) = self.device().loss(loss, prediction.tensor(), outputs).map_err(engine)?;
        let tensor: Tensor<Rank0, f32, D> = self.device().try_zeros_like(&()).map_err(engine)?;
        let scale = Rc::new(Cell::new(1.0));
        let of_prediction = prediction.gradient();
        let scale_of_backward = Rc::clone(&scale);
        if prediction.is_tracked() {
            self.record_loss(move |device| {
                let mut dx = of_prediction.sum(device)?;
                device.accumulate_scaled(&mut dx, scale_of_backward.get(), &unit)
            });
        }
        Ok((sum, Seed { tensor, scale }))
    }
}
