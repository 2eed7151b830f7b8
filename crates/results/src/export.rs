//! Exports published tables to other formats.
//!
//! - [`to_sink`]: every table through any sink that a run could use;
//! - [`to_tensorboard`]: one event file per run.

mod event_file;
mod sink;
mod tensorboard;

use std::path::PathBuf;

use crate::read::DamagedRun;
pub use sink::to_sink;
pub use tensorboard::to_tensorboard;

/// The result of an export.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exported {
    /// The files.
    pub files: Vec<PathBuf>,
    /// Rows of all tables, or number of values in event files.
    pub n_row: u64,
    /// Runs that were left out.
    pub damaged: Vec<DamagedRun>,
}
