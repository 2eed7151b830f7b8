//! Claiming a cell, and ending the claim.

use std::path::Path;
use std::time::Duration;

use batchlab_results::publish::forget_state;

use super::{CellState, Cells, DONE, DoneCell, Outcome, PROGRESS, Progress, make, read};
use crate::checked_json::encode;
use crate::claims::{self, ClaimError, Disk, Life, LocalDisk, Taken, claim_folder};
use crate::sweep::label;
use crate::{CellInfo, StudyError, now};

/// A cell that this process trains.
#[derive(Debug)]
pub(crate) struct Claim {
    claim: claims::Claim<LocalDisk>,
    /// Which results of the cell are missing, if that is why it is trained again.
    pub(crate) gone: Option<String>,
}

pub(crate) enum Claimed {
    Mine(Claim),
    /// Another process has it; `false`: it was not watched for long enough to know whether it is
    /// alive.
    Taken {
        is_alive: bool,
    },
    Done(Box<DoneCell>),
    Unreadable(String),
}

impl Cells {
    /// Claims a cell, unless its outcome is sufficient or another process has it. With `retry`, a
    /// cell with an unreadable outcome is trained again.
    pub(crate) fn claim(
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

    /// Marks as failed the cell that a process of this machine was training when it ended, whether
    /// for the first time or again. Returns its name, if there is one.
    ///
    /// # Errors
    /// Files that cannot be read or written.
    pub fn record_failure(
        &self,
        process: u32,
        reason: &str,
        ci_width: Option<f64>,
    ) -> Result<Option<String>, StudyError> {
        for cell in self.list()? {
            let folder = self.folder.join(&cell.id);
            let (round, last) = (self.claims.round(&folder)?, self.claims.last(&folder)?);
            // What it has published or returned is no failure.
            if last == 0 || self.claims.is_over(&folder, last, round)? {
                continue;
            }
            let owner = self.claims.owner(&folder, last)?;
            let node = &self.claims.settings().node;
            if !owner.is_some_and(|owner| owner.process == process && owner.node == *node) {
                continue;
            }
            let path = claim_folder(&folder, last).join(PROGRESS);
            let progress = read::<Progress>(&path)?.and_then(Result::ok);
            let Claimed::Mine(claim) = self.claim(&cell, true, |_| false)? else { continue };
            claim.done(
                &self.out,
                &DoneCell {
                    cell: label(&cell, &self.folder.to_string_lossy()),
                    started_at: progress.map_or_else(now, |progress| progress.started_at),
                    finished_at: now(),
                    blocks: Vec::new(),
                    runs: Vec::new(),
                    reason: Some(reason.to_owned()),
                    ci_width,
                    is_cut_short: false,
                },
            )?;
            return Ok(Some(cell.id));
        }
        Ok(None)
    }

    /// Interval for checking the claims of others.
    pub(crate) fn pause(&self) -> Duration {
        self.claims.settings().beat / 4
    }

    /// Whether a cell could probably be claimed.
    pub(crate) fn is_waiting(
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
}

impl Claim {
    /// Checks that no other process has taken over.
    pub(crate) fn check(&self) -> Result<(), ClaimError> {
        self.claim.check()
    }

    pub(crate) fn progress(&self, progress: &Progress) -> Result<(), ClaimError> {
        LocalDisk::new().write(&self.claim.folder().join(PROGRESS), &encode(progress))
    }

    /// Publishes the outcome. Runs of earlier claims that were interrupted need not go on.
    pub(crate) fn done(self, out: &Path, done: &DoneCell) -> Result<(), ClaimError> {
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

    pub(crate) fn release(self) -> Result<(), ClaimError> {
        self.claim.give_back()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use batchlab_run::Status;

    use super::super::{LIST, List, hardware};
    use super::*;
    use crate::ClaimSettings;
    use crate::cells::tests::{cell, done};

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

    #[test]
    fn a_process_that_dies_while_it_trains_a_cell_again_has_failed_it() {
        let out = tempfile::tempdir().unwrap();
        let cells = cells(out.path(), "here");
        make(&cells.folder).unwrap();
        let list = List { n_thread: None, cells: vec![cell("a")] };
        LocalDisk::new().write(&cells.folder.join(LIST), &encode(&list)).unwrap();
        let process = std::process::id();
        let fail = || cells.record_failure(process, "killed", Some(0.02)).unwrap();
        mine(&cells, false).release().unwrap();
        assert_eq!(fail(), None, "it was returned");
        let cut_short = DoneCell { is_cut_short: true, ..done(Status::Completed) };
        mine(&cells, false).done(out.path(), &cut_short).unwrap();
        assert_eq!(fail(), None, "it was published");
        drop(mine(&cells, false));
        assert_eq!(fail().as_deref(), Some("a"));
        let Claimed::Done(failed) = try_claim(&cells, false) else { panic!("it has failed") };
        assert_eq!(failed.reason.as_deref(), Some("killed"));
        assert!(failed.is_enough(false, Some(0.02)), "it is not tried for ever");
        assert_eq!(fail(), None);
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
