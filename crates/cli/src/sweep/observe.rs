//! Progress of a sweep on standard error.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use batchlab_core::Level;
use batchlab_core::progress::Progress;
use batchlab_report::{count, fastest};
use batchlab_run::{Observer, RunHeader, Warning};
use batchlab_study::blocks::StoppingRule;
use batchlab_study::cells::{DoneCell, DoneRun};
use batchlab_study::look::InterimAnalysis;
use batchlab_study::{CellInfo, CellObserver, CellProgress, Outlook, SweepObserver};
use indicatif::ProgressBar;

use crate::progress::{Bar as Loading, Notes, styled};
use crate::run::observe::PAUSE;
use crate::say::say;

/// Warnings given before training, each once: the runs of a sweep repeat them.
pub(super) type Warnings = Rc<RefCell<Vec<String>>>;

/// Whether a warning is new.
fn remember(warnings: &Warnings, warning: &Warning) -> bool {
    let mut all = warnings.borrow_mut();
    let is_new = !all.contains(&warning.message);
    if is_new {
        all.push(warning.message.clone());
    }
    is_new
}

#[derive(Default)]
pub(super) struct Bar {
    warnings: Warnings,
    loading: Arc<Loading>,
    shown: RefCell<Option<ProgressBar>>,
}

impl Bar {
    pub(super) fn new(warnings: &Warnings) -> Self {
        Self { warnings: Rc::clone(warnings), ..Self::default() }
    }

    fn tell(&self, line: &str) {
        if let Some(bar) = &*self.shown.borrow() {
            bar.suspend(|| say!("{line}"));
        } else {
            say!("{line}");
        }
    }
}

impl Observer for Bar {
    fn progress(&self) -> Arc<dyn Progress> {
        Arc::clone(&self.loading) as Arc<dyn Progress>
    }
    fn warned(&self, warning: &Warning) {
        if remember(&self.warnings, warning) {
            self.tell(&format!("warning: {}", warning.message));
        }
    }
    fn stepped(&self, _: u64, _: f64) {
        if let Some(bar) = &*self.shown.borrow() {
            bar.inc(1);
        }
    }
    fn ended(&self) {
        if let Some(bar) = self.shown.take() {
            bar.finish_and_clear();
        }
    }
}

impl CellObserver for Bar {
    fn turn(&self, run: &RunHeader, at: &CellProgress) {
        self.loading.bar().finish_and_clear();
        if let Some(bar) = &*self.shown.borrow() {
            bar.set_length(at.n_step_all);
            bar.set_position(at.n_step);
            bar.set_message(format!("{}, {}", block_of(at), run.batcher));
        }
    }
    fn scattered(&self, outlook: &Outlook) {
        self.tell(&outlook_of(outlook));
    }
    fn looked(&self, look: &InterimAnalysis, batchers: &[&str]) {
        self.tell(&look_of(look, batchers));
    }
}

impl SweepObserver for Bar {
    fn cell_begins(&self, n: usize, n_cell: usize, cell: &CellInfo, rule: StoppingRule) {
        say!("{}", begins(n, n_cell, cell, rule));
        let style = styled("{wide_bar} {pos}/{len} steps, {eta} left, {msg}");
        let n_step = cell.n_step * cell.batchers.len() as u64;
        *self.shown.borrow_mut() = Some(ProgressBar::new(n_step).with_style(style));
    }
    fn cell_ended(&self, _: &CellInfo, done: &DoneCell) {
        say!("{}", ended(done));
    }
}

pub(super) struct Lines {
    warnings: Warnings,
    last: Cell<Instant>,
}

impl Lines {
    pub(super) fn new(warnings: &Warnings) -> Self {
        Self { warnings: Rc::clone(warnings), last: Cell::new(Instant::now()) }
    }
}

impl Observer for Lines {
    fn progress(&self) -> Arc<dyn Progress> {
        Arc::new(Notes)
    }
    fn warned(&self, warning: &Warning) {
        if remember(&self.warnings, warning) {
            say!("warning: {}", warning.message);
        }
    }
}

impl CellObserver for Lines {
    fn turn(&self, _: &RunHeader, at: &CellProgress) {
        if self.last.get().elapsed() >= PAUSE {
            self.last.set(Instant::now());
            say!("  {}, {} of {} steps", block_of(at), at.n_step, at.n_step_all);
        }
    }
    fn scattered(&self, outlook: &Outlook) {
        say!("{}", outlook_of(outlook));
    }
    fn looked(&self, look: &InterimAnalysis, batchers: &[&str]) {
        say!("{}", look_of(look, batchers));
    }
}

impl SweepObserver for Lines {
    fn cell_begins(&self, n: usize, n_cell: usize, cell: &CellInfo, rule: StoppingRule) {
        self.last.set(Instant::now());
        say!("{}", begins(n, n_cell, cell, rule));
    }
    fn cell_ended(&self, _: &CellInfo, done: &DoneCell) {
        say!("{}", ended(done));
    }
}

fn block_of(at: &CellProgress) -> String {
    match at.n_block {
        None => "warm-up block".to_owned(),
        Some(n_block) => format!("block {} of {}", at.block, n_block - 1),
    }
}

fn outlook_of(outlook: &Outlook) -> String {
    let Outlook { n_pair, stops_at_ci_width, n_step, difference } = *outlook;
    let about = if stops_at_ci_width { "about " } else { "" };
    format!(
        "  {about}{n_pair} pairs of blocks of {n_step} steps will show differences from about {} on \
         (80 % power)",
        percent(difference)
    )
}

fn look_of(look: &InterimAnalysis, batchers: &[&str]) -> String {
    let best: Vec<&str> = look.best.iter().map(|&column| batchers[column]).collect();
    let n_pair = look.n_pair;
    let found = format!("  after {n_pair} pairs {}", fastest(&best));
    if best.len() == 1 { found } else { format!("{found}, to ±{}", percent(look.half_width)) }
}

/// Formats with two digits.
pub(super) fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    if percent < 10.0 { format!("{percent:.1} %") } else { format!("{percent:.0} %") }
}

fn begins(n: usize, n_cell: usize, cell: &CellInfo, rule: StoppingRule) -> String {
    let until = match rule {
        StoppingRule::Planned => String::new(),
        StoppingRule::Pairs(n_pair) => {
            format!(", at least {} of blocks", count(n_pair as usize, "pair"))
        }
        StoppingRule::Width(width) => format!(", until intervals are within ±{}", percent(width)),
    };
    format!(
        "[{n}/{n_cell}] {}: {}{}{until}",
        cell.title(),
        count(cell.batchers.len(), "run"),
        if cell.n_step > 0 { format!(" of {} steps", cell.n_step) } else { String::new() }
    )
}

/// One line per run, fastest first.
pub(crate) fn ended(done: &DoneCell) -> String {
    let mut runs: Vec<_> = done.runs.iter().collect();
    let speed = |run: &DoneRun| run.outputs_per_second.unwrap_or(0.0);
    runs.sort_by(|a, b| speed(b).total_cmp(&speed(a)));
    let width = runs.iter().map(|run| run.batcher.chars().count()).max().unwrap_or(0);
    let mut lines: Vec<String> = Vec::new();
    for run in runs {
        let batcher = &run.batcher;
        lines.push(if let Some(reason) = &run.reason {
            format!("  {batcher:<width$}  {}: {reason}", run.status.name())
        } else {
            match run.median_step_ns {
                Some(ns) => {
                    let (step_ms, speed) = (ns / 1e6, speed(run));
                    let outputs = Level::of_output(run.output.as_deref()).outputs();
                    format!(
                        "  {batcher:<width$}  {step_ms:8.2} ms median step  {speed:8.0} {outputs}/s mean"
                    )
                }
                None => format!("  {batcher:<width$}  no times: all steps were warm-up"),
            }
        });
    }
    for run in &done.runs {
        let ended = run.timing_ended.as_deref().map(timing_ended);
        lines.extend(ended.map(|ended| format!("  {}: {ended}", run.batcher)));
    }
    lines.extend(done.reason.as_ref().map(|reason| format!("  failed: {reason}")));
    if let [_, rest @ ..] = done.blocks.as_slice() {
        let blocks = match rest.len() {
            0 => "no block to compare: too few steps".to_owned(),
            1 => format!("1 block of {} steps", rest[0]),
            n => format!("{} pairs of blocks of {} steps", n / 2, rest[n - 1]),
        };
        let short = if done.is_cut_short { ", fewer than requested: the time was up" } else { "" };
        lines.push(format!("  {blocks}{short}, {}", took(done)));
    }
    lines.join("\n")
}

pub(crate) fn timing_ended(reason: &str) -> String {
    format!("completed, but its steps for timing only ended early: {reason}")
}

pub(crate) fn took(done: &DoneCell) -> String {
    duration(done.took())
}

/// Like [`duration`], for forecasts, which may exceed the range of `Duration`.
pub(crate) fn seconds(seconds: f64) -> String {
    match Duration::try_from_secs_f64(seconds.ceil()) {
        Ok(time) => duration(time),
        Err(_) => format!("{seconds:.0e} s"),
    }
}

pub(crate) fn duration(time: Duration) -> String {
    humantime::format_duration(Duration::from_secs(time.as_secs())).to_string()
}
