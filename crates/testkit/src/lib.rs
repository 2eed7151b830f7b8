//! Contract checks, strategies for random input, golden files, and real files for readers.
//!
//! Only for use as a dev-dependency: with one line in its tests, a plugin is checked against the
//! contract ([`conformance`](mod@conformance) for batchers, [`model`](mod@model) for models).

#![allow(clippy::print_stderr, reason = "measured errors are seen in the test log")]
#![allow(clippy::missing_panics_doc, reason = "a check reports a broken contract by a panic")]

use std::path::{Path, PathBuf};

pub mod batcher;
mod check;
pub mod conformance;
pub mod damage;
pub mod device;
pub mod golden;
pub mod golden_models;
pub mod golden_nodes;
pub mod labels;
pub mod model;
pub mod node_conformance;
pub mod nodes;
pub mod records;
pub mod rows;
pub mod two_nodes;

/// A real file for tests of readers, listed in `fixtures/README.md`.
#[must_use]
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}
