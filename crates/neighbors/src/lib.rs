//! From the positions of atoms to edges: fully connected, radius, k nearest neighbours, with
//! periodic images.
//!
//! A data set of structures embeds an [`EdgeRule`](batchlab_core::EdgeRule) and connects each
//! structure by [`connect`]. Everything here is pure and knows no files.

mod connect;
mod error;
mod lattice;

pub use connect::{Neighbors, connect};
pub use error::NeighborError;
