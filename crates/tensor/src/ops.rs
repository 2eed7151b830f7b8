//! The operations of a [`Pass`](crate::Pass), one file each, for all devices.
//!
//! Every operation computes its result with a device kernel and records how its gradient flows
//! back. Inputs of the wrong shape are a bug in the model and cause a panic; errors are those of
//! the device.

#![allow(clippy::missing_panics_doc, reason = "said once for all, above")]

pub mod adam;
pub mod attend;
pub mod block;
pub mod elementwise;
pub mod equivariant_update;
pub mod geometry;
pub mod linear;
pub mod loss;
pub mod message;
pub mod normalise;
pub mod propagate;
pub mod segment;

pub use adam::AdamKernels;
pub use attend::AttentionKernels;
pub use block::BlockKernels;
pub use elementwise::ElementwiseKernels;
pub use equivariant_update::EquivariantKernels;
pub use geometry::GeometryKernels;
pub use linear::LinearKernels;
pub use loss::LossKernels;
pub use message::MessageKernels;
pub use normalise::NormaliseKernels;
pub use propagate::PropagateKernels;
pub use segment::SegmentKernels;
