//! Messages from nodes to nodes along the edges.

use crate::backend::MessageResult;
use crate::matrix::engine;
use crate::{Aggregate, Backend, Buffer, EdgeValue, Matrix, Message, Pass};
use batchlab_core::ModelError;

type Gradients<D> = dfdx::prelude::Gradients<f32, D>;

impl<D: Backend> Pass<'_, D> {
    /// Computes `value` for every edge and sums or averages it at the node that the edge's messages
    /// go to, `[n_node, width]`; 0 for nodes that receive nothing.
    pub fn message(
        &mut self,
        message: Message<D>,
        value: EdgeValue,
        aggregate: Aggregate,
    ) -> Result<Matrix<D>, ModelError> {
        let result = MessageResult { message: value.step, aggregate, edge: None };
        self.run_message(message, result).map(|(received, _)| received)
    }

    /// The same, and gives out another value edge by edge, `[n_edge, width]`, for
    /// [`Message::stored`] to take up: the state of the edges in a network that updates it.
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

    /// What nodes have received from [`Message::equivariant`], `[n_node, 4 width]`: scalars
    /// `[n_node, width]`, and vectors `[3 n_node, width]`, rows x, y and z of each node.
    pub fn scalars_and_vectors(
        &mut self,
        received: &Matrix<D>,
    ) -> Result<[Matrix<D>; 2], ModelError> {
        let [n_node, n_column] = received.shape();
        assert!(n_column.is_multiple_of(4), "scalars and three components of vectors");
        let width = n_column / 4;
        let rows = 0..n_node;
        let part = |columns, shape| self.device().block(received.tensor(), &rows, &columns, shape);
        let scalars = part(0..width, [n_node, width]).map_err(engine)?;
        let vectors = part(width..n_column, [3 * n_node, width]).map_err(engine)?;
        let of_received = received.tensor().ghost();
        let results = [scalars, vectors];
        Ok(self.record_pair(results, received.is_tracked(), move |device, gradients, [ds, dv]| {
            let dx = gradients.get_or_alloc_mut(&of_received)?;
            device.block_backward(dx, ds, n_column, &rows, &(0..width))?;
            device.block_backward(dx, dv, n_column, &rows, &(width..n_column))
        }))
    }

    fn run_message(
        &mut self,
        message: Message<D>,
        result: MessageResult,
    ) -> Result<(Matrix<D>, Option<Matrix<D>>), ModelError> {
        assert!(
            !message.of_pairs || (message.suits_pairs(result.message) && result.edge.is_none()),
            "messages of pairs are a filter times what the sender has"
        );
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
                let received = self.record(received, keep, move |device, gradients, dy| {
                    backward(device, gradients, dy, None, &message, result, kept)
                });
                (received, None)
            }
            Some(edge) => {
                let results = [received, edge];
                let [received, edge] =
                    self.record_pair(results, keep, move |device, gradients, [dy, dedge]| {
                        backward(device, gradients, dy, Some(dedge), &message, result, kept)
                    });
                (received, Some(edge))
            }
        })
    }
}

/// Adds to the gradients of everything that a message was made of.
fn backward<D: Backend>(
    device: &D,
    gradients: &mut Gradients<D>,
    dy: &mut Buffer<D>,
    dedge: Option<&Buffer<D>>,
    message: &Message<D>,
    result: MessageResult,
    kept: D::Kept,
) -> Result<(), D::Err> {
    let matrices = || message.matrices().flatten().flatten();
    let mut taken = Vec::new();
    for matrix in matrices() {
        let wanted = matrix.is_tracked();
        taken.push(if wanted { Some(take(device, gradients, matrix)?) } else { None });
    }
    device.message_backward(&mut taken, dy, dedge, message, result, kept)?;
    for (matrix, buffer) in matrices().zip(taken) {
        if let Some(buffer) = buffer {
            put_back(device, gradients, matrix, buffer)?;
        }
    }
    Ok(())
}

/// Takes the gradient of a matrix out, so that several can be written at once. A matrix that occurs
/// twice gets another buffer for the second time.
fn take<D: Backend>(
    device: &D,
    gradients: &mut Gradients<D>,
    matrix: &Matrix<D>,
) -> Result<Buffer<D>, D::Err> {
    let empty = device.zeros_buffer(0)?;
    let buffer = std::mem::replace(gradients.get_or_alloc_mut(matrix.tensor())?, empty);
    let n = matrix.n_row() * matrix.n_column();
    if length(device, &buffer) == n { Ok(buffer) } else { device.zeros_buffer(n) }
}

fn put_back<D: Backend>(
    device: &D,
    gradients: &mut Gradients<D>,
    matrix: &Matrix<D>,
    buffer: Buffer<D>,
) -> Result<(), D::Err> {
    let place = gradients.get_or_alloc_mut(matrix.tensor())?;
    if length(device, place) == length(device, &buffer) {
        device.accumulate(place, &buffer)
    } else {
        *place = buffer;
        Ok(())
    }
}

fn length<D: Backend>(device: &D, buffer: &Buffer<D>) -> usize {
    dfdx::tensor::Storage::<f32>::len(device, buffer)
}
