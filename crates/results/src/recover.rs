//! Publishes what crashed runs have left, and finds damaged files.
//!
//! A killed run has left a journal in `wip/`. Its intact entries become tables as at the end of any
//! run, through the sinks of its own configuration, with status `crashed`. An entry contains the
//! records of all tables since the previous entry, so the tables are consistent: no event or
//! evaluation refers to a step without a row. Recovery is idempotent.

mod republish;
mod salvage;
mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use batchlab_core::quote::lossy;
use serde::{Serialize, Serializer};

use crate::publish::{strays, unfinished};
use crate::{ResultsError, is_locked};

/// What was found in the folder of a study, and what was done.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecoveryReport {
    /// Runs with remains in `wip/`.
    pub runs: Vec<CrashedRun>,
    /// Items in `wip/` that belong to no run; they are left alone.
    #[serde(serialize_with = "lossy_all")]
    pub strays: Vec<PathBuf>,
    /// Number of files under `tables/` that were read completely, plus published files that are
    /// missing.
    pub n_file: usize,
    /// Number of files compared with the checksums from their publication.
    pub n_verified: usize,
    /// Files that readers fail on, or that differ from the published ones.
    pub damaged: Vec<DamagedFile>,
}

/// A run with remains in `wip/`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CrashedRun {
    /// The run.
    pub run_id: String,
    /// What was found and done.
    #[serde(flatten)]
    pub finding: Finding,
}

/// What was found in a run's folder in `wip/`, and what was done about it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "finding", rename_all = "snake_case")]
pub enum Finding {
    /// Its process is alive; nothing was changed.
    #[serde(rename = "at_work")]
    Running,
    /// Its process ended before anything was recorded, or after everything was published; the
    /// folder was removed.
    Nothing,
    /// No entry of its journal can be read, although complete entries were written.
    Unreadable {
        /// The journal, for manual repair.
        path: PathBuf,
    },
    /// Its rows are now in `tables/` (with `dry_run`, they would be).
    Salvaged(Salvage),
    /// Its rows cannot be published and were left in place.
    Stuck {
        /// Reason.
        reason: String,
    },
}

/// Content of a salvaged journal.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Salvage {
    /// How the run ended: `crashed`, or the status that it recorded itself before it was cut off.
    pub status: String,
    /// Number of steps done.
    pub n_step: i64,
    /// Number of rows by table, without the row of the run.
    pub n_row: BTreeMap<&'static str, u64>,
    /// Length in bytes of an incomplete last entry.
    pub torn_bytes: u64,
    /// Length in bytes of damaged entries.
    pub damaged_bytes: u64,
    /// A copy of the journal, if part of it is damaged.
    pub damaged_journal: Option<PathBuf>,
    /// Number of steps in the tables, if an earlier attempt got further and its rows were kept.
    pub n_step_kept: Option<i64>,
    /// `run --resume` continues after this step; `None`: there is no intact checkpoint whose rows
    /// can be read.
    pub resumes_after: Option<u64>,
}

fn lossy_all<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(paths.iter().map(|path| path.to_string_lossy()))
}

/// A file that readers fail on, or that differs from the published one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DamagedFile {
    /// The file.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// Options of a recovery.
#[derive(Clone, Copy)]
pub struct Recovery<'a> {
    /// Change nothing.
    pub dry_run: bool,
    /// Steps done at the newest checkpoint in a folder from which a run can be resumed, given the
    /// ends of the readable entries of its journal in bytes.
    pub newest_checkpoint: &'a dyn Fn(&Path, &BTreeSet<u64>) -> Option<u64>,
}

impl Recovery<'_> {
    /// Recovers the runs in the folder of a study and verifies its files.
    ///
    /// # Errors
    /// A folder that is missing or cannot be read.
    pub fn recover(self, out: &Path) -> Result<RecoveryReport, ResultsError> {
        std::fs::read_dir(out).map_err(ResultsError::read(out))?;
        let crashed = |run_id: String| {
            let salvaged = || {
                if is_locked(out, &run_id)? {
                    return Ok(Finding::Running);
                }
                salvage::salvage(out, &run_id, self)
            };
            let finding = salvaged().unwrap_or_else(|error| match error {
                // Another process has just reopened it.
                ResultsError::Running { .. } => Finding::Running,
                error => Finding::Stuck { reason: error.to_string() },
            });
            CrashedRun { run_id, finding }
        };
        let runs = unfinished(out).into_iter().map(crashed).collect();
        let verified = verify::verify(out)?;
        Ok(RecoveryReport {
            runs,
            strays: strays(out),
            n_file: verified.n_file,
            n_verified: verified.n_verified,
            damaged: verified.damaged,
        })
    }
}
