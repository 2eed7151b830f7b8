//! Results, from the records of a run to the numbers that are compared.
//!
//! ```text
//! Recorder -> Journal -> Sink -> Publisher -> tables/** -> read -> RunSummary -> report, compare
//! ```
//!
//! - [`Recorder`] takes every record of a run, writes it into the [`journal`], and hands it to the
//!   sinks of the run; the [`publish`] module makes their files appear complete, or not at all.
//! - [`recover`] publishes what crashed runs have left, and finds damaged files.
//! - [`read`] is the one way in which published tables are read.
//! - [`RunSummary`] is the one reduction of a run's rows. The end of a run, `report` and `compare` share
//!   it, and `status` shows what the end of a run took from it.
//! - [`export`] writes tables in other formats; [`commands`] are those that made them.
//!
//! This crate does not know how a run is made, and no plugin by name.

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

/// The status of a run that was killed, or whose machine stopped.
pub const CRASHED: &str = "crashed";
