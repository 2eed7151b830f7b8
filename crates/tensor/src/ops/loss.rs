//! What is minimised.

use std::rc::Rc;

use batchlab_core::ModelError;
use batchlab_core::model::{Loss, LossSum};
use dfdx::prelude::*;

use crate::matrix::engine;
use crate::{Backend, Matrix, Outputs, Pass};

impl<D: Backend> Pass<'_, D> {
    /// Loss over the outputs with their weights, and its mean as the tensor that gradients start
    /// from.
    ///
    /// `prediction` `[n_graph or n_node, output_width]`; each output names its row. Outputs of
    /// weight 0 are not looked at: what a model predicts for padding, even NaN, changes nothing.
    ///
    /// # Errors
    /// A device that fails.
    pub fn loss(
        &mut self,
        loss: Loss,
        prediction: &Matrix<D>,
        outputs: &Rc<Outputs<D>>,
    ) -> Result<(LossSum, Tensor<Rank0, f32, D>), ModelError> {
        let (sum, unit) = self.device().loss(loss, prediction.tensor(), outputs).map_err(engine)?;
        let mean: Tensor<Rank0, f32, D> =
            self.device().try_tensor_from_vec(vec![sum.mean() as f32], ()).map_err(engine)?;
        let of_prediction = prediction.tensor().ghost();
        self.record_any(&mean, prediction.is_tracked(), move |device, gradients, dy| {
            let dx = gradients.get_or_alloc_mut(&of_prediction)?;
            device.accumulate_scaled(dx, dy, &unit)
        });
        Ok((sum, mean))
    }
}
