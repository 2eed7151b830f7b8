//! Messages, block by block: every value of a block of edges stays in the cache until the nodes have
//! received theirs.
//!
//! [`step`] looks at what is to be computed and decides which values backward finds in memory;
//! [`forward`] and [`backward`] go over the blocks of the tasks that [`tasks`] has cut;
//! [`rows`] are the loops over rows.

mod backward;
mod band;
mod block;
mod equivariant;
mod forward;
mod rows;
mod step;
mod tasks;

pub(super) use backward::{Incoming, backward};
pub(super) use forward::forward;
pub(super) use step::Plan;
pub(super) use tasks::EdgePlan;

use super::scratch::Scratch;

/// Values of the edges that backward needs, by step: `[n_edge, padded width]`, in the order of the
/// tasks. Empty where none are kept.
#[derive(Debug)]
pub struct Kept(Vec<Scratch>);
