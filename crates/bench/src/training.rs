//! The training step of any model on one batch, timed on request and compared with peers.
//!
//! A [`Case`](case::Case) is a model on a batch of [`Structures`](structures::Structures). Its batch,
//! parameters, loss and gradients go to files that the peers read ([`tensors`]), so that all sides
//! compute the same numbers. [`floor`] estimates what the step cannot do without.

pub mod batch;
pub mod case;
pub mod floor;
pub mod memory;
pub mod serve;
pub mod structures;
pub mod tensors;

use model_mpeu as _;
use model_painn as _;
use model_schnet as _;
