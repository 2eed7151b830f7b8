//! Verdicts, figures and a one-file page from results.
//!
//! ```text
//! tables/** -> RunSummary -> Results -> Settings -> Verdicts, Figures -> page, pictures, JSON
//! ```
//!
//! - [`Results`] holds runs, each reduced to a few numbers. **The unit of replication is the run,
//!   or a block of a run** interleaved with others, never the step.
//! - A [`Setting`] holds what must be equal for times to be comparable: engine, hardware, data,
//!   model, length of training, timing mode. Strategies and batch sizes vary within it.
//! - A [`Figure`] is data, along with the query that computes the same numbers from the Parquet
//!   files. It can be rendered as SVG or written as JSON.

mod attribution;
pub mod compare;
mod draw;
mod error;
mod figures;
mod number;
mod numbers;
mod options;
mod page;
mod pairing;
mod query;
mod reach;
mod read;
mod recorded;
mod setting;
mod total_time;
mod verdict;
mod wrapped;

pub use attribution::{Attribution, Cause, Share, Term, attributions};
pub use batchlab_results::{Block, DeviceTimes, Parts, Times, Work};
pub use draw::picture;
pub use error::ReportError;
pub use figures::{
    Cell, Curve, Curves, ErrorComparison, Figure, Forest, ForestRow, Heat, Panel, Plot, Point,
    Scale, Stack, Stacks, compare_errors,
};
pub use number::count;
pub use numbers::{Numbers, Row};
pub use options::Options;
pub use page::{PAGE_BEGIN, html};
pub use query::{Tool, queries};
pub use reach::{Goal, GoalTime, TimeToGoal, reach_text, reaches};
pub use read::{Results, Run};
pub use recorded::{RecordedError, RecordedTime, Replicate, verdict_of_times};
pub use setting::{Group, Setting, batchers, settings};
pub use total_time::{
    AtLength, Interval, PlanShapes, Span, StrategyTime, TotalTime, total_time_text, total_times,
};
pub use verdict::{
    Apart, Conclusion, Disturbance, LeftOutPair, Measure, Outlook, Strategy, Unfinished, Unit,
    Verdict, caveats, fastest, sentence, text, verdicts,
};

use serde::Serialize;

#[derive(Debug, Serialize)]
pub struct Report {
    pub settings: Vec<Setting>,
    pub verdicts: Vec<Verdict>,
    /// Times to an accuracy, for runs that record one, or to an error that was asked for.
    pub reaches: Vec<TimeToGoal>,
    pub attributions: Vec<Attribution>,
    /// How the result depends on the length of training, since first uses of padded shapes cost
    /// time.
    pub total_times: Vec<TotalTime>,
    /// The views used by the queries of all figures.
    pub views: String,
    pub figures: Vec<Figure>,
    pub numbers: Numbers,
    /// Runs that are excluded from all figures, or whose times are, with the reason.
    pub left_out: Vec<LeftOut>,
    /// Number of runs used without checksums.
    pub n_unverified: usize,
}

/// Runs that are excluded from all figures, or whose times are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    pub why: String,
    pub n_run: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Questions {
    /// The strategy to compare all others with, named before looking at the results. `None`: the
    /// fastest, or the slowest for the attribution of speed-ups.
    pub reference: Option<String>,
    /// Differences up to this share count as equal.
    pub margin: f64,
    /// Assumed cost in seconds of the first use of a padded shape, for batchlab's own engine.
    pub compile_cost: Option<f64>,
    /// Length of training, in steps, at which to compare strategies.
    pub n_step: Option<u64>,
    /// Accuracy, from 0 to 1, for comparing times. `None`: the highest that every strategy reaches
    /// in more than half of its runs.
    pub accuracy: Option<f64>,
    /// Validation RMSE, in the unit of the target, for comparing times.
    pub error: Option<f64>,
}

impl Default for Questions {
    fn default() -> Self {
        Self {
            reference: None,
            margin: 0.02,
            compile_cost: None,
            n_step: None,
            accuracy: None,
            error: None,
        }
    }
}

impl Report {
    /// A report with the default questions.
    #[must_use]
    pub fn of(results: &Results) -> Self {
        Self::answering(results, &Questions::default())
    }

    /// A report that knows only the shapes recorded in the steps of the runs.
    #[must_use]
    pub fn answering(results: &Results, questions: &Questions) -> Self {
        Self::planning(results, questions, &|_| None)
    }

    /// A report that plans the shapes of a longer training where they matter.
    #[must_use]
    pub fn planning(results: &Results, questions: &Questions, plan: &PlanShapes<'_>) -> Self {
        let settings = settings(results);
        let verdicts = verdicts(&settings, questions);
        let reaches = reaches(&settings, results, questions);
        let attributions = attributions(&settings, questions.reference.as_deref());
        let total_times = total_times(&settings, questions, plan);
        let figures = figures::all(&settings, (&verdicts, &reaches), &attributions, &total_times);
        Self {
            verdicts,
            reaches,
            attributions,
            total_times,
            views: query::views(),
            figures,
            numbers: Numbers::of(&settings),
            left_out: left_out(results),
            n_unverified: results.n_unverified,
            settings,
        }
    }
}

/// What follows the first colon varies between runs; errors of models begin with `model: `.
fn kind_of_failure(error: &str) -> &str {
    let start = if error.starts_with("model: ") { "model: ".len() } else { 0 };
    error[start..].find(':').map_or(error, |at| &error[..start + at])
}

fn left_out(results: &Results) -> Vec<LeftOut> {
    let incomplete = |run: &&Run| !run.is_usable() || run.steps.times.is_none();
    let why = |run: &Run| {
        let no_times = run.untimed.unwrap_or("only warm-up steps, so no times");
        match &run.run.error {
            Some(error) => kind_of_failure(error).to_owned(),
            None if run.is_usable() => format!("{no_times}; only its errors are shown"),
            None if run.run.status == "completed" => no_times.to_owned(),
            None => format!("status {}", run.run.status),
        }
    };
    let damaged = results.damaged.iter().map(|run| run.reason.clone());
    let mut all: Vec<LeftOut> = Vec::new();
    for why in damaged.chain(results.runs.iter().filter(incomplete).map(why)) {
        match all.iter_mut().find(|known| known.why == why) {
            Some(known) => known.n_run += 1,
            None => all.push(LeftOut { why, n_run: 1 }),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::kind_of_failure;

    #[test]
    fn failures_of_one_kind_are_counted_together() {
        let kind = "model: the engine failed";
        assert_eq!(kind_of_failure("model: the engine failed: step 7 of run a"), kind);
        assert_eq!(kind_of_failure("disk full: /data"), "disk full");
        assert_eq!(kind_of_failure("no colon"), "no colon");
    }
}
