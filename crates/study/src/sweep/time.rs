//! What there is time for: in the time limit of a sweep, and in the job of its process.

use std::time::{Duration, Instant};

use humantime::format_duration;

use super::SweepOptions;
use crate::cells::{Cells, DoneCell};
use crate::{Cell, CellInfo, Study};

impl SweepOptions<'_> {
    /// Why there is too little time for a cell that is waiting. `left` is that of the time limit.
    pub(super) fn lacks_time(
        &self,
        cell: &CellInfo,
        cells: &Cells,
        study: &Study,
        left: Option<Duration>,
    ) -> Option<String> {
        let is_limited = left.is_some() || self.ends_at.is_some();
        if !is_limited || !cells.is_waiting(cell, |done| self.is_enough(done)) {
            return None;
        }
        let (title, seconds) = (cell.title(), |time: Duration| {
            format_duration(Duration::from_secs(time.as_secs())).to_string()
        });
        if let Some(left) = left
            && let Some(took) = cut_short(cells, cell).map(|done| done.took())
            && left <= took
        {
            let [took, left] = [took, left].map(seconds);
            return Some(format!(
                "{title} was cut short after {took}, and would get no more pairs in the {left} left"
            ));
        }
        let left = self.ends_at?.saturating_duration_since(Instant::now());
        let predicted = predicted(cells, cell, study).filter(|predicted| *predicted > left)?;
        let [predicted, left] = [predicted, left].map(seconds);
        Some(format!("{title} takes about {predicted}, and this job has {left} left"))
    }

    /// What is left of the time limit, if there is one.
    pub(super) fn time_left(&self, start: Instant) -> Option<Duration> {
        self.time_limit.map(|limit| limit.saturating_sub(start.elapsed()))
    }

    /// The end of a cell's share of the time that is left: cells that no time limit has ended
    /// before share it equally. Others take all of it, as equal shares would cut them short again
    /// and again.
    pub(super) fn share_of(
        &self,
        left: Duration,
        cell: &Cell,
        others: &[(usize, &Cell)],
        cells: &Cells,
    ) -> Instant {
        let shares = |(_, other): &&(usize, &Cell)| {
            cut_short(cells, &other.info).is_none()
                && cells.is_waiting(&other.info, |done| self.is_enough(done))
        };
        let is_again = cut_short(cells, &cell.info).is_some();
        let n_other = if is_again { 0 } else { others.iter().filter(shares).count() };
        Instant::now() + left / u32::try_from(1 + n_other).unwrap_or(u32::MAX)
    }
}

/// The attempt at a cell that a time limit ended, if that was the last one.
pub(super) fn cut_short(cells: &Cells, cell: &CellInfo) -> Option<Box<DoneCell>> {
    cells.done(cell).filter(|done| done.is_cut_short)
}

/// How long a cell will take: as long as the slowest of its repeats that is done.
fn predicted(cells: &Cells, cell: &CellInfo, study: &Study) -> Option<Duration> {
    let repeats = study.cells.iter().filter(|other| other.info.is_repeat_of(cell));
    let done = repeats.filter_map(|other| cells.done(&other.info));
    done.filter(|done| !done.has_failed()).map(|done| done.took()).max()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::time::SystemTime;

    use batchlab_run::{Cache, RunOptions, Status};

    use super::*;
    use crate::ClaimSettings;
    use crate::cells::Claimed;
    use crate::cells::tests::{cell, done};

    #[test]
    fn cells_that_are_trained_again_share_the_time_unless_they_were_cut_short() {
        let out = tempfile::tempdir().unwrap();
        let cells = Cells::of(out.path(), "here", ClaimSettings::default());
        let publish = |id: &str, is_cut_short| {
            let Claimed::Mine(claim) = cells.claim(&cell(id), false, |_| false).unwrap() else {
                panic!("{id} is free")
            };
            let done = DoneCell { is_cut_short, ..done(Status::Completed) };
            claim.done(out.path(), &done).unwrap();
        };
        let study = ["new", "done", "short"].map(|id| Cell {
            info: cell(id),
            n_repeat: 1,
            runs: Vec::new(),
        });
        publish("done", false);
        publish("short", true);
        let [new, done, short] = &study;
        let (interrupted, cache) = (AtomicBool::new(false), Cache::from_environment());
        let run = RunOptions {
            out: out.path(),
            interrupted: &interrupted,
            n_thread: 1,
            cache: &cache,
            ranks: None,
        };
        let share = |cell, others: &[&Cell], ci_width| {
            let options = SweepOptions {
                run,
                hardware: "here",
                claims: ClaimSettings::default(),
                started: SystemTime::now(),
                retry_before: None,
                ci_width,
                time_limit: None,
                ends_at: None,
                is_node_shared: false,
                is_one_cell: false,
                is_first_process: true,
                wait: false,
            };
            let (others, left) = ((0..).zip(others.iter().copied()), Duration::from_secs(6000));
            let others: Vec<(usize, &Cell)> = others.collect();
            let now = Instant::now();
            let end = options.share_of(left, cell, &others, &cells);
            (end - now).as_secs() / 100
        };
        let all = Duration::from_secs(6000).as_secs() / 100;
        assert_eq!(
            share(new, &[done, short], None),
            all,
            "neither is trained again by equal shares"
        );
        assert_eq!(share(new, &[done, short], Some(0.01)), all / 2);
        assert_eq!(share(done, &[new, short], Some(0.01)), all / 2);
        assert_eq!(share(short, &[new, done], Some(0.01)), all);
    }
}
