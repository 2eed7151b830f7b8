//! The state of the cells: waiting, running, or done.
//!
//! ```text
//! <out>/cells/<hardware>/cells.json                        all cells of the study as it was last swept
//! <out>/cells/<hardware>/<cell>/claim.<n>/progress.json    how far the process of a claim is
//! <out>/cells/<hardware>/<cell>/done.<round>/done.json     made when all runs of the cell are published
//! ```
//!
//! A cell that is not done becomes waiting again when its process ends for any reason; see
//! `claims`. The files have checksums. A damaged file affects only its own cell.

mod claim;
mod records;
#[cfg(test)]
pub(crate) mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use batchlab_files::{MAX_TEXT, make_folder};
use batchlab_results::ResultsError;
use batchlab_results::manifest;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::checked_json::{decode, encode};
use crate::claims::{
    ClaimSettings, Claims, Disk, Life, LocalDisk, Owner, claim_folder, done_folder,
};
use crate::{CellInfo, Study, StudyError};
pub(crate) use claim::{Claim, Claimed};
pub use records::{DoneCell, DoneRun, Progress};

const LIST: &str = "cells.json";
const PROGRESS: &str = "progress.json";
const DONE: &str = "done.json";

/// The cells of a study on one kind of hardware.
#[derive(Debug)]
pub struct Cells {
    /// Folder of the study.
    out: PathBuf,
    folder: PathBuf,
    claims: Claims<LocalDisk>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum CellState {
    /// Not started, or abandoned by a process that has ended.
    Waiting {
        /// Progress of that process; the cell starts again from the beginning.
        abandoned: Option<Progress>,
        /// Why the progress cannot be read, or which results of a finished cell are missing.
        #[serde(skip_serializing_if = "Option::is_none")]
        fault: Option<String>,
    },
    /// A process is working on it, or was when last heard of if on another machine.
    #[serde(rename = "at-work")]
    Running {
        progress: Option<Progress>,
        owner: Option<Owner>,
        /// Why its progress cannot be read.
        #[serde(skip_serializing_if = "Option::is_none")]
        fault: Option<String>,
    },
    Done(Box<DoneCell>),
    /// A time limit ended it. Its results count until it has been trained for longer.
    CutShort(Box<DoneCell>),
    /// Its outcome, and whether it is sufficient, cannot be determined.
    Unreadable {
        /// Which file, why, and what to do.
        reason: String,
    },
}

/// The cell list of a sweep.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct List<C> {
    /// Threads of the engine in sweeps that measured times.
    #[serde(default)]
    n_thread: Option<usize>,
    cells: Vec<C>,
}

/// Outcome of a cell.
enum Outcome {
    None,
    Done(Box<DoneCell>),
    /// Its results are missing, with the reason.
    Gone(String),
    /// The reason, and what to do.
    Unreadable(String),
}

impl Cells {
    #[must_use]
    pub fn of(out: &Path, hardware: &str, settings: ClaimSettings) -> Self {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let name: String = hardware.chars().map(|c| if is_plain(c) { c } else { '-' }).collect();
        let claims = Claims::new(LocalDisk::new(), settings);
        Self { out: out.to_owned(), folder: out.join("cells").join(name), claims }
    }

    /// Refuses another number of threads than that of earlier sweeps: their times could not be
    /// compared.
    pub(super) fn write_list(&self, study: &Study, n_thread: usize) -> Result<(), StudyError> {
        make(&self.folder)?;
        let path = self.folder.join(LIST);
        // A damaged list is written anew.
        let earlier = read::<List<CellInfo>>(&path)?.and_then(Result::ok);
        let earlier = earlier.and_then(|list| list.n_thread);
        if let Some(earlier) = earlier
            && study.blocks.exclusive
            && earlier != n_thread
        {
            return Err(StudyError::Threads { folder: self.folder.clone(), earlier, n_thread });
        }
        let cells = study.cells.iter().map(|cell| &cell.info).collect();
        let n_thread = if study.blocks.exclusive { Some(n_thread) } else { earlier };
        let list = List::<&CellInfo> { n_thread, cells };
        Ok(LocalDisk::new().write_synced(&path, &encode(&list))?)
    }

    /// All cells, in study order.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn states(&self) -> Result<Vec<(CellInfo, CellState)>, StudyError> {
        let list = self.list()?;
        list.into_iter().map(|info| self.state(&info).map(|state| (info, state))).collect()
    }

    /// The results of a cell that count, if they are there and can be read.
    pub(super) fn done(&self, cell: &CellInfo) -> Option<Box<DoneCell>> {
        match self.outcome(&self.folder.join(&cell.id)) {
            Ok((_, Outcome::Done(done))) => Some(done),
            _ => None,
        }
    }

    /// The last published round, and its outcome.
    fn outcome(&self, folder: &Path) -> Result<(u64, Outcome), StudyError> {
        let round = self.claims.round(folder)?;
        if round == 0 {
            return Ok((round, Outcome::None));
        }
        let path = done_folder(folder, round).join(DONE);
        let read = read::<DoneCell>(&path)?.unwrap_or_else(|| Err("it is missing".to_owned()));
        let outcome = match read {
            Ok(done) => match self.gone(&done) {
                None => Outcome::Done(Box::new(done)),
                Some(reason) => Outcome::Gone(reason),
            },
            Err(reason) => Outcome::Unreadable(format!(
                "{} is damaged: {reason}. Its runs are published; a sweep of the study with --retry trains \
                 this cell again",
                path.display()
            )),
        };
        Ok((round, outcome))
    }

    /// Missing results of the runs of a cell, which is done only as long as they exist.
    fn gone(&self, done: &DoneCell) -> Option<String> {
        let mut run_ids = done.runs.iter().filter_map(|run| run.run_id.as_deref());
        let missing = |run_id| match manifest::missing(&self.out, run_id) {
            Ok(path) => {
                path.map(|path| format!("{} is not what run {run_id} published", path.display()))
            }
            Err(error) => Some(error.to_string()),
        };
        let reason = run_ids.find_map(missing)?;
        Some(format!("its results are gone or changed ({reason}), so it is trained again"))
    }

    fn list(&self) -> Result<Vec<CellInfo>, ResultsError> {
        let path = self.folder.join(LIST);
        match read::<List<CellInfo>>(&path)? {
            None => Ok(Vec::new()),
            Some(Ok(list)) => Ok(list.cells),
            Some(Err(reason)) => Err(ResultsError::Read {
                path,
                source: std::io::Error::other(format!(
                    "{reason}; `batchlab sweep` with the study's file rewrites it, and keeps the cells that \
                     are done"
                )),
            }),
        }
    }

    /// Number of finished cells that are not in the list of the last sweep: from the same study
    /// with other options, or before its file was changed.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn n_done_beside(&self) -> Result<usize, StudyError> {
        let list = self.list()?;
        let failed = |source| ResultsError::Read { path: self.folder.clone(), source };
        let entries = fs::read_dir(&self.folder).map_err(failed)?;
        let mut n_done = 0;
        for entry in entries.flatten() {
            let name = entry.file_name();
            let is_beside = list.iter().all(|cell| name != cell.id.as_str());
            if is_beside && entry.path().is_dir() {
                n_done += usize::from(self.claims.round(&entry.path())? > 0);
            }
        }
        Ok(n_done)
    }

    /// The state of one cell.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn state(&self, cell: &CellInfo) -> Result<CellState, StudyError> {
        let folder = self.folder.join(&cell.id);
        let (round, outcome) = self.outcome(&folder)?;
        let (mut gone, mut cut_short) = (None, None);
        match outcome {
            Outcome::Done(done) if done.is_cut_short => cut_short = Some(done),
            Outcome::Done(done) => return Ok(CellState::Done(done)),
            Outcome::Unreadable(reason) => return Ok(CellState::Unreadable { reason }),
            Outcome::Gone(reason) => gone = Some(reason),
            Outcome::None => {}
        }
        let last = self.claims.last(&folder)?;
        if last == 0 {
            return Ok(CellState::Waiting { abandoned: None, fault: gone });
        }
        let path = claim_folder(&folder, last).join(PROGRESS);
        let (progress, fault) = match read::<Progress>(&path)?.transpose() {
            Ok(progress) => (progress, None),
            Err(reason) => {
                let rest = "the next attempt starts over; states of interrupted runs are kept";
                (None, Some(format!("{} is damaged ({reason}): {rest}", path.display())))
            }
        };
        Ok(match (self.claims.life(&folder, last, round)?, cut_short) {
            (Life::Ended, Some(done)) => CellState::CutShort(done),
            // The progress of a process that finished the cell is irrelevant.
            (Life::Ended, None) if gone.is_some() => {
                CellState::Waiting { abandoned: None, fault: gone }
            }
            (Life::Ended, None) => CellState::Waiting { abandoned: progress, fault },
            (Life::Alive | Life::Unknown, _) => {
                let owner = self.claims.owner(&folder, last)?;
                let unknown = || {
                    let path = claim_folder(&folder, last).join("owner.json");
                    format!(
                        "{} cannot be read: only a sweep that watches the cell for a while can tell \
                         whether its process is alive",
                        path.display()
                    )
                };
                let fault = fault.or_else(|| owner.is_none().then(unknown));
                CellState::Running { progress, owner, fault }
            }
        })
    }
}

/// Names of the hardware for which a results folder has cells.
///
/// # Errors
/// A folder that cannot be read.
pub fn hardware(out: &Path) -> Result<Vec<String>, ResultsError> {
    let folder = out.join("cells");
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(ResultsError::Read { path: folder, source }),
    };
    let folders = entries.flatten().filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> =
        folders.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}

/// Name of this machine's hardware, which determines times.
#[must_use]
pub fn hardware_name(device: &str, n_thread: usize) -> String {
    let host = sysinfo::System::host_name().unwrap_or_else(|| "unknown".to_owned());
    let threads = if n_thread == 1 { "thread" } else { "threads" };
    format!("{host}-{device}-{n_thread}-{threads}")
}

fn make(folder: &Path) -> Result<(), ResultsError> {
    make_folder(folder).map_err(|source| ResultsError::Write { path: folder.to_owned(), source })
}

/// `None`: there is no file. The content may be damaged.
fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<Result<T, String>>, ResultsError> {
    match batchlab_files::read(path, MAX_TEXT) {
        Ok(bytes) => Ok(Some(decode(&String::from_utf8_lossy(&bytes)))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ResultsError::Read { path: path.to_owned(), source }),
    }
}
