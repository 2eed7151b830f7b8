//! Comparisons of many runs: read from one file, trained in turns, cell by cell.
//!
//! ```text
//! study file ── read ──> cells ── claim ──> train in turns ──> tables, cell marked as done
//! ```
//!
//! A *cell* is one data set, one model, one batch size, one repetition and one variant on one
//! machine, **with all batchers**: they are trained in turns, block by block in one process, so
//! that disturbances of the machine affect all of them equally. A cell is claimed by one process at
//! a time and never resumed midway: the times of a cell never come from two processes.
//!
//! * `batchlab_config`: the content of a study file;
//! * `read`: the resulting cells;
//! * [`blocks`]: how the runs of a cell take turns, and for how long;
//! * [`interleave`](mod@interleave): the same turns for programs that do their own batching;
//! * [`look`]: interim analyses of the mirrored pairs of blocks;
//! * [`cells`]: which cells are waiting, running, or done;
//! * `claims`: claims on cells, for machines that share a folder;
//! * [`sweep()`]: trains them;
//! * [`estimate`]: how long that will take.

pub mod blocks;
pub mod cells;
mod checked_json;
mod claims;
mod device_lock;
mod error;
pub mod estimate;
pub mod interleave;
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
pub use turns::{CellObserver, CellProgress, Outlook};

/// A study in which every run has passed all checks that do not need data.
#[derive(Debug)]
pub struct Study {
    /// Name of the study and of its folder.
    pub name: String,
    pub path: PathBuf,
    pub blocks: Blocks,
    /// In training order.
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
    /// Number of repetitions requested by the study.
    pub n_repeat: u32,
    /// One run per batcher.
    pub runs: Vec<LoadedConfig>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellInfo {
    /// Identifier: a readable name, and a hash of all its configurations.
    pub id: String,
    pub dataset: String,
    pub model: String,
    /// The study's B; `None` if no batcher has one.
    pub batch_size: Option<u32>,
    /// Index of the repetition, from 0.
    pub repeat: u32,
    /// The difference from other variants, such as `training.prefetch=0`; empty without variants.
    pub variant: String,
    pub batchers: Vec<String>,
    /// Steps of each run; 0 if the length is given in epochs.
    pub n_step: u64,
    pub device: String,
}

impl CellInfo {
    /// Description of everything except the batchers.
    #[must_use]
    pub fn title(&self) -> String {
        let size = self.batch_size.map(|size| format!(" B={size}")).unwrap_or_default();
        let variant = if self.variant.is_empty() { "" } else { ", " };
        let Self { dataset, model, repeat, .. } = self;
        format!("{dataset} {model}{size}{variant}{}, repeat {repeat}", self.variant)
    }

    /// Whether two cells differ in nothing but seeds.
    pub(crate) fn is_repeat_of(&self, other: &Self) -> bool {
        let without_repeat = |cell: &Self| Self { id: String::new(), repeat: 0, ..cell.clone() };
        without_repeat(self) == without_repeat(other)
    }
}

/// Current time, in RFC 3339, with milliseconds.
#[must_use]
pub fn now() -> String {
    humantime::format_rfc3339_millis(SystemTime::now().max(SystemTime::UNIX_EPOCH)).to_string()
}
