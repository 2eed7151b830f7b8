//! From the positions of atoms to edges: fully connected, radius, k nearest neighbours, with
//! periodic images.
//!
//! A data set of structures embeds an [`EdgeRule`](batchlab_core::EdgeRule) and, while it reads,
//! gives each structure to an [`EdgeCollector`], which ends as the edges of its `Graphs`, or to a
//! [`StructureCollector`], which ends as the `Graphs` themselves.
//! [`connect`] is the function behind it. Everything here is pure and knows no files.

mod bins;
mod collector;
mod connect;
mod error;
mod lattice;
mod search;
mod structure_collector;

pub use collector::EdgeCollector;
pub use connect::{Neighbors, connect, estimated_bytes};
pub use error::NeighborError;
pub use structure_collector::StructureCollector;
