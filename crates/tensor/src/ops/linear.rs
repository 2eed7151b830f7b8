//! Linear layers with their activation.

use batchlab_core::ModelError;

use crate::backend::{LinearLayer, LinearOutput, kernels};
use crate::gradient::Gradient;
use crate::matrix::engine;
use crate::{Activation, Backend, Buffer, Dense, Matrix, Normalise, Pass};

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

        let of_input = x.is_tracked().then(|| x.gradient());
        let (of_weight, of_bias) = (weight.gradient(), bias.map(Matrix::gradient));
        let (input, weight) = (x.tensor().clone(), weight.tensor().clone());
        let bias = bias.map(|bias| bias.tensor().clone());
        let kept = sum.unwrap_or_else(|| output.clone());
        Ok(self.record(output, tracked, move |device, mut dy| {
            let taken = |of: &Gradient<D>| of.to_be_added(device);
            let mut dx = of_input.as_ref().map(taken).transpose()?;
            let mut dweight = taken(&of_weight)?;
            let mut dbias = of_bias.as_ref().map(taken).transpose()?;
            let bias = bias.as_ref();
            let layer = LinearLayer { input: &input, weight: &weight, bias, activation, precision };
            let (input, bias) = (dx.as_mut(), dbias.as_mut());
            device.linear_backward(input, &mut dweight, bias, &mut dy, &layer, &kept)?;
            of_weight.add(device, dweight)?;
            for (of, sum) in of_input.iter().zip(dx).chain(of_bias.iter().zip(dbias)) {
                of.add(device, sum)?;
            }
            Ok(())
        }))
    }

    /// `activation(x)`, elementwise.
    pub fn activate(
        &mut self,
        x: &Matrix<D>,
        activation: Activation,
    ) -> Result<Matrix<D>, ModelError> {
        self.normalise(x, &Normalise { norm: None, activation, dropout: 0.0, node: None })
    }
}

kernels! {
    /// Kernels of linear layers.
    pub trait LinearKernels;

    /// `activation(input weight + bias)`, and the sum before the activation if `keep_sum`.
    fn linear(layer: &LinearLayer<'_, Self>, keep_sum: bool) -> LinearOutput<Self>;
    /// The gradients of `linear`. `dy` is overwritten.
    fn linear_backward(
        dx: Option<&mut Buffer<Self>>, dweight: &mut Buffer<Self>, dbias: Option<&mut Buffer<Self>>,
        dy: &mut Buffer<Self>, layer: &LinearLayer<'_, Self>, from: &Dense<Self>
    ) -> ();
}
