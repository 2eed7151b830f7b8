//! Data set `graphs`: graphs as arrays, written from PyTorch Geometric, jraph or anything else.
//!
//! - [`Graphs`] is the description, and fills the store.
//! - `arrays` reads one array of the file and checks that it fits.

mod arrays;
mod dataset;
mod error;

pub use dataset::Graphs;
