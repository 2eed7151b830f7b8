//! A forward pass through a network, with the tape for its gradients.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use batchlab_core::ModelError;
use batchlab_core::model::{Mode, Precision};
use dfdx::prelude::*;

use crate::gradient::Gradient;
use crate::matrix::{engine, n_copy};
use crate::{Backend, Buffer, Dense, Matrix, Parameter, Parameters};

/// A dfdx matrix that carries the tape, as passed to plain dfdx operations by [`Pass::dfdx`].
pub type Traced<D> = Tensor<(usize, usize), f32, D, OwnedTape<f32, D>>;

/// The factor on a loss, a single number on the device. Clones share it.
pub(crate) struct Scale<D: Backend> {
    pub(crate) number: Rc<RefCell<Buffer<D>>>,
    value: Rc<Cell<f32>>,
}

impl<D: Backend> Clone for Scale<D> {
    fn clone(&self) -> Self {
        Self { number: Rc::clone(&self.number), value: Rc::clone(&self.value) }
    }
}

impl<D: Backend> Scale<D> {
    /// 1.
    pub(crate) fn new(device: &D) -> Result<Self, D::Err> {
        let number = device.buffer_of(&[1.0])?;
        Ok(Self { number: Rc::new(RefCell::new(number)), value: Rc::new(Cell::new(1.0)) })
    }

    /// Changes it, after all queued work.
    pub(crate) fn set(&self, device: &D, value: f32) -> Result<(), D::Err> {
        if self.value.replace(value).to_bits() != value.to_bits() {
            device.write(&mut self.number.borrow_mut(), &[value])?;
        }
        Ok(())
    }
}

/// A step of backward.
type Operation<D> = Box<dyn FnOnce() -> Result<(), <D as HasErr>::Err>>;

/// What backward will do, in the order of forward.
enum BackwardTape<D: Backend> {
    /// Along with dfdx's own operations.
    Dfdx(OwnedTape<f32, D>),
    /// On a device without them, where dfdx's start of backward would cost two allocations, two
    /// fills and a copy.
    Own(Vec<Operation<D>>),
}

impl<D: Backend> Default for BackwardTape<D> {
    fn default() -> Self {
        if D::HAS_DFDX_KERNELS { Self::Dfdx(OwnedTape::default()) } else { Self::Own(Vec::new()) }
    }
}

/// What backward will do, from a loss on.
pub(crate) enum TracedLoss<D: Backend> {
    Dfdx { loss: Tensor<Rank0, f32, D, OwnedTape<f32, D>>, uses_dfdx: bool },
    Own(Vec<Operation<D>>),
}

/// A forward pass.
///
/// Operations are methods (see [`crate::ops`]): they take and return plain matrices, and record
/// what backward needs on the tape owned by the pass. In evaluation nothing is recorded.
pub struct Pass<'p, D: Backend> {
    device: D,
    parameters: &'p Parameters<D>,
    tape: Option<BackwardTape<D>>,
    /// Whether there are plain dfdx operations on the tape.
    uses_dfdx: Rc<Cell<bool>>,
    key: u64,
    /// Number of matrices to which dropout was applied.
    n_dropout: u32,
    precision: Precision,
    /// [`n_copy`] at the start.
    n_copy_before: u64,
}

impl<'p, D: Backend> Pass<'p, D> {
    /// A pass with these parameters. `key` selects the random numbers of dropout, `precision` that
    /// of products in layers.
    #[must_use]
    pub fn new(parameters: &'p Parameters<D>, mode: Mode, key: u64, precision: Precision) -> Self {
        let tape = (mode == Mode::Training).then(BackwardTape::default);
        let device = parameters.device().clone();
        let uses_dfdx = Rc::default();
        let n_copy_before = n_copy();
        Self { device, parameters, tape, uses_dfdx, key, n_dropout: 0, precision, n_copy_before }
    }

    /// The device of all data.
    pub fn device(&self) -> &D {
        &self.device
    }

    /// A parameter's current value.
    pub fn parameter(&self, parameter: Parameter) -> &'p Matrix<D> {
        self.parameters.get(parameter)
    }

    /// Whether gradients will be needed.
    #[must_use]
    pub fn is_recording(&self) -> bool {
        self.tape.is_some()
    }

    /// Precision of products in layers.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Selects the random numbers of this pass.
    #[must_use]
    pub fn key(&self) -> u64 {
        self.key
    }

    /// Numbers the matrices to which dropout is applied, from 0.
    pub(crate) fn count_dropout(&mut self) -> u32 {
        self.n_dropout += 1;
        self.n_dropout - 1
    }

    /// Applies plain dfdx operations to `x`.
    ///
    /// The closure gets the tensor with the tape and must return its result with the tape. Other
    /// matrices come in as `y.tensor().clone()`, on the right-hand side of an operation; they get
    /// their gradients too. These operations are correct but slow: suitable for small tensors. A GPU
    /// has none of them.
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
    /// If the result is not contiguous, or the device is a GPU.
    pub fn dfdx(
        &mut self,
        x: &Matrix<D>,
        operations: impl FnOnce(Traced<D>) -> Traced<D>,
    ) -> Result<Matrix<D>, ModelError> {
        let recording = self.tape.is_some();
        let BackwardTape::Dfdx(tape) = self.tape.take().unwrap_or_default() else {
            return Err(engine(
                "dfdx's own operations run on a CPU only; use other operations of Pass in this model, \
                 or device = \"cpu\"",
            ));
        };
        let (result, mut tape) = operations(x.tensor().clone().put_tape(tape)).split_tape();
        let result = Matrix::new(result, recording)?;
        if recording {
            // dfdx looks for the gradient in its own store.
            let (gradient, of_result) = (result.gradient(), result.tensor().ghost());
            tape.add_backward_op(move |gradients| {
                if let Some(sum) = gradient.take() {
                    *gradients.get_or_alloc_mut(&of_result)? = sum;
                }
                Ok(())
            });
            self.uses_dfdx.set(true);
            self.tape = Some(BackwardTape::Dfdx(tape));
        }
        Ok(result)
    }

    /// Wraps the result of a kernel. `backward` gets the gradient of the result and adds to the
    /// gradients of the inputs; it is kept only if `tracked` (one of the inputs is) and the pass
    /// records.
    pub(crate) fn record<F>(&mut self, result: Dense<D>, tracked: bool, backward: F) -> Matrix<D>
    where
        F: FnOnce(&D, Buffer<D>) -> Result<(), D::Err> + 'static,
    {
        let result = Matrix::from_kernel(result, tracked && self.tape.is_some());
        let gradient = result.gradient();
        self.push(&[&result], move |device| backward(device, gradient.finish(device)?));
        result
    }

    /// The same for a kernel with two results.
    pub(crate) fn record_pair<F>(
        &mut self,
        results: [Dense<D>; 2],
        tracked: bool,
        backward: F,
    ) -> [Matrix<D>; 2]
    where
        F: FnOnce(&D, [Buffer<D>; 2]) -> Result<(), D::Err> + 'static,
    {
        let tracked = tracked && self.tape.is_some();
        let [first, second] = results.map(|result| Matrix::from_kernel(result, tracked));
        let (of_first, of_second) = (first.gradient(), second.gradient());
        self.push(&[&first, &second], move |device| {
            backward(device, [of_first.finish(device)?, of_second.finish(device)?])
        });
        [first, second]
    }

    /// The same for a kernel with any number of results, not all of which need have a gradient.
    pub(crate) fn record_all<F>(
        &mut self,
        results: Vec<Dense<D>>,
        tracked: bool,
        backward: F,
    ) -> Vec<Matrix<D>>
    where
        F: FnOnce(&D, Vec<Option<Buffer<D>>>) -> Result<(), D::Err> + 'static,
    {
        let tracked = tracked && self.tape.is_some();
        let results = results.into_iter().map(|result| Matrix::from_kernel(result, tracked));
        let results: Vec<_> = results.collect();
        let gradients: Vec<_> = results.iter().map(Matrix::gradient).collect();
        self.push(&results.iter().collect::<Vec<_>>(), move |device| {
            let each = gradients
                .iter()
                .map(|gradient| gradient.is_some().then(|| gradient.finish(device)).transpose());
            backward(device, each.collect::<Result<_, _>>()?)
        });
        results
    }

    /// Runs `backward` once all users of a kernel's results have added to their gradients, if there
    /// are any.
    fn push<F>(&mut self, results: &[&Matrix<D>], backward: F)
    where
        F: FnOnce(&D) -> Result<(), D::Err> + 'static,
    {
        let tracked = results.iter().any(|result| result.is_tracked());
        let Some(tape) = self.tape.as_mut().filter(|_| tracked) else { return };
        let device = self.device.clone();
        match tape {
            BackwardTape::Own(operations) => {
                let each: Vec<_> = results.iter().map(|result| result.gradient()).collect();
                operations.push(Box::new(move || {
                    if each.iter().any(Gradient::is_some) { backward(&device) } else { Ok(()) }
                }));
            }
            BackwardTape::Dfdx(tape) => {
                let uses_dfdx = Rc::clone(&self.uses_dfdx);
                let each =
                    results.iter().map(|result| (result.gradient(), result.tensor().ghost()));
                let each: Vec<_> = each.collect();
                tape.add_backward_op(move |gradients| {
                    let mut is_used = false;
                    for (gradient, of_result) in &each {
                        if uses_dfdx.get() {
                            let of_dfdx = gradients.get_or_alloc_mut(of_result)?;
                            let of_dfdx = std::mem::replace(of_dfdx, device.zeros_buffer(0)?);
                            gradient.add(&device, of_dfdx)?;
                        }
                        is_used |= gradient.is_some();
                    }
                    if is_used { backward(&device) } else { Ok(()) }
                });
            }
        }
    }

    /// Records the start of the gradients: `backward` runs first.
    pub(crate) fn record_loss<F>(&mut self, backward: F)
    where
        F: FnOnce(&D) -> Result<(), D::Err> + 'static,
    {
        let device = self.device.clone();
        match &mut self.tape {
            Some(BackwardTape::Own(operations)) => {
                operations.push(Box::new(move || backward(&device)));
            }
            Some(BackwardTape::Dfdx(tape)) => tape.add_backward_op(move |_| backward(&device)),
            None => {}
        }
    }

    /// Ends the pass; returns the loss with everything that its gradients need.
    pub(crate) fn finish(self) -> Result<Option<TracedLoss<D>>, ModelError> {
        let tape = match self.tape {
            None => return Ok(None),
            Some(BackwardTape::Own(operations)) => return Ok(Some(TracedLoss::Own(operations))),
            Some(BackwardTape::Dfdx(tape)) => tape,
        };
        // A placeholder for the loss on the tape: its gradient starts with `record_loss`.
        let loss: Tensor<Rank0, f32, D> = self.device.try_zeros_like(&()).map_err(engine)?;
        let uses_dfdx = self.uses_dfdx.get();
        Ok(Some(TracedLoss::Dfdx { loss: loss.put_tape(tape), uses_dfdx }))
    }

    /// Whether repeating the same work on other numbers is equivalent to a new pass: no random
    /// numbers, and no numbers from the host.
    pub(crate) fn can_be_repeated(&self) -> bool {
        self.n_dropout == 0 && n_copy() == self.n_copy_before
    }
}

/// Computes the gradients of a loss, times its scale, with respect to all parameters, in order.
pub(crate) fn backward<D: Backend>(
    loss: TracedLoss<D>,
    parameters: &Parameters<D>,
) -> Result<Vec<Buffer<D>>, ModelError> {
    // An error in the middle of a previous pass may have left some.
    parameters.values().for_each(|parameter| drop(parameter.gradient().take()));
    let mut of_dfdx = match loss {
        TracedLoss::Own(operations) => {
            operations.into_iter().rev().try_for_each(|operation| operation()).map_err(engine)?;
            None
        }
        TracedLoss::Dfdx { loss, uses_dfdx } => {
            let gradients = loss.try_backward().map_err(engine)?;
            uses_dfdx.then_some(gradients)
        }
    };
    let device = parameters.device();
    let mut finish = |parameter: &Matrix<D>| {
        let gradient = parameter.gradient();
        if let Some(gradients) = &mut of_dfdx {
            let of_dfdx = gradients.get_or_alloc_mut(parameter.tensor())?;
            gradient.add(device, std::mem::replace(of_dfdx, device.zeros_buffer(0)?))?;
        }
        gradient.finish(device)
    };
    parameters.values().map(|parameter| finish(parameter).map_err(engine)).collect()
}
