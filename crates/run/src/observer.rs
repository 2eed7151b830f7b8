//! Who watches a run: a progress bar, a log, or nobody.

use std::sync::Arc;

use batchlab_core::progress::Progress;
use batchlab_core::record::EvalRecord;

use crate::RunHeader;

/// Receives what happens during a run. Called outside of timed regions. The implementation `()`
/// ignores everything.
pub trait Observer {
    fn progress(&self) -> Arc<dyn Progress> {
        Arc::new(())
    }
    /// Everything is loaded and checked; training begins.
    fn started(&self, _run: &RunHeader) {}
    fn stepped(&self, _step: u64, _loss: f64) {}
    fn evaluated(&self, _eval: &EvalRecord) {}
    fn ended(&self) {}
}

impl Observer for () {}
