//! Messages from nodes to nodes along the edges.

use crate::backend::{MessageOutput, MessageResult, kernels};
use crate::matrix::engine;
use crate::{Aggregate, Backend, Buffer, EdgeValue, Matrix, Message, Pass};
use batchlab_core::ModelError;

impl<D: Backend> Pass<'_, D> {
    /// Computes `value` for every edge and sums or averages it at the target node of the edge's
    /// message, `[n_node, width]`; 0 for nodes that receive nothing.
    pub fn message(
        &mut self,
        message: Message<D>,
        value: EdgeValue,
        aggregate: Aggregate,
    ) -> Result<Matrix<D>, ModelError> {
        let result = MessageResult { message: value.step, aggregate, edge: None };
        self.run_message(message, result).map(|(received, _)| received)
    }

    /// The same, and returns another value per edge, `[n_edge, width]`, for use with
    /// [`Message::stored`]: the edge state in a network that updates it.
    pub fn message_and_edges(
        &mut self,
        message: Message<D>,
        value: EdgeValue,
        aggregate: Aggregate,
        edge: EdgeValue,
    ) -> Result<(Matrix<D>, Matrix<D>), ModelError> {
        let result = MessageResult { message: value.step, aggregate, edge: Some(edge.step) };
        let (received, edge) = self.run_message(message, result)?;
        let edge = edge.ok_or_else(|| ModelError::Engine("the edges' values are gone".into()))?;
        Ok((received, edge))
    }

    fn run_message(
        &mut self,
        message: Message<D>,
        result: MessageResult,
    ) -> Result<(Matrix<D>, Option<Matrix<D>>), ModelError> {
        let message = Message { precision: self.precision(), ..message };
        let tracked = |step: usize| message.steps[step].tracked;
        let tracked = [tracked(result.message), result.edge.is_some_and(tracked)];
        let keep = self.is_recording() && tracked.contains(&true);
        let (received, edge, kept) =
            self.device().message(&message, result, keep).map_err(engine)?;
        let Some(kept) = kept else {
            let plain = |tensor| Matrix::from_kernel(tensor, false);
            return Ok((plain(received), edge.map(plain)));
        };
        Ok(match edge {
            None => {
                let received = self.record(received, keep, move |device, dy| {
                    backward(device, dy, None, &message, result, kept)
                });
                (received, None)
            }
            Some(edge) => {
                let results = [received, edge];
                let [received, edge] =
                    self.record_pair(results, keep, move |device, [dy, dedge]| {
                        backward(device, dy, Some(&dedge), &message, result, kept)
                    });
                (received, Some(edge))
            }
        })
    }
}

/// Adds to the gradients of all inputs of a message.
fn backward<D: Backend>(
    device: &D,
    mut dy: Buffer<D>,
    dedge: Option<&Buffer<D>>,
    message: &Message<D>,
    result: MessageResult,
    kept: D::Kept,
) -> Result<(), D::Err> {
    let matrices = || message.matrices().flatten().flatten();
    // All are written at once; a matrix that occurs twice gets another buffer for its second
    // occurrence.
    let mut sums = Vec::new();
    for matrix in matrices() {
        let wanted = matrix.is_tracked();
        sums.push(wanted.then(|| matrix.gradient().to_be_added(device)).transpose()?);
    }
    device.message_backward(&mut sums, &mut dy, dedge, message, result, kept)?;
    for (matrix, sum) in matrices().zip(sums) {
        if let Some(sum) = sum {
            matrix.gradient().add(device, sum)?;
        }
    }
    Ok(())
}

kernels! {
    /// Kernels of messages.
    pub trait MessageKernels;

    /// The aggregated messages, `[n_node, width]`; values per edge, `[n_edge, width]`, if
    /// requested; and, if `keep`, what backward needs.
    fn message(message: &Message<Self>, result: MessageResult, keep: bool) -> MessageOutput<Self>;
    /// The needed gradients of `message` with respect to its matrices, in order. `dy` is
    /// overwritten.
    fn message_backward(
        gradients: &mut [Option<Buffer<Self>>], dy: &mut Buffer<Self>, dedge: Option<&Buffer<Self>>,
        message: &Message<Self>, result: MessageResult, kept: Self::Kept
    ) -> ();
}
