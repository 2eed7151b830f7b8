//! Collates the batches of an epoch in a thread.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use batchlab_core::{BatchBuffer, BatchFields, BatchPlan, CollateError, Graphs, collate};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::arena::Arena;
use crate::error::value_error;

/// Time between looks for Ctrl-C while waiting for a batch.
const WAIT: Duration = Duration::from_millis(100);

/// The batches of an epoch, collated ahead of time by a thread.
#[pyclass(frozen, module = "batchlab._batchlab")]
pub(crate) struct Batches {
    ready: Mutex<Receiver<Result<BatchBuffer, CollateError>>>,
    free: SyncSender<BatchBuffer>,
    /// Threads do not survive a fork.
    process: u32,
}

impl Batches {
    /// Starts with batch `first` and keeps up to `prefetch` batches ready.
    pub(crate) fn start(
        graphs: Arc<Graphs>,
        plans: Arc<[BatchPlan]>,
        first: usize,
        needs: BatchFields,
        prefetch: usize,
    ) -> Self {
        let (to_ready, ready) = sync_channel(prefetch);
        let (free, from_free) = sync_channel::<BatchBuffer>(prefetch + 2);
        std::thread::spawn(move || {
            for plan in plans.iter().skip(first) {
                let mut buffer = from_free.try_recv().unwrap_or_default();
                let collated = collate(&graphs, plan, &needs, &mut buffer).map(|()| buffer);
                let has_failed = collated.is_err();
                // The loop of the user has ended.
                if to_ready.send(collated).is_err() || has_failed {
                    return;
                }
            }
        });
        Self { ready: Mutex::new(ready), free, process: std::process::id() }
    }
}

#[pymethods]
impl Batches {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Arena>> {
        if std::process::id() != self.process {
            return Err(PyRuntimeError::new_err(
                "these batches were begun in another process, whose threads a fork does not copy; \
                 iterate over the loader again in this process",
            ));
        }
        loop {
            let next = py.detach(|| {
                let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
                ready.recv_timeout(WAIT)
            });
            match next {
                Ok(Ok(buffer)) => return Ok(Some(Arena::new(buffer, self.free.clone()))),
                Ok(Err(error)) => return Err(value_error(error)),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => py.check_signals()?,
            }
        }
    }
}
