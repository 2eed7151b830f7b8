//! Contract checks, strategies for random input, and golden files.
//!
//! Only ever a dev-dependency: a plugin's tests write one line and learn whether it keeps the
//! contract ([`conformance`](mod@conformance) for batchers, [`model`](mod@model) for models).

#![allow(clippy::print_stderr, reason = "skipped checks must be seen in the test log")]
#![allow(clippy::missing_panics_doc, reason = "a check reports a broken contract by a panic")]

pub mod batcher;
pub mod conformance;
pub mod damage;
pub mod device;
pub mod golden;
pub mod golden_models;
pub mod labels;
pub mod model;
pub mod nodes;
pub mod rows;
pub mod two_nodes;
