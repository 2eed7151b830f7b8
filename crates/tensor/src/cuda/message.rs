//! Messages on a GPU, tile by tile: every value of some edges stays in a processor's own memory until
//! the nodes have received theirs.
//!
//! Each program, that is each structure of a [`Message`], gets kernels of its own, which are written
//! and compiled when it first occurs. [`tiling`] decides what has a tile; [`forward`], [`backward`] and
//! [`pass`] write the source on top of the templates in `kernels/message_*.cuh`; [`source`] finds room
//! for the tiles; [`call`] launches.
//!
//! Sums are made in an order that follows from the batch alone, without atomic additions.

mod backward;
mod call;
mod compiled;
mod forward;
mod kernel;
mod kernels;
mod parameter;
mod pass;
mod source;
mod sources;
mod tiling;

use call::Call;
use dfdx::prelude::*;

use super::Buffer;
use super::kernels::Kernels;
use crate::backend::MessageOutput;
use crate::{Message, MessageResult};

pub(super) use call::Kept;

type Result<T> = std::result::Result<T, <Cuda as HasErr>::Err>;

/// See [`Backend::message`](crate::Backend::message).
pub(super) fn message(
    cuda: &Cuda,
    message: &Message<Cuda>,
    result: MessageResult,
    keep: bool,
) -> Result<MessageOutput<Cuda>> {
    let plain = Kernels::of(cuda)?;
    let compiled = compiled::find(plain.gpu, message.program(result), keep)?;
    Ok(Call { plain, message, result, compiled: &compiled }.forward(keep)?)
}

/// See [`Backend::message_backward`](crate::Backend::message_backward).
pub(super) fn message_backward(
    cuda: &Cuda,
    gradients: &mut [Option<Buffer>],
    dy: &Buffer,
    dedge: Option<&Buffer>,
    message: &Message<Cuda>,
    result: MessageResult,
    kept: &Kept,
) -> Result<()> {
    let plain = Kernels::of(cuda)?;
    let compiled = compiled::find(plain.gpu, message.program(result), true)?;
    let call = Call { plain, message, result, compiled: &compiled };
    Ok(call.backward(gradients, dy, dedge, kept)?)
}
