//! Collates the batches of an epoch.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use batchlab_core::{BatchBuffer, BatchFields, BatchPlan, CollateError, Graphs, collate};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::arena::Arena;
use crate::error::value_error;
use crate::interrupt::WAIT;

/// The batches of an epoch: collated ahead of time by a thread, or when they are asked for.
#[pyclass(frozen, module = "batchlab._batchlab")]
pub(crate) struct Batches {
    source: Mutex<Source>,
    free: SyncSender<BatchBuffer>,
    /// Threads do not survive a fork.
    process: u32,
}

enum Source {
    Thread(Receiver<Result<BatchBuffer, CollateError>>),
    Here(Collation),
}

/// Collates the remaining batches of an epoch, one at a time.
struct Collation {
    graphs: Arc<Graphs>,
    plans: Arc<[BatchPlan]>,
    needs: BatchFields,
    next: usize,
    free: Receiver<BatchBuffer>,
}

impl Iterator for Collation {
    type Item = Result<BatchBuffer, CollateError>;

    fn next(&mut self) -> Option<Self::Item> {
        let plan = self.plans.get(self.next)?;
        self.next += 1;
        let mut buffer = self.free.try_recv().unwrap_or_default();
        let weight = known_weights(&self.graphs, plan);
        let weighted = weight.map(|output_weight| BatchPlan { output_weight, ..plan.clone() });
        let plan = weighted.as_ref().unwrap_or(plan);
        Some(collate(&self.graphs, plan, &self.needs, &mut buffer).map(|()| buffer))
    }
}

/// Weights of the outputs, if some have no target.
fn known_weights(graphs: &Graphs, plan: &BatchPlan) -> Option<Vec<f32>> {
    let target = graphs.target.as_ref()?;
    let is_known = |&id: &u32| target.known(id).is_some();
    let has_all = plan.members.iter().all(is_known);
    (!has_all).then(|| plan.members.iter().map(|id| f32::from(u8::from(is_known(id)))).collect())
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
        let (free, from_free) = sync_channel::<BatchBuffer>(prefetch + 2);
        let collation = Collation { graphs, plans, needs, next: first, free: from_free };
        let source = if prefetch == 0 {
            Source::Here(collation)
        } else {
            let (to_ready, ready) = sync_channel(prefetch);
            std::thread::spawn(move || {
                for batch in collation {
                    // The loop of the user has ended.
                    if to_ready.send(batch).is_err() {
                        return;
                    }
                }
            });
            Source::Thread(ready)
        };
        Self { source: Mutex::new(source), free, process: std::process::id() }
    }

    fn next(&self) -> Result<Option<Result<BatchBuffer, CollateError>>, RecvTimeoutError> {
        match &mut *self.source.lock().unwrap_or_else(PoisonError::into_inner) {
            Source::Here(collation) => Ok(collation.next()),
            Source::Thread(ready) => ready.recv_timeout(WAIT).map(Some),
        }
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
            match py.detach(|| self.next()) {
                Ok(None) | Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Ok(Some(Ok(buffer))) => return Ok(Some(Arena::new(buffer, self.free.clone()))),
                Ok(Some(Err(error))) => return Err(value_error(error)),
                Err(RecvTimeoutError::Timeout) => py.check_signals()?,
            }
        }
    }
}
