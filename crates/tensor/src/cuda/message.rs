//! Messages on a GPU, tile by tile: every edge value of a tile stays in a multiprocessor's shared
//! memory until it has been aggregated at the nodes.
//!
//! Each program, that is, each structure of a [`Message`], gets its own kernels, which are
//! generated and compiled at its first use. [`tiling`] decides which steps have a tile;
//! [`forward`], [`backward`] and [`pass`] generate the source on top of the templates in
//! `kernels/message_*.cuh`; [`source`] places the tiles in memory; [`call`] launches.
//!
//! Sums are computed in an order determined by the batch alone, without atomic additions.

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
