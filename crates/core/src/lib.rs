//! The contract of batchlab, in the order in which the data travels:
//!
//! ```text
//! Dataset::load -> Graphs -> Batcher -> BatchPlan -> collate -> PaddedBatch -> Trainer -> records -> Sink
//! ```
//!
//! * **The contract**: a [`Dataset`] fills the columnar store of [`graphs`]; a [`Batcher`] sees
//!   only sizes or structure and writes a [`BatchPlan`]; [`collate()`] copies, pads and masks into
//!   a [`BatchBuffer`]; a [`Model`] is trained by its [`Trainer`]; a [`Sink`] writes results.
//!   [`register!`] makes a component available to configurations.
//! * **Batching**, for authors of batchers: [`grouping`] and [`node_groups`] handle epochs,
//!   padding, resuming and fixed composition; [`budget`], [`oversize`] and [`padding`] determine
//!   how much a batch holds and its shape, [`batch_order`] the order of reused batches,
//!   [`batcher_options!`] the options that batchers share, and [`weighting`] the weight of each
//!   output.
//! * **Results**: [`record`] contains the tables and their columns.
//!
//! This crate has no tensors, opens no files and reads no clock. It only queries names in the file
//! system: [`LoadContext::resolve`] checks whether a path exists, and error messages suggest
//! similar names.

#![warn(missing_docs)]

// The macros refer to this crate by its external name.
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
