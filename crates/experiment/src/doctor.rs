//! Salvages what crashed runs have left, and finds damaged files.
//!
//! A run whose process is gone without a word has left a journal in `wip/`. Its complete entries
//! become tables as at the end of any run, by the sinks of its own configuration, with status
//! `crashed`. An entry holds what was recorded of all tables since the one before, so the tables
//! agree: there is no event or evaluation of a step that has no row. Doing it twice changes nothing.

mod salvage;
mod tables;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::RunError;
use crate::publish::{is_locked, strays, unfinished};

/// What was found in the folder of a study, and what was done.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Diagnosis {
    /// Runs with something in `wip/`.
    pub runs: Vec<Patient>,
    /// What lies in `wip/` and is of no run; nothing was done about it.
    pub strays: Vec<PathBuf>,
    /// Files under `tables/` that were read from beginning to end, and files that were published and
    /// are gone.
    pub n_file: usize,
    /// Files that were compared with the checksums that were written down when they were published.
    pub n_sealed: usize,
    /// Those of them that readers will stumble over.
    pub damaged: Vec<Damaged>,
}

/// A run with something in `wip/`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Patient {
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
    AtWork,
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
    /// How the run ended: `crashed`, or what it said itself before it was cut off.
    pub status: String,
    /// Steps done.
    pub n_step: i64,
    /// Rows by table, without that of the run.
    pub n_row: BTreeMap<&'static str, u64>,
    /// Bytes that could not be read: a last, incomplete entry, or all from a damaged one on.
    pub torn_bytes: u64,
    /// A copy of the journal, if the disk gave back other bytes than were written.
    pub damaged_journal: Option<PathBuf>,
    /// `run --resume` goes on after this step; `None`: there is no checkpoint that is whole and whose
    /// rows can be read.
    pub resumes_after: Option<u64>,
}

/// A file under `tables/` that readers will stumble over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Damaged {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// Looks at the folder of a study. With `dry_run`, nothing is changed.
///
/// # Errors
/// A folder that is not there, or that cannot be read.
pub fn examine(out: &Path, dry_run: bool) -> Result<Diagnosis, RunError> {
    std::fs::read_dir(out).map_err(|source| RunError::Read { path: out.to_owned(), source })?;
    let patient = |run_id: String| {
        let finding = if is_locked(out, &run_id) {
            Finding::AtWork
        } else {
            match salvage::salvage(out, &run_id, dry_run) {
                Ok(finding) => finding,
                // Someone has taken it up in this moment.
                Err(RunError::AtWork { .. }) => Finding::AtWork,
                Err(error) => Finding::Stuck { reason: error.to_string() },
            }
        };
        Patient { run_id, finding }
    };
    let runs = unfinished(out).into_iter().map(patient).collect();
    let found = tables::examine(out)?;
    let (n_file, n_sealed, damaged) = (found.n_file, found.n_sealed, found.damaged);
    Ok(Diagnosis { runs, strays: strays(out), n_file, n_sealed, damaged })
}
