//! The traits that plugins implement and the program calls. Nothing here depends on how batches are
//! formed, except the default of [`Batcher::label`](batcher::Batcher::label).

pub mod batcher;
pub mod buffer;
pub mod collate;
pub mod dataset;
pub mod edge_rule;
pub mod error;
mod fields;
pub(crate) mod footprint;
pub mod graphs;
mod level;
pub mod memory;
pub mod model;
pub mod plan;
pub mod progress;
pub mod random;
pub mod registry;
pub mod sink;
mod suggestion;

pub use fields::BatchFields;
