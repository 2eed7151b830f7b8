//! Which cells are waiting, running, and done.
//!
//! ```text
//! <out>/cells/<hardware>/cells.json             all cells of the study as it was last swept
//! <out>/cells/<hardware>/<cell>/lock            held by the process that trains the cell
//! <out>/cells/<hardware>/<cell>/progress.json   the progress of that process
//! <out>/cells/<hardware>/<cell>/done.json       written when all runs of the cell are published
//! ```
//!
//! A cell without `done.json` waits again when its process ends, however it ends: the system releases
//! its lock.

use std::fs;
use std::path::{Path, PathBuf};

use batchlab_results::files::{make, rename, write_synced};
use batchlab_results::{Lock, ResultsError};
use batchlab_run::Status;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{CellInfo, Study};

const LIST: &str = "cells.json";
const PROGRESS: &str = "progress.json";
const DONE: &str = "done.json";

#[derive(Debug)]
pub struct Cells {
    folder: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum CellState {
    /// Not begun, or abandoned by a process that has ended.
    Waiting {
        /// The progress of that process; the cell begins again from its start.
        abandoned: Option<Progress>,
    },
    #[serde(rename = "at-work")]
    Running {
        progress: Option<Progress>,
    },
    Done(Box<DoneCell>),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// When it began, in RFC 3339.
    pub started_at: String,
    pub block: u64,
    /// Number of blocks, once it is known.
    pub n_block: Option<u64>,
    /// Steps done by all runs together.
    pub n_step: u64,
    /// Steps that they will have done together, as far as that is known.
    #[serde(default)]
    pub n_step_all: Option<u64>,
    /// The runs that could be opened.
    pub run_ids: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DoneCell {
    /// When it began, in RFC 3339.
    pub started_at: String,
    /// When it ended, in RFC 3339.
    pub finished_at: String,
    /// Steps of each run in the blocks, beginning with block 0.
    pub blocks: Vec<u64>,
    pub runs: Vec<DoneRun>,
    pub reason: Option<String>,
    /// The half width of intervals that it was asked for; it may have ended without.
    #[serde(default)]
    pub until_width: Option<f64>,
}

impl DoneCell {
    /// Whether there is nothing left to do: it need not be tried again, and was asked for intervals that
    /// were at least as narrow.
    #[must_use]
    pub fn is_enough(&self, retry: bool, until_width: Option<f64>) -> bool {
        let is_narrow = |width| self.until_width.is_some_and(|asked| asked <= width);
        !(retry && self.has_failed()) && until_width.is_none_or(is_narrow)
    }

    /// Mirrored pairs of blocks.
    #[must_use]
    pub fn n_pair(&self) -> usize {
        self.blocks.len().saturating_sub(1) / 2
    }

    /// Whether a run, or the cell as a whole, has failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.reason.is_some() || self.runs.iter().any(|run| run.status == Status::Failed)
    }

    #[must_use]
    pub fn has_diverged(&self) -> bool {
        self.runs.iter().any(|run| run.status == Status::NotFinite)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DoneRun {
    pub batcher: String,
    /// `None` if the run could not be opened.
    pub run_id: Option<String>,
    pub status: Status,
    pub reason: Option<String>,
    pub n_step: u64,
    /// Median time of a step, in nanoseconds; none if all steps were warm-up.
    pub median_step_ns: Option<f64>,
    /// Outputs per second: graphs, or nodes of one large graph.
    #[serde(alias = "graphs_per_second")]
    pub outputs_per_second: Option<f64>,
}

/// The lock of a cell. It ends with the process, or when it is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    folder: PathBuf,
    lock: Lock,
}

pub(super) enum Claimed {
    Mine(Claim),
    Taken,
    Done(Box<DoneCell>),
}

impl Cells {
    #[must_use]
    pub fn of(out: &Path, hardware: &str) -> Self {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let name: String = hardware.chars().map(|c| if is_plain(c) { c } else { '-' }).collect();
        Self { folder: out.join("cells").join(name) }
    }

    pub(super) fn write_list(&self, study: &Study) -> Result<(), ResultsError> {
        make(&self.folder)?;
        let info: Vec<&CellInfo> = study.cells.iter().map(|cell| &cell.info).collect();
        write(&self.folder, LIST, &info)
    }

    /// Claims a cell, unless it is done and that is enough, or another process has it.
    pub(super) fn claim(
        &self,
        cell: &CellInfo,
        is_enough: impl Fn(&DoneCell) -> bool,
    ) -> Result<Claimed, ResultsError> {
        let folder = self.folder.join(&cell.id);
        make(&folder)?;
        let lock = match Lock::take(&folder, &cell.id) {
            Ok(lock) => lock,
            Err(ResultsError::Running { .. }) => return Ok(Claimed::Taken),
            Err(error) => return Err(error),
        };
        // Read only under the lock: another process might have finished the cell just now.
        let done = read::<DoneCell>(&folder.join(DONE))?;
        if let Some(done) = done.filter(is_enough) {
            lock.remove()?;
            return Ok(Claimed::Done(Box::new(done)));
        }
        Ok(Claimed::Mine(Claim { folder, lock }))
    }

    /// Whether a cell could be claimed, as far as one can tell without doing so.
    pub(super) fn is_waiting(
        &self,
        cell: &CellInfo,
        is_enough: impl Fn(&DoneCell) -> bool,
    ) -> bool {
        match self.state(cell) {
            Ok(CellState::Done(done)) => !is_enough(&done),
            Ok(CellState::Running { .. }) => false,
            Ok(CellState::Waiting { .. }) | Err(_) => true,
        }
    }

    /// All cells, in the order of the study.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn states(&self) -> Result<Vec<(CellInfo, CellState)>, ResultsError> {
        let list: Vec<CellInfo> = read(&self.folder.join(LIST))?.unwrap_or_default();
        list.into_iter().map(|info| self.state(&info).map(|state| (info, state))).collect()
    }

    /// How many cells are done here that are not among those of the last sweep: of the same study with
    /// other choices, or before its file was changed.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn n_done_beside(&self) -> Result<usize, ResultsError> {
        let list: Vec<CellInfo> = read(&self.folder.join(LIST))?.unwrap_or_default();
        let entries = fs::read_dir(&self.folder)
            .map_err(|source| ResultsError::Read { path: self.folder.clone(), source })?;
        let is_beside = |entry: &fs::DirEntry| {
            let name = entry.file_name();
            entry.path().join(DONE).is_file() && list.iter().all(|cell| name != cell.id.as_str())
        };
        Ok(entries.flatten().filter(is_beside).count())
    }

    /// The state of one cell.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn state(&self, cell: &CellInfo) -> Result<CellState, ResultsError> {
        let folder = self.folder.join(&cell.id);
        if let Some(done) = read(&folder.join(DONE))? {
            return Ok(CellState::Done(Box::new(done)));
        }
        let progress = read(&folder.join(PROGRESS))?;
        Ok(if Lock::is_held(&folder)? {
            CellState::Running { progress }
        } else {
            CellState::Waiting { abandoned: progress }
        })
    }
}

/// Names of the hardware for which a folder of results has cells.
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

/// The name of this machine's hardware: what times depend on.
#[must_use]
pub fn hardware_name(device: &str, n_thread: usize) -> String {
    let host = sysinfo::System::host_name().unwrap_or_else(|| "unknown".to_owned());
    let threads = if n_thread == 1 { "thread" } else { "threads" };
    format!("{host}-{device}-{n_thread}-{threads}")
}

impl Claim {
    pub(super) fn progress(&self, progress: &Progress) -> Result<(), ResultsError> {
        write(&self.folder, PROGRESS, progress)
    }

    pub(super) fn done(self, done: &DoneCell) -> Result<(), ResultsError> {
        write(&self.folder, DONE, done)?;
        // An old one must not be taken for the progress of a later attempt.
        let _ = fs::remove_file(self.folder.join(PROGRESS));
        self.lock.remove()
    }

    pub(super) fn release(self) -> Result<(), ResultsError> {
        self.lock.remove()
    }
}

/// Writes a file atomically.
fn write(folder: &Path, name: &str, content: &impl Serialize) -> Result<(), ResultsError> {
    let path = folder.join(name);
    let failed =
        |error: serde_json::Error| ResultsError::Write { path: path.clone(), source: error.into() };
    let text = serde_json::to_string_pretty(content).map_err(failed)?;
    let temporary = folder.join(format!(".{name}.{}", std::process::id()));
    write_synced(&temporary, &text)?;
    rename(&temporary, &path)
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, ResultsError> {
    let failed = |source| ResultsError::Read { path: path.to_owned(), source };
    match fs::read_to_string(path) {
        Ok(text) => serde_json::from_str(&text).map(Some).map_err(|error| failed(error.into())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(failed(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(id: &str) -> CellInfo {
        CellInfo {
            id: id.into(),
            dataset: "qm9".into(),
            model: "schnet".into(),
            batch_size: Some(16),
            repeat: 0,
            variant: String::new(),
            batchers: vec!["dynamic".into()],
            n_step: 10,
            device: "cpu".into(),
        }
    }

    fn done(status: Status) -> DoneCell {
        let run = DoneRun {
            batcher: "dynamic".into(),
            run_id: None,
            status,
            reason: None,
            n_step: 10,
            median_step_ns: Some(1.0),
            outputs_per_second: Some(0.5),
        };
        let (started_at, finished_at) = (String::new(), String::new());
        let (blocks, runs) = (vec![5, 5], vec![run]);
        DoneCell { started_at, finished_at, blocks, runs, reason: None, until_width: None }
    }

    fn try_claim(cells: &Cells, retry: bool) -> Result<Claimed, ResultsError> {
        cells.claim(&cell("a"), |done| done.is_enough(retry, None))
    }

    #[test]
    fn a_cell_has_one_owner_and_is_done_once() {
        let out = tempfile::tempdir().unwrap();
        let cells = Cells::of(out.path(), "a machine, cpu");
        let Claimed::Mine(claim) = try_claim(&cells, false).unwrap() else { panic!() };
        assert!(matches!(try_claim(&cells, false).unwrap(), Claimed::Taken));
        assert_eq!(cells.state(&cell("a")).unwrap(), CellState::Running { progress: None });
        claim.done(&done(Status::Completed)).unwrap();
        assert!(matches!(try_claim(&cells, true).unwrap(), Claimed::Done(_)));
        assert!(matches!(cells.state(&cell("a")).unwrap(), CellState::Done(_)));
        assert_eq!(hardware(out.path()).unwrap(), ["a-machine--cpu"]);
    }

    #[test]
    fn what_was_left_waits_again_and_what_failed_only_if_asked() {
        let out = tempfile::tempdir().unwrap();
        let cells = Cells::of(out.path(), "here");
        let Claimed::Mine(claim) = try_claim(&cells, false).unwrap() else { panic!() };
        let progress = Progress {
            started_at: String::new(),
            block: 3,
            n_block: Some(7),
            n_step: 40,
            n_step_all: Some(90),
            run_ids: vec!["x".into()],
        };
        claim.progress(&progress).unwrap();
        // As if the process had died.
        drop(claim);
        let abandoned = Some(progress);
        assert_eq!(cells.state(&cell("a")).unwrap(), CellState::Waiting { abandoned });
        let Claimed::Mine(claim) = try_claim(&cells, false).unwrap() else { panic!() };
        claim.done(&done(Status::Failed)).unwrap();
        assert!(matches!(try_claim(&cells, false).unwrap(), Claimed::Done(_)));
        assert!(matches!(try_claim(&cells, true).unwrap(), Claimed::Mine(_)));
    }

    #[test]
    fn a_cell_is_measured_again_for_narrower_intervals() {
        let asked = |until_width| DoneCell { until_width, ..done(Status::Completed) };
        let is_enough = |before, now| asked(before).is_enough(false, now);
        assert!(is_enough(None, None) && is_enough(Some(0.02), None));
        assert!(is_enough(Some(0.02), Some(0.02)) && is_enough(Some(0.01), Some(0.02)));
        assert!(!is_enough(None, Some(0.02)) && !is_enough(Some(0.05), Some(0.02)));
    }

    #[test]
    fn many_processes_share_the_cells_without_overlap() {
        let out = tempfile::tempdir().unwrap();
        let cells = Cells::of(out.path(), "here");
        let work = || {
            let mut n = 0;
            for id in ["a", "b", "c", "d", "e", "f", "g", "h"] {
                if let Claimed::Mine(claim) = cells.claim(&cell(id), |_| true).unwrap() {
                    std::thread::yield_now();
                    claim.done(&done(Status::Completed)).unwrap();
                    n += 1;
                }
            }
            n
        };
        let n: usize = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..8).map(|_| scope.spawn(work)).collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).sum()
        });
        assert_eq!(n, 8);
    }
}
