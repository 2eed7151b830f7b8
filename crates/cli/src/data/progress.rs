//! A bar while something is read or fetched; notes alone where nobody watches.

use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};

use batchlab_core::progress::Progress;
use indicatif::{ProgressBar, ProgressStyle};

use crate::say::say;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Bytes,
    Things,
}

/// News for whoever looks at standard error.
pub(super) fn to_standard_error(unit: Unit) -> Arc<dyn Progress> {
    let is_watched = std::io::stderr().is_terminal()
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
    if is_watched { Arc::new(Bar { unit, bar: Mutex::default() }) } else { Arc::new(Notes) }
}

struct Bar {
    unit: Unit,
    bar: Mutex<Option<ProgressBar>>,
}

impl Bar {
    fn bar(&self) -> ProgressBar {
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
            (Unit::Things, Some(_)) => "{msg} {wide_bar} {pos}/{len}, {eta} left",
            (Unit::Bytes, None) => "{spinner} {msg} {bytes}",
            (Unit::Things, None) => "{spinner} {msg} {pos}",
        };
        let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        let style = ProgressStyle::with_template(template);
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
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

struct Notes;

impl Progress for Notes {
    fn note(&self, text: &str) {
        say!("{text}");
    }
}
