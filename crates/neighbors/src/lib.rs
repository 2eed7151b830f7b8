//! From atom positions to edges: fully connected, radius, k nearest neighbours, with periodic
//! images.
//!
//! A data set of structures embeds an [`EdgeRule`](batchlab_core::EdgeRule). While reading, it
//! passes each structure to an [`EdgeCollector`], which produces the edges of its `Graphs`, or to a
//! [`StructureCollector`], which produces the `Graphs` themselves. Both use [`connect`]. This crate
//! is pure computation without file access.

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
