//! What is recorded of a cell: the progress of a process, and the outcome.

use std::time::{Duration, SystemTime};

use batchlab_run::Status;
use humantime::parse_rfc3339;
use serde::{Deserialize, Serialize};

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

    /// Whether the cell as a whole, a run, or its steps for timing only have failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        let has_failed = |run: &DoneRun| run.status == Status::Failed || run.timing_ended.is_some();
        self.reason.is_some() || self.runs.iter().any(has_failed)
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
    /// Why steps for timing only ended early: errors are complete, pairs are missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timing_ended: Option<String>,
    pub n_step: u64,
    /// Median step time in nanoseconds; `None` if all steps were warm-up.
    pub median_step_ns: Option<f64>,
    /// Outputs per second: graphs, or nodes of one large graph.
    pub outputs_per_second: Option<f64>,
    /// Kind of output, as in the `runs` table.
    pub output: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::tests::done;

    #[test]
    fn a_cell_is_measured_again_for_narrower_intervals() {
        let asked = |ci_width| DoneCell { ci_width, ..done(Status::Completed) };
        let is_enough = |before, now| asked(before).is_enough(false, now);
        assert!(is_enough(None, None) && is_enough(Some(0.02), None));
        assert!(is_enough(Some(0.02), Some(0.02)) && is_enough(Some(0.01), Some(0.02)));
        assert!(!is_enough(None, Some(0.02)) && !is_enough(Some(0.05), Some(0.02)));
    }
}
