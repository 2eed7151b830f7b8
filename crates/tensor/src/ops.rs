//! The operations of a [`Pass`](crate::Pass), one file each, for all devices.
//!
//! Every operation computes its result with a kernel of the device and records how its gradient
//! flows back. Inputs of the wrong shape are a bug of the model and panic; errors are those of the
//! device.

#![allow(clippy::missing_panics_doc, reason = "said once for all, above")]

pub mod attend;
pub mod block;
pub mod elementwise;
pub mod equivariant_update;
pub mod gather;
pub mod gaussian;
pub mod geometry;
pub mod linear;
pub mod loss;
pub mod message;
pub mod normalise;
pub mod propagate;
pub mod segment;
