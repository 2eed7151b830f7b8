//! Data set `graphs`: graphs as arrays, exported from PyTorch Geometric, jraph or any other
//! library.
//!
//! - [`Graphs`] is the configuration, and loads the data.
//! - `arrays` reads one array of the file and checks that it fits.

mod arrays;
mod dataset;
mod error;

pub use dataset::Graphs;
