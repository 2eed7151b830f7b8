//! Losses.

use batchlab_core::ModelError;
use batchlab_core::model::Loss;

use crate::backend::kernels;
use crate::matrix::engine;
use crate::pass::Scale;
use crate::{Backend, Buffer, Dense, Matrix, Outputs, Pass};

impl<D: Backend> Pass<'_, D> {
    /// Weighted loss over the outputs, from which gradients start.
    ///
    /// `prediction` `[n_graph or n_node, output_width]`; each output names its row. Outputs with
    /// weight 0 are skipped: a model's predictions for padding, even NaN, have no effect. Gradients
    /// will be those of the loss times the value of `scale` at that time.
    pub(crate) fn loss(
        &mut self,
        loss: Loss,
        prediction: &Matrix<D>,
        outputs: &Outputs<D>,
        scale: &Scale<D>,
    ) -> Result<D::PendingLoss, ModelError> {
        let (sum, unit) = self.device().loss(loss, prediction.tensor(), outputs).map_err(engine)?;
        let of_prediction = prediction.gradient();
        let scale = scale.clone();
        if prediction.is_tracked() {
            self.record_loss(move |device| {
                let mut dx = of_prediction.sum(device)?;
                device.accumulate_scaled(&mut dx, &scale.number.borrow(), &unit)
            });
        }
        Ok(sum)
    }
}

kernels! {
    /// Kernels of losses.
    pub trait LossKernels;

    /// Loss of the outputs, and the gradient of its mean with respect to `prediction` `[n_row,
    /// width]`.
    fn loss(
        loss: Loss, prediction: &Dense<Self>, outputs: &Outputs<Self>
    ) -> (Self::PendingLoss, Buffer<Self>);
    /// Queues a copy to the host.
    fn fetch_loss(loss: &Self::PendingLoss, fetched: &mut Self::FetchedLoss) -> ();
    /// The weighted sum of the losses of all outputs. Waits for the copy, but not for what was queued
    /// after it.
    fn read_loss(fetched: &Self::FetchedLoss) -> f64;
    /// `dx += scale * unit`; `scale` is a single number.
    fn accumulate_scaled(dx: &mut Buffer<Self>, scale: &Buffer<Self>, unit: &Buffer<Self>) -> ();
}
