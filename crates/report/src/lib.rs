//! Verdicts, figures and one page from results.
//!
//! ```text
//! tables/** -> RunSummary -> Results -> Settings -> Verdicts, Figures -> page, pictures, JSON
//! ```
//!
//! - [`Results`] are runs, each reduced to a few numbers: **the unit of replication is the run, or the
//!   block of a run** that was trained in turns with others, never the step.
//! - A [`Setting`] is what must be equal for times to be compared: engine, hardware, data, model,
//!   length of training, way of timing. Within it strategies and batch sizes differ.
//! - A [`Figure`] is data, with the query that gives the same numbers from the Parquet files; it is
//!   drawn as SVG, and written as JSON.

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
pub use numbers::{Numbers, Row};
pub use options::Options;
pub use page::{PAGE_BEGIN, html};
pub use query::{Tool, queries};
pub use reach::{Reach, Reaching, reach_text, reaches};
pub use read::{Results, Run};
pub use recorded::{RecordedError, RecordedTime, Replicate, verdict_of_times};
pub use setting::{Group, Setting, batchers, settings};
pub use total_time::{
    AtLength, Interval, PlanShapes, Span, StrategyTime, TotalTime, total_time_text, total_times,
};
pub use verdict::{
    Apart, Disturbance, LeftOutPair, Measure, Outlook, Place, Strategy, Unfinished, Unit, Verdict,
    caveats, fastest, sentence, text, verdicts,
};

use serde::Serialize;

#[derive(Debug, Serialize)]
pub struct Report {
    pub settings: Vec<Setting>,
    pub verdicts: Vec<Verdict>,
    /// Times to an accuracy, where runs have one.
    pub reaches: Vec<Reach>,
    pub attributions: Vec<Attribution>,
    /// What the length of training changes, as first uses of padded shapes cost time.
    pub total_times: Vec<TotalTime>,
    /// The views that the queries of all figures use.
    pub views: String,
    pub figures: Vec<Figure>,
    pub numbers: Numbers,
    /// Runs that are in no figure, or whose times are in none, and why.
    pub left_out: Vec<LeftOut>,
    /// Runs without checksums, which are used.
    pub n_unverified: usize,
}

/// Runs that are in no figure, or whose times are in none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    pub why: String,
    pub n_run: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Questions {
    /// The strategy that all others are held against, named before looking at the results. `None`: the
    /// fastest, whichever that is, and in the attribution of speed-ups the slowest.
    pub reference: Option<String>,
    /// Differences up to this share are called equal.
    pub margin: f64,
    /// Seconds that the first use of a padded shape is assumed to cost, of batchlab's own engine.
    pub compile_cost: Option<f64>,
    /// A length of training, in steps, at which strategies are compared.
    pub n_step: Option<u64>,
    /// The accuracy to which times are compared, from 0 to 1. `None`: the greatest that every strategy
    /// reaches in more than half of its runs.
    pub accuracy: Option<f64>,
}

impl Default for Questions {
    fn default() -> Self {
        Self { reference: None, margin: 0.02, compile_cost: None, n_step: None, accuracy: None }
    }
}

impl Report {
    /// A report with the default questions.
    #[must_use]
    pub fn of(results: &Results) -> Self {
        Self::answering(results, &Questions::default())
    }

    /// A report in which shapes are known from the steps of the runs alone.
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

fn left_out(results: &Results) -> Vec<LeftOut> {
    let incomplete = |run: &&Run| !run.is_usable() || run.steps.times.is_none();
    let why = |run: &Run| {
        let no_times = run.untimed.unwrap_or("all of its steps were warm-up, so it has no times");
        match &run.run.error {
            // The text after the colon differs from run to run.
            Some(error) => error.split(':').next().unwrap_or_default().to_owned(),
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
