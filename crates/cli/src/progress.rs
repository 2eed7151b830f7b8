//! Progress of loading and downloading, on standard error.

use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};

use batchlab_core::progress::Progress;
use batchlab_run::Observer;
use batchlab_study::{CellObserver, SweepObserver};
use indicatif::{ProgressBar, ProgressStyle};

use crate::say::say;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Unit {
    Bytes,
    #[default]
    Items,
}

/// A progress bar on a terminal, otherwise only notes.
pub(crate) fn to_standard_error(unit: Unit) -> Arc<dyn Progress> {
    if shows_bars() { Arc::new(Bar { unit, ..Bar::default() }) } else { Arc::new(Notes) }
}

pub(crate) fn shows_bars() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

pub(crate) fn styled(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[derive(Default)]
pub(crate) struct Bar {
    unit: Unit,
    bar: Mutex<Option<ProgressBar>>,
}

impl Bar {
    pub(crate) fn bar(&self) -> ProgressBar {
        let bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        bar.clone().unwrap_or_else(ProgressBar::hidden)
    }
}

impl Progress for Bar {
    fn start(&self, what: &str, total: Option<u64>) {
        let template = match (self.unit, total) {
            (Unit::Bytes, Some(_)) => {
                "{msg} {wide_bar} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left"
            }
            (Unit::Items, Some(_)) => "{msg} {wide_bar} {pos}/{len}, {eta} left",
            (Unit::Bytes, None) => "{spinner} {msg} {bytes}",
            (Unit::Items, None) => "{spinner} {msg} {pos}",
        };
        let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        bar.set_style(styled(template));
        bar.set_message(what.to_owned());
        *self.bar.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar);
    }
    fn advance(&self, n: u64) {
        self.bar().inc(n);
    }
    fn finish(&self) {
        self.bar().finish_and_clear();
    }
    fn note(&self, text: &str) {
        self.bar().suspend(|| say!("{text}"));
    }
}

/// With `--quiet`.
pub(crate) struct Quiet;

impl Progress for Quiet {
    fn warn(&self, text: &str) {
        say!("warning: {text}");
    }
}

impl Observer for Quiet {
    fn progress(&self) -> Arc<dyn Progress> {
        Arc::new(Self)
    }
}

impl CellObserver for Quiet {}
impl SweepObserver for Quiet {}

pub(crate) struct Notes;

impl Progress for Notes {
    fn note(&self, text: &str) {
        say!("{text}");
    }
}
