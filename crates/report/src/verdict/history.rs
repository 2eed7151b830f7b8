//! Counts the verdicts about the same strategies, as far as records show.

use std::collections::BTreeSet;

use batchlab_stats::level_of_verdict;
use serde::Serialize;

use super::Table;
use crate::setting::Setting;

/// A comparison with pending cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Unfinished {
    pub n_cell: usize,
    /// Number of cells that the study requests.
    pub n_planned: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct History {
    /// Number of this verdict, from 1. A verdict was possible earlier whenever the study had all
    /// requested cells and then requested more, for every cell that was retrained, and for every
    /// cell beyond those of the study, such as one with other seeds.
    pub(super) n_verdict: usize,
    /// Number of interim looks at which a cell might have stopped; they share the level.
    pub(super) n_look: i64,
    pub(crate) unfinished: Option<Unfinished>,
}

impl History {
    /// The history of a comparison. Without cells, the plan is unknown.
    pub(crate) fn of(setting: &Setting, batch_size: Option<i64>, table: &Table<'_>) -> Self {
        let Table { groups, cells, .. } = table;
        let (mut planned, mut repeats) = (BTreeSet::new(), BTreeSet::new());
        let (mut n_repeated, mut n_earlier, mut n_not_done) = (0, 0, 0);
        for cell in cells {
            let runs = || {
                let runs = groups.iter().flat_map(|group| &group.runs);
                runs.filter(|run| run.run.cell.as_deref() == Some(*cell))
            };
            planned.extend(runs().find_map(|run| run.run.n_repeat));
            if let Some(repeat) = runs().find_map(|run| run.run.repeat) {
                n_repeated += usize::from(!repeats.insert(repeat));
            }
            n_earlier += runs().map(|run| run.n_earlier).max().unwrap_or(0);
            n_not_done += usize::from(runs().any(|run| !run.is_cell_done));
        }
        let n_planned = planned.last().map_or(0, |&n| usize::try_from(n).unwrap_or(0));
        let tried = setting.tried.iter().filter(|(size, _)| *size == batch_size);
        repeats.extend(tried.map(|(_, repeat)| *repeat));
        let n_cell = repeats.len().saturating_sub(n_not_done);
        let is_unfinished = n_not_done > 0 || n_cell < n_planned;
        let n_planned = n_planned.max(repeats.len());
        let runs = groups.iter().flat_map(|group| &group.runs);
        Self {
            n_look: runs.map(|run| run.run.n_look.unwrap_or(0)).max().unwrap_or(0),
            n_verdict: planned.len().max(1) + n_repeated + n_earlier,
            unfinished: is_unfinished.then_some(Unfinished { n_cell, n_planned }),
        }
    }
    /// Probability that any statement is wrong.
    pub(crate) fn level(&self) -> f64 {
        self.level_of(self.n_verdict)
    }

    /// The level of the next verdict.
    pub(super) fn next_level(&self) -> f64 {
        self.level_of(self.n_verdict + 1)
    }

    fn level_of(&self, n_verdict: usize) -> f64 {
        level_of_verdict(n_verdict) / self.n_look.max(1) as f64
    }
}
