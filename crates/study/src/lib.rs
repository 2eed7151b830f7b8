//! Many runs that are compared: read from one file, trained in turns, cell by cell.
//!
//! ```text
//! study file ── read ──> cells ── claim ──> train in turns ──> tables, cell marked as done
//! ```
//!
//! A *cell* is one data set, one model, one batch size, one repetition and one variant on one machine,
//! **with all batchers**: they are trained in one process, block by block in turns, so that
//! disturbances of the machine affect all of them alike. A cell is claimed by one process at a time and
//! never resumed in its middle: times of a cell never come from two processes.
//!
//! * `batchlab_config`: what a study file says;
//! * `read`: which cells that makes;
//! * [`blocks`]: how the runs of a cell take turns, and for how long;
//! * [`look`]: what mirrored pairs of blocks show;
//! * [`cells`]: which cells are waiting, running, done;
//! * `claims`: who works on a cell, where machines share a folder;
//! * [`sweep()`]: trains them;
//! * [`estimate`]: how long that will take.

pub mod blocks;
pub mod cells;
mod checked_json;
mod claims;
mod device_lock;
mod error;
pub mod estimate;
pub mod look;
mod names;
mod read;
mod sweep;
mod turns;

use std::path::PathBuf;
use std::time::SystemTime;

use batchlab_config::{Blocks, LoadedConfig};
use serde::{Deserialize, Serialize};

pub use claims::{ClaimError, ClaimSettings, Owner};
pub use device_lock::DeviceBusy;
pub use error::StudyError;
pub use sweep::{Sweep, SweepObserver, SweepOptions, sweep};
pub use turns::{CellObserver, Outlook, Place};

/// A study whose every run has passed the checks that need no data.
#[derive(Debug)]
pub struct Study {
    /// Name, also that of its folder.
    pub name: String,
    pub path: PathBuf,
    pub blocks: Blocks,
    /// In the order in which they are trained.
    pub cells: Vec<Cell>,
}

impl Study {
    /// The file, for messages.
    #[must_use]
    pub fn name_of_file(&self) -> String {
        if self.path.as_os_str().is_empty() {
            "the configuration".to_owned()
        } else {
            self.path.display().to_string()
        }
    }

    #[must_use]
    pub fn n_run(&self) -> usize {
        self.cells.iter().map(|cell| cell.runs.len()).sum()
    }
}

/// The runs that are trained together, in turns.
#[derive(Debug)]
pub struct Cell {
    pub info: CellInfo,
    /// How many repetitions of it the study asks for.
    pub n_repeat: u32,
    /// One run per batcher.
    pub runs: Vec<LoadedConfig>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellInfo {
    /// Identifier: a name that people can read, and a hash of all its configurations.
    pub id: String,
    pub dataset: String,
    pub model: String,
    /// The study's B; none if no batcher has one.
    pub batch_size: Option<u32>,
    /// Number of the repetition, from 0.
    pub repeat: u32,
    /// What is different from other variants, such as `training.prefetch=0`; empty without variants.
    pub variant: String,
    pub batchers: Vec<String>,
    /// Steps of each run; 0 where epochs are asked for.
    pub n_step: u64,
    pub device: String,
}

impl CellInfo {
    /// Everything but the batchers, in words.
    #[must_use]
    pub fn title(&self) -> String {
        let size = self.batch_size.map(|size| format!(" B={size}")).unwrap_or_default();
        let variant = if self.variant.is_empty() { "" } else { ", " };
        let Self { dataset, model, repeat, .. } = self;
        format!("{dataset} {model}{size}{variant}{}, repeat {repeat}", self.variant)
    }
}

/// The time, in RFC 3339.
#[must_use]
pub fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now().max(SystemTime::UNIX_EPOCH)).to_string()
}
