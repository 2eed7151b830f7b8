//! Linear layers with their activation.

use batchlab_core::ModelError;

use crate::backend::LinearLayer;
use crate::matrix::engine;
use crate::{Activation, Backend, Matrix, Pass};

impl<D: Backend> Pass<'_, D> {
    /// `activation(x weight + bias)`: `x` `[n_row, n_in]`, `weight` `[n_in, n_out]`, `bias`
    /// `[1, n_out]`, result `[n_row, n_out]`. Models use it through [`Linear`](crate::Linear).
    pub fn linear(
        &mut self,
        x: &Matrix<D>,
        weight: &Matrix<D>,
        bias: Option<&Matrix<D>>,
        activation: Activation,
    ) -> Result<Matrix<D>, ModelError> {
        assert_eq!(x.n_column(), weight.n_row(), "as many columns as the layer has inputs");
        let tracked = x.is_tracked() || weight.is_tracked() || bias.is_some_and(Matrix::is_tracked);
        let layer = LinearLayer {
            input: x.tensor(),
            weight: weight.tensor(),
            bias: bias.map(Matrix::tensor),
            activation,
            precision: self.precision(),
        };
        let precision = layer.precision;
        let keep_sum = activation.keeps_input() && tracked && self.is_recording();
        let (output, sum) = self.device().linear(&layer, keep_sum).map_err(engine)?;

        let of_input = x.is_tracked();
        let (input, weight) = (x.tensor().clone(), weight.tensor().clone());
        let bias = bias.map(|bias| bias.tensor().clone());
        let kept = output.clone();
        Ok(self.record(output, tracked, move |device, gradients, dy| {
            // The small gradients are taken out while the large one is borrowed.
            let mut dweight = device.zeros_buffer(0)?;
            std::mem::swap(gradients.get_or_alloc_mut(&weight)?, &mut dweight);
            let mut dbias = device.zeros_buffer(0)?;
            if let Some(bias) = &bias {
                std::mem::swap(gradients.get_or_alloc_mut(bias)?, &mut dbias);
            }
            let dx = if of_input { Some(gradients.get_or_alloc_mut(&input)?) } else { None };
            let bias = bias.as_ref();
            let layer = LinearLayer { input: &input, weight: &weight, bias, activation, precision };
            device.linear_backward(
                dx,
                &mut dweight,
                bias.is_some().then_some(&mut dbias),
                dy,
                &layer,
                &kept,
                sum.as_ref(),
            )?;
            *gradients.get_or_alloc_mut(&weight)? = dweight;
            if let Some(bias) = bias {
                *gradients.get_or_alloc_mut(bias)? = dbias;
            }
            Ok(())
        }))
    }

    /// `activation(x)`, element by element.
    pub fn activate(
        &mut self,
        x: &Matrix<D>,
        activation: Activation,
    ) -> Result<Matrix<D>, ModelError> {
        let result = self.device().activate(x.tensor(), activation).map_err(engine)?;
        let (input, output) = (x.tensor().clone(), result.clone());
        Ok(self.record(result, x.is_tracked(), move |device, gradients, dy| {
            let dx = gradients.get_or_alloc_mut(&input)?;
            device.activate_backward(dx, dy, &input, &output, activation)
        }))
    }
}
