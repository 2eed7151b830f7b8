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
use super::error::Error;
use super::kernels::Kernels;
use crate::backend::MessageOutput;
use crate::{Message, MessageResult};

pub(super) use call::Kept;

impl Kernels<'_> {
    pub(crate) fn message(
        &self,
        message: &Message<Cuda>,
        result: MessageResult,
        keep: bool,
    ) -> Result<MessageOutput<Cuda>, Error> {
        let compiled = compiled::find(self.gpu, message.program(result), keep)?;
        Call { plain: self, message, result, compiled: &compiled }.forward(keep)
    }

    #[allow(clippy::needless_pass_by_value, reason = "what was kept is given back")]
    pub(crate) fn message_backward(
        &self,
        gradients: &mut [Option<Buffer>],
        dy: &Buffer,
        dedge: Option<&Buffer>,
        message: &Message<Cuda>,
        result: MessageResult,
        kept: Kept,
    ) -> Result<(), Error> {
        let compiled = compiled::find(self.gpu, message.program(result), true)?;
        let call = Call { plain: self, message, result, compiled: &compiled };
        call.backward(gradients, dy, dedge, &kept)
    }
}
