//! Work that Ctrl-C ends.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

/// Time between looks for Ctrl-C.
pub(crate) const WAIT: Duration = Duration::from_millis(50);

/// Raises `KeyboardInterrupt` after Ctrl-C, for work on Python's main thread.
pub(crate) fn look_for_signals() -> PyResult<()> {
    Python::attach(|py| {
        py.check_signals()?;
        Ok(())
    })
}

/// Does work on a thread of its own, as Python notices signals on its main thread alone. With
/// Ctrl-C, `KeyboardInterrupt` is raised at once, and the work, which nobody waits for any more,
/// should end when it finds its flag set.
pub(crate) fn interruptible<T: Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce(&AtomicBool) -> T + Send + 'static,
) -> PyResult<T> {
    let stop = Arc::new(AtomicBool::new(false));
    let (to_caller, mut result) = sync_channel(1);
    let flag = Arc::clone(&stop);
    let thread = std::thread::Builder::new().spawn(move || {
        // The caller may have been interrupted.
        let _ = to_caller.send(work(&flag));
    })?;
    loop {
        let waiting = &mut result;
        match py.detach(move || waiting.recv_timeout(WAIT)) {
            Ok(done) => return Ok(done),
            Err(RecvTimeoutError::Timeout) => {
                py.check_signals().inspect_err(|_| stop.store(true, Ordering::Relaxed))?;
            }
            Err(RecvTimeoutError::Disconnected) => {
                thread.join().unwrap_or_else(|panic| resume_unwind(panic));
                return Err(PyRuntimeError::new_err("the work has ended without a result"));
            }
        }
    }
}
