//! Published tables in other formats.
//!
//! - [`to_sink`]: every table through a sink, the same that a run could have written with;
//! - [`to_tensorboard`]: one event file per run.

mod event_file;
mod sink;
mod tensorboard;

use std::path::PathBuf;

use crate::read::DamagedRun;
pub use event_file::{Event, Summary, Value, read_events};
pub use sink::to_sink;
pub use tensorboard::to_tensorboard;

/// What an export has written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exported {
    /// The files.
    pub files: Vec<PathBuf>,
    /// Rows of all tables, or values of event files.
    pub n_row: u64,
    /// Runs that are left out.
    pub damaged: Vec<DamagedRun>,
}
