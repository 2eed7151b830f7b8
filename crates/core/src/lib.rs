//! The contract of batchlab.
//!
//! Everything that a plugin author meets lives here, in the order in which the data travels:
//!
//! ```text
//! Dataset::load -> Graphs -> Batcher -> BatchPlan -> collate -> PaddedBatch -> Trainer -> records -> Sink
//! ```
//!
//! * [`graphs`]: the columnar store that a [`Dataset`] fills, and the views that batchers see;
//! * [`batcher`], [`plan`], [`budget`], [`oversize`], [`padding`], [`grouping`], [`node_groups`],
//!   [`batch_order`]: who decides which graphs or nodes form a batch, of which shape, and when;
//!   [`batcher_options!`](crate::batcher_options): the options that batchers share;
//! * [`collate()`], [`buffer`]: the one place where graphs are copied, padded and masked;
//! * [`model`]: what is trained; [`weighting`]: how much each output counts; [`sink`], [`record`]: what is written;
//! * [`registry`]: how a name in a configuration file finds its component.
//!
//! This crate knows neither tensors nor files nor clocks.

#![warn(missing_docs)]

// The macros here name this crate as others do.
extern crate self as batchlab_core;

pub mod batch_order;
pub mod batcher;
pub mod budget;
pub mod buffer;
pub mod collate;
pub mod dataset;
pub mod edge_rule;
pub mod error;
mod footprint;
pub mod graphs;
pub mod grouping;
pub mod hash;
mod limits;
pub mod memory;
pub mod model;
pub mod next_fit;
pub mod node_groups;
pub mod number;
mod options;
pub mod oversize;
pub mod padding;
pub mod plan;
pub mod progress;
pub mod quote;
pub mod random;
pub mod record;
pub mod registry;
pub mod shape_set;
pub mod sink;
pub mod weighting;

pub use batcher::{BatchContext, BatchEvent, BatchStream, Batcher, Purpose};
pub use buffer::{BatchBuffer, PaddedBatch};
pub use collate::{BatchFields, collate};
pub use dataset::{Dataset, LoadContext, Provides};
pub use edge_rule::EdgeRule;
pub use error::{BatcherError, CollateError, DatasetError, ModelError, SinkError};
pub use graphs::{GraphSize, Graphs, Level, View};
pub use memory::MemoryBudget;
pub use model::{Model, ModelContext, Trainer};
pub use padding::Padding;
pub use plan::{BatchPlan, Cursor, Shape};
pub use sink::{RecordWriter, Sink};

#[doc(hidden)]
pub mod __private {
    pub use inventory;
    pub use schemars;
    pub use serde;
    pub use serde_json;
    pub use toml;
}
