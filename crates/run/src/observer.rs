//! Observers of a run, such as a progress bar or a log.

use std::sync::Arc;

use batchlab_core::progress::Progress;
use batchlab_core::record::EvalRecord;

use crate::{RunHeader, Warning};

/// Receives the events of a run, outside of timed regions. `()` ignores everything.
pub trait Observer {
    /// A fallback observer for everything that this one does not handle.
    fn inner(&self) -> Option<&dyn Observer> {
        None
    }
    fn progress(&self) -> Arc<dyn Progress> {
        self.inner().map_or_else(|| Arc::new(()) as Arc<dyn Progress>, |inner| inner.progress())
    }
    /// Something is probably unintended; training starts anyway.
    fn warned(&self, warning: &Warning) {
        match self.inner() {
            Some(inner) => inner.warned(warning),
            None => self.progress().note(&format!("warning: {}", warning.message)),
        }
    }
    /// Everything is loaded and checked; training begins.
    fn started(&self, run: &RunHeader) {
        if let Some(inner) = self.inner() {
            inner.started(run);
        }
    }
    fn stepped(&self, step: u64, loss: f64) {
        if let Some(inner) = self.inner() {
            inner.stepped(step, loss);
        }
    }
    fn evaluated(&self, eval: &EvalRecord) {
        if let Some(inner) = self.inner() {
            inner.evaluated(eval);
        }
    }
    fn ended(&self) {
        if let Some(inner) = self.inner() {
            inner.ended();
        }
    }
}

impl Observer for () {}
