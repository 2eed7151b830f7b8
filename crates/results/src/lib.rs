//! Results, from the records of a run to the numbers to compare.
//!
//! ```text
//! Recorder -> Journal -> Sink -> Publisher -> tables/** -> read -> RunSummary -> report, compare
//! ```
//!
//! - [`Recorder`] receives every record of a run, writes it to the [`journal`], and passes it to
//!   the sinks of the run; the [`publish`] module publishes their files atomically.
//! - [`recover`] publishes what crashed runs have left, and finds damaged files.
//! - [`read`] is the only reader of published tables.
//! - [`RunSummary`] is the only reduction of a run's rows, used at the end of a run, by `report`
//!   and by `compare`; `status` shows its values from the end of the run.
//! - [`export`] writes tables in other formats; [`commands`] lists the commands that produced them.
//!
//! This crate does not know how runs are produced, and refers to no plugin by name.

pub mod commands;
mod counted;
mod earlier;
mod error;
pub mod export;
mod files;
pub mod journal;
mod lock;
pub mod manifest;
pub mod publish;
pub mod read;
mod recorder;
pub mod recover;
mod summary;
mod writers;

pub use error::ResultsError;
pub use journal::{Entries, Entry, Journal};
pub use lock::{Lock, is_locked};
pub use manifest::{Manifest, PublishedFile};
pub use publish::Publisher;
pub use read::{DamagedRun, Published};
pub use recorder::Recorder;
pub use summary::{
    Block, DISTURBED, DeviceTimes, NewShapes, Parts, RunSummary, StepSummary, StepSums, Times,
    Untimed, Work,
};

/// Status of a run that was killed, or whose machine stopped.
pub const CRASHED: &str = "crashed";
