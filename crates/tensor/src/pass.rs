//! One forward pass through a network, with the tape that its gradients are computed from.

use std::cell::Cell;
use std::rc::Rc;

use batchlab_core::ModelError;
use batchlab_core::model::{Mode, Precision};
use dfdx::prelude::*;

use crate::matrix::engine;
use crate::{Backend, Buffer, Dense, Matrix, Parameter, Parameters};

/// A dfdx matrix that carries the tape: what [`Pass::dfdx`] hands to plain dfdx operations.
pub type Traced<D> = Tensor<(usize, usize), f32, D, OwnedTape<f32, D>>;

/// Where gradients start: stands for the mean of a loss on the tape.
pub struct Seed<D: Backend> {
    pub(crate) tensor: Tensor<Rank0, f32, D>,
    /// What the loss is multiplied by. Set when backward begins.
    pub(crate) scale: Rc<Cell<f32>>,
}

/// A loss with its tape, from which the gradients can be computed.
pub(crate) struct TracedLoss<D: Backend> {
    loss: Tensor<Rank0, f32, D, OwnedTape<f32, D>>,
    scale: Rc<Cell<f32>>,
}

/// One forward pass.
///
/// Operations are methods (see [`crate::ops`]): they take and give plain matrices, and record on
/// the tape that the pass owns what backward needs. In evaluation nothing is recorded.
pub struct Pass<'p, D: Backend> {
    device: D,
    parameters: &'p Parameters<D>,
    tape: Option<OwnedTape<f32, D>>,
    key: u64,
    /// Matrices that dropout was applied to.
    n_dropout: u32,
    precision: Precision,
}

impl<'p, D: Backend> Pass<'p, D> {
    /// A pass that uses these parameters. `key` selects the random numbers of dropout, `precision`
    /// how layers multiply.
    #[must_use]
    pub fn new(parameters: &'p Parameters<D>, mode: Mode, key: u64, precision: Precision) -> Self {
        let tape = (mode == Mode::Training).then(OwnedTape::default);
        let device = parameters.device().clone();
        Self { device, parameters, tape, key, n_dropout: 0, precision }
    }

    /// The device that everything lies on.
    pub fn device(&self) -> &D {
        &self.device
    }

    /// A parameter's present value.
    pub fn parameter(&self, parameter: Parameter) -> &'p Matrix<D> {
        self.parameters.get(parameter)
    }

    /// Whether gradients will be wanted.
    #[must_use]
    pub fn is_recording(&self) -> bool {
        self.tape.is_some()
    }

    /// How layers multiply.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Selects the random numbers of this pass.
    #[must_use]
    pub fn key(&self) -> u64 {
        self.key
    }

    /// Numbers the matrices that dropout is applied to, from 0.
    pub(crate) fn count_dropout(&mut self) -> u32 {
        self.n_dropout += 1;
        self.n_dropout - 1
    }

    /// Applies plain dfdx operations to `x`.
    ///
    /// The closure gets the tensor with the tape and must give the tape back on its result. Other
    /// matrices come in as `y.tensor().clone()`, on the right-hand side of an operation; they get
    /// their gradients too. These operations are correct but slow: good for what is small.
    ///
    /// ```
    /// # use batchlab_tensor::{dfdx::prelude::*, Backend, Matrix, Pass};
    /// # use batchlab_core::ModelError;
    /// fn squared_times<D: Backend>(
    ///     pass: &mut Pass<'_, D>,
    ///     x: &Matrix<D>,
    ///     y: &Matrix<D>,
    /// ) -> Result<Matrix<D>, ModelError> {
    ///     pass.dfdx(x, |x| x.square() * y.tensor().clone())
    /// }
    /// ```
    ///
    /// # Errors
    /// A result that is not contiguous.
    pub fn dfdx(
        &mut self,
        x: &Matrix<D>,
        operations: impl FnOnce(Traced<D>) -> Traced<D>,
    ) -> Result<Matrix<D>, ModelError> {
        let recording = self.tape.is_some();
        let tape = self.tape.take().unwrap_or_default();
        let (result, tape) = operations(x.tensor().clone().put_tape(tape)).split_tape();
        self.tape = recording.then_some(tape);
        Matrix::new(result, recording)
    }

    /// Wraps the result of a kernel. `backward` gets the gradient of the result, which is freed
    /// afterwards, and adds to the gradients of the inputs; it is kept only if `tracked` (one of
    /// the inputs is) and the pass records.
    pub(crate) fn record<F>(&mut self, result: Dense<D>, tracked: bool, backward: F) -> Matrix<D>
    where
        F: FnOnce(&D, &mut Gradients<f32, D>, &mut Buffer<D>) -> Result<(), D::Err> + 'static,
    {
        let recorded = self.record_any(&result, tracked, backward);
        Matrix::from_kernel(result, recorded)
    }

    /// The same for two results of one kernel.
    pub(crate) fn record_pair<F>(
        &mut self,
        results: [Dense<D>; 2],
        tracked: bool,
        backward: F,
    ) -> [Matrix<D>; 2]
    where
        F: FnOnce(&D, &mut Gradients<f32, D>, [&mut Buffer<D>; 2]) -> Result<(), D::Err> + 'static,
    {
        let [_, of_second] = [&results[0], &results[1]].map(Tensor::ghost);
        let recorded = self.record_any(&results[0], tracked, move |device, gradients, first| {
            let second = gradients.get_or_alloc_mut(&of_second)?;
            let mut second = std::mem::replace(second, device.zeros_buffer(0)?);
            backward(device, gradients, [first, &mut second])
        });
        results.map(|result| Matrix::from_kernel(result, recorded))
    }

    /// The same for a result of any shape. Says whether it was recorded.
    pub(crate) fn record_any<S: Shape, F>(
        &mut self,
        result: &Tensor<S, f32, D>,
        tracked: bool,
        backward: F,
    ) -> bool
    where
        F: FnOnce(&D, &mut Gradients<f32, D>, &mut Buffer<D>) -> Result<(), D::Err> + 'static,
    {
        let Some(tape) = self.tape.as_mut().filter(|_| tracked) else { return false };
        let device = self.device.clone();
        let of_result = result.ghost();
        tape.add_backward_op(move |gradients| {
            let gradient = gradients.get_or_alloc_mut(&of_result)?;
            // All users of the result have added to its gradient by now; it is not needed again.
            let mut gradient = std::mem::replace(gradient, device.zeros_buffer(0)?);
            backward(&device, gradients, &mut gradient)
        });
        true
    }

    /// Ends the pass: the loss with everything that its gradients need.
    pub(crate) fn finish(self, seed: Seed<D>) -> Option<TracedLoss<D>> {
        let Seed { tensor, scale } = seed;
        self.tape.map(|tape| TracedLoss { loss: tensor.put_tape(tape), scale })
    }
}

/// Computes the gradients of `scale` times a loss by all parameters, in their order.
pub(crate) fn backward<D: Backend>(
    loss: TracedLoss<D>,
    scale: f64,
    parameters: &Parameters<D>,
) -> Result<Vec<Buffer<D>>, ModelError> {
    loss.scale.set(scale as f32);
    let mut gradients = loss.loss.try_backward().map_err(engine)?;
    let take = |parameter: &Matrix<D>| {
        let gradient = gradients.get_or_alloc_mut(parameter.tensor()).map_err(engine)?;
        let empty = parameters.device().zeros_buffer(0).map_err(engine)?;
        Ok(std::mem::replace(gradient, empty))
    };
    parameters.values().map(take).collect()
}
