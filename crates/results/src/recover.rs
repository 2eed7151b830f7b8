//! Publishes what crashed runs have left, and finds damaged files.
//!
//! A run that was killed has left a journal in `wip/`. Its whole entries become tables as at the end
//! of any run, by the sinks of its own configuration, with status `crashed`. An entry holds what was
//! recorded of all tables since the one before, so the tables agree: there is no event or evaluation
//! of a step that has no row. Doing it twice changes nothing.

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
    /// Runs with something in `wip/`.
    pub runs: Vec<CrashedRun>,
    /// What lies in `wip/` and is of no run; nothing was done about it.
    #[serde(serialize_with = "lossy_all")]
    pub strays: Vec<PathBuf>,
    /// Files under `tables/` that were read from beginning to end, and files that were published and
    /// are gone.
    pub n_file: usize,
    /// Files that were compared with the checksums that were written down when they were published.
    pub n_verified: usize,
    /// Files that readers fail over, or that are not as they were published.
    pub damaged: Vec<DamagedFile>,
}

/// A run with something in `wip/`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CrashedRun {
    /// The run.
    pub run_id: String,
    /// What was found and done.
    #[serde(flatten)]
    pub finding: Finding,
}

/// What was found in a run's folder below `wip/`, and what was done about it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "finding", rename_all = "snake_case")]
pub enum Finding {
    /// Its process lives; nothing was touched.
    #[serde(rename = "at_work")]
    Running,
    /// Its process ended before anything was recorded, or after everything was published; the
    /// folder was removed.
    Nothing,
    /// Not one entry of its journal can be read, although they were written whole.
    Unreadable {
        /// The journal, for whoever can mend it.
        path: PathBuf,
    },
    /// Its rows are in `tables/` now; or would be, without `dry_run`.
    Salvaged(Salvage),
    /// Its rows cannot be published; they are still where they were.
    Stuck {
        /// Why.
        reason: String,
    },
}

/// What came out of a journal.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Salvage {
    /// How the run ended: `crashed`, or what it recorded itself before it was cut off.
    pub status: String,
    /// Steps done.
    pub n_step: i64,
    /// Rows by table, without that of the run.
    pub n_row: BTreeMap<&'static str, u64>,
    /// Bytes of a last, incomplete entry.
    pub torn_bytes: u64,
    /// Bytes of entries of which other bytes came back than were written.
    pub damaged_bytes: u64,
    /// A copy of the journal, if some of it is damaged.
    pub damaged_journal: Option<PathBuf>,
    /// Steps in the tables, if an earlier attempt came further: its rows were left as they are.
    pub n_step_kept: Option<i64>,
    /// `run --resume` goes on after this step; `None`: there is no checkpoint that is whole and whose
    /// rows can be read.
    pub resumes_after: Option<u64>,
}

fn lossy_all<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(paths.iter().map(|path| path.to_string_lossy()))
}

/// A file that readers fail over, or that is not as it was published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DamagedFile {
    /// The file.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// What to do.
#[derive(Clone, Copy)]
pub struct Recovery<'a> {
    /// Change nothing.
    pub dry_run: bool,
    /// Steps done at the newest checkpoint of a folder from which a run can go on, given where the
    /// readable entries of its journal end, in bytes.
    pub newest_checkpoint: &'a dyn Fn(&Path, &BTreeSet<u64>) -> Option<u64>,
}

impl Recovery<'_> {
    /// Looks at the folder of a study.
    ///
    /// # Errors
    /// A folder that is not there, or that cannot be read.
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
                // Someone has taken it up in this moment.
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
