//! Progress of a run on standard error.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant};

use batchlab_core::progress::Progress;
use batchlab_core::record::EvalRecord;
use batchlab_run::Observer;
use batchlab_run::RunHeader;
use indicatif::ProgressBar;

use crate::progress::{Bar as Loading, Notes, styled};
use crate::say::say;
use crate::unit;

pub(super) struct Bar {
    loading: Arc<Loading>,
    training: RefCell<ProgressBar>,
    smoothed: Cell<Option<f64>>,
}

impl Bar {
    pub(super) fn new() -> Self {
        let training = RefCell::new(ProgressBar::hidden());
        Self { loading: Arc::default(), training, smoothed: Cell::new(None) }
    }
}

impl Observer for Bar {
    fn progress(&self) -> Arc<dyn Progress> {
        Arc::clone(&self.loading) as Arc<dyn Progress>
    }
    fn started(&self, run: &RunHeader) {
        self.loading.bar().finish_and_clear();
        say!("{}", describe(run));
        let (bar, style) = match run.n_step {
            Some(n_step) => (
                ProgressBar::new(n_step),
                "{wide_bar} {pos}/{len} steps, {per_sec}, {eta} left, loss {msg}",
            ),
            None => (ProgressBar::no_length(), "{spinner} {pos} steps, {per_sec}, loss {msg}"),
        };
        *self.training.borrow_mut() = bar.with_style(styled(style));
    }
    fn stepped(&self, step: u64, loss: f64) {
        let smoothed = self.smoothed.get().map_or(loss, |old| 0.95 * old + 0.05 * loss);
        self.smoothed.set(Some(smoothed));
        let training = self.training.borrow();
        training.set_position(step);
        training.set_message(format!("{smoothed:.4}"));
    }
    fn evaluated(&self, eval: &EvalRecord) {
        self.training.borrow().suspend(|| say!("{}", describe_eval(eval)));
    }
    fn ended(&self) {
        self.training.borrow().finish_and_clear();
    }
}

pub(super) struct Lines {
    n_step: Cell<Option<u64>>,
    last: Cell<Instant>,
}

/// Minimum time between two lines.
pub(crate) const PAUSE: Duration = Duration::from_secs(10);

impl Lines {
    pub(super) fn new() -> Self {
        Self { n_step: Cell::new(None), last: Cell::new(Instant::now()) }
    }
}

impl Observer for Lines {
    fn progress(&self) -> Arc<dyn Progress> {
        Arc::new(Notes)
    }
    fn started(&self, run: &RunHeader) {
        self.n_step.set(run.n_step);
        self.last.set(Instant::now());
        say!("{}", describe(run));
    }
    fn stepped(&self, step: u64, loss: f64) {
        if self.last.get().elapsed() >= PAUSE {
            self.last.set(Instant::now());
            let of = self.n_step.get().map(|n| format!("/{n}")).unwrap_or_default();
            say!("step {step}{of}  loss {loss:.4}");
        }
    }
    fn evaluated(&self, eval: &EvalRecord) {
        say!("{}", describe_eval(eval));
    }
}

fn describe(run: &RunHeader) -> String {
    let target = run
        .target
        .as_ref()
        .map(|(name, unit)| format!(" {name}{}", unit::around(" [", unit.as_deref(), "]")));
    let size = run.batch_size.map(|size| format!(" B={size}"));
    let [train, validation, test] = run.n_graph;
    let ranks = match run.n_rank {
        1 => String::new(),
        n => format!(", {n} ranks"),
    };
    let notes = run.notes.iter().filter(|(_, count)| *count > 0);
    let notes: Vec<String> = notes.map(|(what, count)| format!("{count} {what}")).collect();
    let notes = if notes.is_empty() { notes.concat() } else { format!(" ({})", notes.join(", ")) };
    format!(
        "run {}\n{}{}: {train} + {validation} + {test} {}s{notes}\n{}{} ({} parameters) with {}{} on {}{ranks}",
        run.run_id,
        run.dataset,
        target.unwrap_or_default(),
        run.output,
        run.model,
        run.engine.as_ref().map_or_else(String::new, |engine| format!(" on {engine}")),
        run.n_parameter,
        run.batcher,
        size.unwrap_or_default(),
        run.device,
    )
}

fn describe_eval(eval: &EvalRecord) -> String {
    let number = |name: &str, value: Option<f64>| value.map(|value| format!("  {name} {value:.4}"));
    let numbers = [
        number("rmse", eval.rmse),
        number("mae", eval.mae),
        number("accuracy", eval.accuracy),
        number("macro-F1", eval.macro_f1),
    ];
    let numbers: String = numbers.into_iter().flatten().collect();
    format!("step {:>6}  {:<10}{numbers}", eval.step, eval.subset)
}
