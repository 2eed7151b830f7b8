//! Checkpoints: everything that a run needs to continue as if it had never stopped.
//!
//! One safetensors file per checkpoint, `step-<step>.<hash>.safetensors`, so that any tool can read
//! the weights:
//!
//! * tensors `parameter.*`, `moment1.*`, `moment2.*`: the parameters and Adam's moments;
//! * tensor `engine`: replaces these for a model in another process: its state, as opaque bytes;
//! * tensor `ledger`: the padded shapes so far, one row each of nodes, edges, graphs, outputs;
//! * in the header, under `batchlab_checkpoint`: [`RunState`] as JSON.
//!
//! The file name contains the first digits of the SHA-256 of the whole file, to detect damage.
//! Files are written to a temporary name, fsynced and renamed.

pub(crate) mod file;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use batchlab_core::model::TrainerState;
use batchlab_core::quote::lossy;
use batchlab_core::{Cursor, Shape};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::schedule::Schedule;
use crate::training_data::TrainingData;

/// Kind of the event recorded with every checkpoint.
pub(crate) const SAVED: &str = "checkpoint";

/// Increment when the meaning of a checkpoint changes.
pub const FORMAT: u32 = 2;

/// The state of a run after a step.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    pub state: RunState,
    pub trainer: TrainerState,
    /// Padded shapes in order of first appearance.
    pub ledger: Vec<Shape>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    pub format: u32,
    pub run_id: String,
    pub step: u64,
    pub n_update: u64,
    /// Position of the stream after the last *trained* batch.
    pub cursor: Cursor,
    /// Number of distinct padded shapes; exceeds the length of `ledger` only beyond its limit.
    pub n_shape: i64,
    /// Length of the journal in bytes at that time: rows up to here belong to steps up to `step`.
    pub journal_end: u64,
    /// The resolved configuration, including all random seeds.
    pub config: Value,
    /// The configuration file; relative paths start there.
    #[serde(serialize_with = "lossy")]
    pub config_path: PathBuf,
    /// Hash over everything that training can see of the data.
    pub dataset_hash: String,
    /// Description of the training data.
    pub data: TrainingData,
    /// Decisions based on evaluations so far.
    pub schedule: Schedule,
    /// Whether the warm-up is over.
    pub is_warm: bool,
    pub version: String,
    /// Hardware dependence of the last bits, see
    /// [`arithmetic`](batchlab_core::model::Trainer::arithmetic).
    pub arithmetic: String,
}

impl RunState {
    /// Whether this is the best state according to early stopping.
    #[must_use]
    pub fn is_best(&self) -> bool {
        self.schedule.best_step() == Some(self.step)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("the checkpoint {} is damaged: {reason}", path.display())]
    Damaged { path: PathBuf, reason: String },
    #[error(
        "the checkpoint {} has format version {found}, but this program reads version {FORMAT}",
        path.display()
    )]
    Format { path: PathBuf, found: u32 },
}

impl Checkpoint {
    /// Writes a checkpoint to a folder and removes all but the `keep` newest ones there. Returns
    /// the file.
    ///
    /// # Errors
    /// A file that cannot be written. Earlier checkpoints are kept in that case.
    pub fn write(&self, folder: &Path, keep: NonZeroU32) -> Result<PathBuf, CheckpointError> {
        let path = file::write(self, folder)?;
        let mut paths = list(folder);
        let n_old = paths.len().saturating_sub(keep.get() as usize);
        for old in paths.drain(..n_old).filter(|old| *old != path) {
            // An extra file does no harm; the next checkpoint tries again.
            let _ = std::fs::remove_file(old);
        }
        Ok(path)
    }

    /// Reads and verifies a checkpoint.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn read(path: &Path) -> Result<Self, CheckpointError> {
        file::read(path)
    }
}

/// The checkpoints in a folder, oldest first; empty if there is no folder.
#[must_use]
pub fn list(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    // By modification time for equal steps: a damaged one may have been rewritten.
    let by_step: BTreeMap<_, _> = entries
        .filter_map(|entry| {
            let path = entry.path();
            let step = file::step_of(&path)?;
            let written = entry.metadata().and_then(|metadata| metadata.modified()).ok();
            Some(((step, written, path.clone()), path))
        })
        .collect();
    by_step.into_values().collect()
}

/// Steps done at the newest undamaged checkpoint whose rows can be read, that is, whose journal
/// position is one of the `ends` of journal entries.
#[must_use]
pub fn newest_with_rows(folder: &Path, ends: &BTreeSet<u64>) -> Option<u64> {
    let state = |path: &PathBuf| Some(Checkpoint::read(path).ok()?.state);
    let with_rows = |state: &RunState| ends.contains(&state.journal_end);
    list(folder).iter().rev().filter_map(state).find(with_rows).map(|state| state.step)
}

/// Folder of the best state with early stopping, next to the other checkpoints.
#[must_use]
pub fn best_folder(folder: &Path) -> PathBuf {
    folder.join("best")
}

/// The best state in a run's checkpoint folder, if it is the state after step `step`.
pub(crate) fn best_after(folder: &Path, step: u64) -> Result<Checkpoint, CheckpointError> {
    let folder = best_folder(folder);
    let path = list(&folder).into_iter().rev().find(|path| file::step_of(path) == Some(step));
    let gone =
        || io::Error::new(io::ErrorKind::NotFound, format!("there is no state after step {step}"));
    Checkpoint::read(&path.ok_or_else(|| CheckpointError::Io { path: folder, source: gone() })?)
}

/// The state that a run provides: the best one if early stopping kept it, otherwise the newest.
/// `damaged` and errors are as for [`newest`].
///
/// # Errors
/// As [`newest`].
pub fn offered(
    folder: &Path,
    damaged: &mut dyn FnMut(&CheckpointError),
) -> Result<Option<Checkpoint>, CheckpointError> {
    match newest(&best_folder(folder), damaged)? {
        Some(best) => Ok(Some(best)),
        None => newest(folder, damaged),
    }
}

/// The newest undamaged checkpoint. `damaged` is called for those that are skipped. `None`: the
/// folder contains no checkpoint.
///
/// # Errors
/// The error of the oldest checkpoint, if none can be read.
pub fn newest(
    folder: &Path,
    damaged: &mut dyn FnMut(&CheckpointError),
) -> Result<Option<Checkpoint>, CheckpointError> {
    newest_of(folder, damaged, &|_, checkpoint| Ok(checkpoint))
}

/// The same, for checkpoints that also pass `check`.
pub(crate) fn newest_of(
    folder: &Path,
    damaged: &mut dyn FnMut(&CheckpointError),
    check: &dyn Fn(&Path, Checkpoint) -> Result<Checkpoint, CheckpointError>,
) -> Result<Option<Checkpoint>, CheckpointError> {
    let mut last = None;
    for path in list(folder).iter().rev() {
        match Checkpoint::read(path).and_then(|checkpoint| check(path, checkpoint)) {
            Ok(checkpoint) => return Ok(Some(checkpoint)),
            Err(error) => {
                damaged(&error);
                last = Some(error);
            }
        }
    }
    last.map_or(Ok(None), Err)
}

#[cfg(test)]
mod tests;
