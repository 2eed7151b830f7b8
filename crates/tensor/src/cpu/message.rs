//! Messages, block by block: every value of a block of edges stays in the cache until it has been
//! aggregated at the nodes.
//!
//! [`step`] analyses the computation and decides which values are kept for backward; [`forward`]
//! and [`backward`] go over the blocks of the tasks created by [`tasks`]; [`rows`] has the loops
//! over rows.

mod backward;
mod band;
mod block;
mod equivariant;
mod forward;
mod rows;
mod step;
mod tasks;

use dfdx::prelude::*;

use self::backward::Incoming;
use self::step::Plan;

impl MessageKernels for Cpu {
    fn message(
        &self,
        message: &Message<Self>,
        result: MessageResult,
        keep: bool,
    ) -> Result<MessageOutput<Self>> {
        let edges = &message.edges;
        let plan = Plan::new(message, result, keep);
        let [n_node, width] = [edges.to.n_segment, message.steps[result.message].width];
        let edge_shape = result.edge.map(|step| [edges.from.n_item, message.steps[step].width]);
        let mut received = out::zeros(n_node * width);
        let mut edge = out::zeros(edge_shape.map_or(0, |[n, width]| n * width));
        let kept = forward::forward(&plan, &edges.plan, &mut received, &mut edge);
        scale(&mut received, &edges.to.offset, result.aggregate, width);
        let received = self.try_tensor_from_vec(received, (n_node, width))?;
        let edge = edge_shape.map(|[n, width]| self.try_tensor_from_vec(edge, (n, width)));
        Ok((received, edge.transpose()?, keep.then_some(kept)))
    }

    fn message_backward(
        &self,
        gradients: &mut [Option<Buffer>],
        dy: &mut Buffer,
        dedge: Option<&Buffer>,
        message: &Message<Self>,
        result: MessageResult,
        kept: Kept,
    ) -> Result<()> {
        let edges = &message.edges;
        let width = message.steps[result.message].width;
        scale(dy, &edges.to.offset, result.aggregate, width);
        let mut rest = gradients.iter_mut().map(|gradient| gradient.as_deref_mut());
        let mut own = |matrix: Option<&Matrix<_>>| {
            let (matrix, gradient) = (matrix?, rest.next().flatten()?);
            Some(sums(gradient, matrix.n_row() * matrix.n_column()))
        };
        let by_step = message.matrices().map(|matrices| matrices.map(&mut own)).collect();
        let incoming = Incoming { received: dy, edge: dedge.map(|edge| edge.as_slice()) };
        let plan = Plan::new(message, result, true);
        backward::backward(&plan, &edges.plan, incoming, kept, by_step);
        Ok(())
    }
}

pub(super) use self::tasks::EdgePlan;
use super::scratch::Scratch;
use super::segment::scale;
use super::{Buffer, Result, out, sums};
use crate::backend::MessageOutput;
use crate::ops::MessageKernels;
use crate::{Matrix, Message, MessageResult};

/// Edge values needed by backward, per step: `[n_edge, padded width]`, in the order of the tasks.
/// Empty for steps that are not kept.
#[derive(Debug)]
pub struct Kept(Vec<Scratch>);
