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

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use batchlab_files::{MAX_TEXT, make_folder};
use batchlab_results::ResultsError;
use batchlab_results::manifest;
use batchlab_results::publish::forget_state;
use batchlab_run::Status;
use humantime::parse_rfc3339;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Cell, CellInfo, Study};
use crate::checked_json::{decode, encode};
use crate::claims::{
    self, ClaimError, ClaimSettings, Claims, Disk, Life, LocalDisk, Owner, Taken, claim_folder,
    done_folder,
};
use crate::sweep::label;
use crate::{StudyError, now};

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

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// Start time, in RFC 3339.
    pub started_at: String,
    pub block: u64,
    /// Number of blocks, once known.
    pub n_block: Option<u64>,
    /// Steps done by all runs together.
    pub n_step: u64,
    /// Total steps of all runs, as far as known.
    pub n_step_all: Option<u64>,
    /// The runs that could be opened.
    pub run_ids: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DoneCell {
    /// Name of the cell in results (`runs.cell`), which is also the name of the claim: runs
    /// published by another claim do not count.
    pub cell: String,
    /// Start time, in RFC 3339.
    pub started_at: String,
    /// End time, in RFC 3339.
    pub finished_at: String,
    /// Steps of each run per block, starting with block 0.
    pub blocks: Vec<u64>,
    pub runs: Vec<DoneRun>,
    pub reason: Option<String>,
    /// The requested half width of intervals, which it may not have reached.
    pub ci_width: Option<f64>,
    /// Whether a time limit ended it before it had all its pairs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_cut_short: bool,
}

impl DoneCell {
    /// Whether nothing is left to do: it has all its pairs, need not be retried, and the intervals
    /// requested then were at least as narrow.
    #[must_use]
    pub fn is_enough(&self, retry: bool, ci_width: Option<f64>) -> bool {
        let is_narrow = |width| self.ci_width.is_some_and(|asked| asked <= width);
        !(self.is_cut_short || retry && self.has_failed()) && ci_width.is_none_or(is_narrow)
    }

    /// Whether it ended before a time, by the clock of its machine.
    #[must_use]
    pub fn is_before(&self, time: SystemTime) -> bool {
        parse_rfc3339(&self.finished_at).is_ok_and(|finished| finished < time)
    }

    /// How long it took.
    #[must_use]
    pub fn took(&self) -> Duration {
        let times = parse_rfc3339(&self.started_at).ok().zip(parse_rfc3339(&self.finished_at).ok());
        times.and_then(|(start, end)| end.duration_since(start).ok()).unwrap_or_default()
    }

    /// Number of mirrored pairs of blocks.
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
#[serde(deny_unknown_fields)]
pub struct DoneRun {
    pub batcher: String,
    /// `None` if the run could not be opened.
    pub run_id: Option<String>,
    pub status: Status,
    pub reason: Option<String>,
    pub n_step: u64,
    /// Median step time in nanoseconds; `None` if all steps were warm-up.
    pub median_step_ns: Option<f64>,
    /// Outputs per second: graphs, or nodes of one large graph.
    pub outputs_per_second: Option<f64>,
    /// Kind of output, as in the `runs` table.
    pub output: Option<String>,
}

/// A cell that this process trains.
#[derive(Debug)]
pub(super) struct Claim {
    claim: claims::Claim<LocalDisk>,
    /// Which results of the cell are missing, if that is why it is trained again.
    pub(super) gone: Option<String>,
}

pub(super) enum Claimed {
    Mine(Claim),
    /// Another process has it; `false`: it was not watched for long enough to know whether it is
    /// alive.
    Taken {
        is_alive: bool,
    },
    Done(Box<DoneCell>),
    Unreadable(String),
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

    /// Refuses another number of threads than that of the cells that are there: their times could
    /// not be compared.
    pub(super) fn write_list(&self, study: &Study, n_thread: usize) -> Result<(), StudyError> {
        make(&self.folder)?;
        let path = self.folder.join(LIST);
        // A damaged list is written anew.
        let earlier = read::<List<CellInfo>>(&path)?.and_then(Result::ok);
        let earlier = earlier.and_then(|list| list.n_thread);
        let is_begun =
            |cell: &Cell| self.claims.last(&self.folder.join(&cell.info.id)).is_ok_and(|n| n > 0);
        match earlier {
            Some(earlier)
                if study.blocks.exclusive
                    && earlier != n_thread
                    && study.cells.iter().any(is_begun) =>
            {
                return Err(StudyError::Threads { folder: self.folder.clone(), earlier, n_thread });
            }
            _ => {}
        }
        let cells = study.cells.iter().map(|cell| &cell.info).collect();
        let n_thread = if study.blocks.exclusive { Some(n_thread) } else { earlier };
        let list = List::<&CellInfo> { n_thread, cells };
        Ok(LocalDisk::new().write_synced(&path, &encode(&list))?)
    }

    /// Claims a cell, unless its outcome is sufficient or another process has it. With `retry`, a
    /// cell with an unreadable outcome is trained again.
    pub(super) fn claim(
        &self,
        cell: &CellInfo,
        retry: bool,
        is_enough: impl Fn(&DoneCell) -> bool,
    ) -> Result<Claimed, StudyError> {
        let folder = self.folder.join(&cell.id);
        make(&folder)?;
        loop {
            let (round, outcome) = self.outcome(&folder)?;
            let gone = match outcome {
                Outcome::Done(done) if is_enough(&done) => return Ok(Claimed::Done(done)),
                Outcome::Unreadable(reason) if !retry => return Ok(Claimed::Unreadable(reason)),
                Outcome::Gone(reason) => Some(reason),
                _ => None,
            };
            let claim = match self.claims.take(&folder, round)? {
                Taken::Mine(claim) => claim,
                Taken::Other(life) => {
                    return Ok(Claimed::Taken { is_alive: life == Life::Alive });
                }
            };
            // Another process may just have finished the cell.
            if self.claims.round(&folder)? == round {
                return Ok(Claimed::Mine(Claim { claim, gone }));
            }
            claim.give_back()?;
        }
    }

    /// Marks as failed the cell that a process of this machine was training when it ended. Returns
    /// its name, if there is one.
    ///
    /// # Errors
    /// Files that cannot be read or written.
    pub fn record_failure(&self, process: u32, reason: &str) -> Result<Option<String>, StudyError> {
        for cell in self.list()? {
            let CellState::Waiting { abandoned, .. } = self.state(&cell)? else { continue };
            let folder = self.folder.join(&cell.id);
            let last = self.claims.last(&folder)?;
            let owner = if last > 0 { self.claims.owner(&folder, last)? } else { None };
            let node = &self.claims.settings().node;
            if !owner.is_some_and(|owner| owner.process == process && owner.node == *node) {
                continue;
            }
            let Claimed::Mine(claim) = self.claim(&cell, false, |_| true)? else { continue };
            claim.done(
                &self.out,
                &DoneCell {
                    cell: label(&cell, &self.folder.to_string_lossy()),
                    started_at: abandoned.map_or_else(now, |progress| progress.started_at),
                    finished_at: now(),
                    blocks: Vec::new(),
                    runs: Vec::new(),
                    reason: Some(reason.to_owned()),
                    ci_width: None,
                    is_cut_short: false,
                },
            )?;
            return Ok(Some(cell.id));
        }
        Ok(None)
    }

    /// Interval for checking the claims of others.
    pub(super) fn pause(&self) -> std::time::Duration {
        self.claims.settings().beat / 4
    }

    /// Whether a cell could probably be claimed.
    pub(super) fn is_waiting(
        &self,
        cell: &CellInfo,
        is_enough: impl Fn(&DoneCell) -> bool,
    ) -> bool {
        match self.state(cell) {
            Ok(CellState::Done(done) | CellState::CutShort(done)) => !is_enough(&done),
            Ok(CellState::Running { .. } | CellState::Unreadable { .. }) => false,
            Ok(CellState::Waiting { .. }) | Err(_) => true,
        }
    }

    /// The attempt at a cell that a time limit ended, if that was the last one.
    pub(super) fn cut_short(&self, cell: &CellInfo) -> Option<Box<DoneCell>> {
        match self.outcome(&self.folder.join(&cell.id)) {
            Ok((_, Outcome::Done(done))) if done.is_cut_short => Some(done),
            _ => None,
        }
    }

    /// How long a cell will take: as long as the slowest of its repeats that is done.
    pub(super) fn predicted(&self, cell: &CellInfo, study: &Study) -> Option<Duration> {
        let is_alike = |other: &&Cell| other.info.is_repeat_of(cell);
        let took = |other: &Cell| match self.outcome(&self.folder.join(&other.info.id)) {
            Ok((_, Outcome::Done(done))) if !done.has_failed() => Some(done.took()),
            _ => None,
        };
        study.cells.iter().filter(is_alike).filter_map(took).max()
    }

    /// All cells, in study order.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn states(&self) -> Result<Vec<(CellInfo, CellState)>, StudyError> {
        let list = self.list()?;
        list.into_iter().map(|info| self.state(&info).map(|state| (info, state))).collect()
    }

    /// Where the cells are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
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
                    "{reason}; `batchlab sweep` with the study's file writes it anew, and trains no cell \
                     again that is done"
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
                let harmless = "the progress is only informational; the next attempt starts again";
                (None, Some(format!("{} is damaged ({reason}): {harmless}", path.display())))
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

impl Claim {
    /// Checks that no other process has taken over.
    pub(super) fn check(&self) -> Result<(), ClaimError> {
        self.claim.check()
    }

    pub(super) fn progress(&self, progress: &Progress) -> Result<(), ClaimError> {
        LocalDisk::new().write(&self.claim.folder().join(PROGRESS), &encode(progress))
    }

    /// Publishes the outcome. Runs of earlier claims that were interrupted need not go on.
    pub(super) fn done(self, out: &Path, done: &DoneCell) -> Result<(), ClaimError> {
        let (cell, number) = (self.claim.cell().to_owned(), self.claim.number());
        self.claim.publish(DONE, &encode(done))?;
        for earlier in 1..number {
            let path = claim_folder(&cell, earlier).join(PROGRESS);
            // What cannot be read or removed stays.
            let Ok(Some(Ok(progress))) = read::<Progress>(&path) else { continue };
            progress.run_ids.iter().for_each(|run_id| forget_state(out, run_id));
        }
        Ok(())
    }

    /// As if the process were suspended.
    #[cfg(test)]
    fn without_beat(mut self) -> Self {
        self.claim.stop_beating();
        self
    }

    pub(super) fn release(self) -> Result<(), ClaimError> {
        self.claim.give_back()
    }
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
            output: Some("graph".into()),
        };
        let (started_at, finished_at) = (String::new(), String::new());
        let (blocks, runs) = (vec![5, 5], vec![run]);
        let (cell, reason, ci_width, is_cut_short) = ("a-0".into(), None, None, false);
        DoneCell { cell, started_at, finished_at, blocks, runs, reason, ci_width, is_cut_short }
    }

    fn cells(out: &Path, hardware: &str) -> Cells {
        Cells::of(out, hardware, ClaimSettings::default())
    }

    fn try_claim(cells: &Cells, retry: bool) -> Claimed {
        cells.claim(&cell("a"), retry, |done| done.is_enough(retry, None)).unwrap()
    }

    fn mine(cells: &Cells, retry: bool) -> Claim {
        match try_claim(cells, retry) {
            Claimed::Mine(claim) => claim,
            _ => panic!("it is free"),
        }
    }

    #[test]
    fn a_cell_has_one_owner_and_is_done_once() {
        let out = tempfile::tempdir().unwrap();
        let cells = cells(out.path(), "a machine, cpu");
        let claim = mine(&cells, false);
        assert!(matches!(try_claim(&cells, false), Claimed::Taken { is_alive: true }));
        let state = cells.state(&cell("a")).unwrap();
        let CellState::Running { progress: None, owner: Some(owner), fault: None } = state else {
            panic!("{state:?}")
        };
        assert_eq!(owner.process, std::process::id());
        claim.done(out.path(), &done(Status::Completed)).unwrap();
        assert!(matches!(try_claim(&cells, true), Claimed::Done(_)));
        assert!(matches!(cells.state(&cell("a")).unwrap(), CellState::Done(_)));
        assert_eq!(hardware(out.path()).unwrap(), ["a-machine--cpu"]);
    }

    #[test]
    fn numbers_that_no_sweep_writes_are_ignored() {
        let out = tempfile::tempdir().unwrap();
        let cells = cells(out.path(), "here");
        let folder = out.path().join("cells/here/a");
        for name in ["claim.18446744073709551615", "done.18446744073709551615", "claim.007"] {
            fs::create_dir_all(folder.join(name)).unwrap();
        }
        mine(&cells, false).done(out.path(), &done(Status::Completed)).unwrap();
        assert!(folder.join("claim.1").is_dir());
    }

    #[test]
    fn what_was_left_waits_again_and_what_failed_only_if_asked() {
        let out = tempfile::tempdir().unwrap();
        let cells = cells(out.path(), "here");
        let claim = mine(&cells, false);
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
        let left = CellState::Waiting { abandoned: Some(progress), fault: None };
        assert_eq!(cells.state(&cell("a")).unwrap(), left);
        mine(&cells, false).done(out.path(), &done(Status::Failed)).unwrap();
        assert!(matches!(try_claim(&cells, false), Claimed::Done(_)));
        mine(&cells, true).done(out.path(), &done(Status::Completed)).unwrap();
        assert!(matches!(try_claim(&cells, true), Claimed::Done(_)));
    }

    /// File locks are not visible on another node.
    #[test]
    fn a_claim_of_another_node_is_over_when_nothing_is_heard_of_it() {
        use std::time::Duration;
        let out = tempfile::tempdir().unwrap();
        let of = |node: &str| {
            let (beat, stale) = (Duration::from_millis(20), Duration::from_millis(400));
            Cells::of(
                out.path(),
                "here",
                ClaimSettings { beat, stale, node: node.into(), job: None },
            )
        };
        let (here, there) = (of("here"), of("there"));
        let first = mine(&here, false);
        assert!(matches!(try_claim(&there, false), Claimed::Taken { is_alive: false }));
        std::thread::sleep(Duration::from_millis(100));
        assert!(matches!(try_claim(&there, false), Claimed::Taken { is_alive: true }));
        // Setting the clock has no effect.
        let beat = out.path().join("cells/here/a/claim.1/beat");
        let hour = std::time::SystemTime::now() - Duration::from_secs(3600);
        let _ = fs::File::options().append(true).open(&beat).unwrap().set_modified(hour);
        assert!(matches!(try_claim(&there, false), Claimed::Taken { is_alive: true }));
        // As if its process were suspended: no heartbeat, and it does not notice.
        let stopped = first.without_beat();
        assert!(matches!(try_claim(&there, false), Claimed::Taken { .. }));
        std::thread::sleep(Duration::from_millis(500));
        let second = mine(&there, false);
        let late = stopped.done(out.path(), &done(Status::Completed)).unwrap_err();
        assert!(matches!(late, ClaimError::Superseded { .. }), "{late}");
        second.done(out.path(), &done(Status::Completed)).unwrap();
        assert!(matches!(try_claim(&here, false), Claimed::Done(_)));
    }

    #[test]
    fn a_cell_is_measured_again_for_narrower_intervals() {
        let asked = |ci_width| DoneCell { ci_width, ..done(Status::Completed) };
        let is_enough = |before, now| asked(before).is_enough(false, now);
        assert!(is_enough(None, None) && is_enough(Some(0.02), None));
        assert!(is_enough(Some(0.02), Some(0.02)) && is_enough(Some(0.01), Some(0.02)));
        assert!(!is_enough(None, Some(0.02)) && !is_enough(Some(0.05), Some(0.02)));
    }

    #[test]
    fn many_processes_share_the_cells_without_overlap() {
        let out = tempfile::tempdir().unwrap();
        let work = || {
            let cells = cells(out.path(), "here");
            let mut n = 0;
            for id in ["a", "b", "c", "d", "e", "f", "g", "h"] {
                if let Claimed::Mine(claim) = cells.claim(&cell(id), false, |_| true).unwrap() {
                    std::thread::yield_now();
                    claim.done(out.path(), &done(Status::Completed)).unwrap();
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
