//! The contract of batchlab, in the order in which the data travels:
//!
//! ```text
//! Dataset::load -> Graphs -> Batcher -> BatchPlan -> collate -> PaddedBatch -> Trainer -> records -> Sink
//! ```
//!
//! * **The contract**: a [`Dataset`] fills the columnar store of [`graphs`]; a [`Batcher`] sees sizes or structure
//!   alone and writes a [`BatchPlan`]; [`collate()`] copies, pads and masks into a [`BatchBuffer`]; a [`Model`] is
//!   trained by its [`Trainer`]; a [`Sink`] writes results. [`register!`] makes a component known to configurations.
//! * **Batching**, for those who write batchers: [`grouping`] and [`node_groups`] do epochs, padding, resuming and
//!   fixed composition; [`budget`], [`oversize`] and [`padding`] decide how much a batch holds and its shape,
//!   [`batch_order`] the order of batches that are kept, [`batcher_options!`] the options that batchers share,
//!   [`weighting`] how much each output counts.
//! * **Results**: [`record`] has the tables and their columns.
//!
//! This crate knows no tensors, opens no files and reads no clock. It asks the file system for names alone:
//! [`LoadContext::resolve`] whether a path exists, and an error message which name is nearest to one that does not.

#![warn(missing_docs)]

// The macros here name this crate as others do.
extern crate self as batchlab_core;

mod batching;
mod contract;
pub mod hash;
pub mod number;
pub mod quote;
pub mod record;

pub use contract::{
    BatchFields, batcher, buffer, collate, dataset, edge_rule, error, graphs, memory, model, plan,
    progress, random, registry, sink,
};

pub use batcher::{BatchContext, BatchEvent, BatchStream, Batcher, Purpose};
pub use buffer::{BatchBuffer, PaddedBatch};
pub use collate::collate;
pub use dataset::{Dataset, LoadContext, Provides};
pub use edge_rule::EdgeRule;
pub use error::{BatcherError, CollateError, DatasetError, ModelError, SinkError};
pub use graphs::{GraphSize, Graphs, Level, View};
pub use memory::MemoryBudget;
pub use model::{Model, ModelContext, Trainer};
pub use plan::{BatchPlan, Cursor, Shape};
pub use sink::{RecordWriter, Sink};

pub use batching::{
    batch_order, budget, grouping, next_fit, node_groups, oversize, padding, weighting,
};
pub use padding::Padding;

#[doc(hidden)]
pub mod __private {
    pub use inventory;
    pub use schemars;
    pub use serde;
    pub use serde_json;
    pub use toml;
}
