//! What a run reports, for example to a progress bar or a log.

use std::sync::Arc;

use batchlab_core::progress::Progress;
use batchlab_core::record::EvalRecord;

use crate::{RunHeader, Warning};

/// Is told what happens during a run, outside of timed regions. `()` ignores everything.
pub trait Observer {
    fn progress(&self) -> Arc<dyn Progress> {
        Arc::new(())
    }
    /// Something is probably not meant; training begins all the same.
    fn warned(&self, warning: &Warning) {
        self.progress().note(&format!("warning: {}", warning.message));
    }
    /// Everything is loaded and checked; training begins.
    fn started(&self, _run: &RunHeader) {}
    fn stepped(&self, _step: u64, _loss: f64) {}
    fn evaluated(&self, _eval: &EvalRecord) {}
    fn ended(&self) {}
}

impl Observer for () {}
