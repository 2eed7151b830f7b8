//! Runs a sweep in a child process, which is restarted when it dies or loses its device.
//!
//! A kernel error destroys a GPU context: every later call of the process fails, even calls that
//! free memory, and the process may have to exit in the middle of a cell. That cell is recorded as
//! failed, and a new process continues with the others.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{ChildStdin, ExitCode, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use batchlab_study::cells::Cells;

use crate::exit::DEVICE_LOST;
use crate::invocation;
use crate::say::say;
use crate::signals::on_request_to_end;

/// Set for the training process: the start time of the sweep.
const CHILD: &str = "BATCHLAB_SWEEP_SINCE";
/// A Ctrl-C reaches both processes. The training process must not take the exit of its parent for a
/// second one.
const AFTER_SIGNAL: Duration = Duration::from_secs(2);

/// The start time of the sweep, if this process was started by [`supervise`].
pub(super) fn since() -> Option<SystemTime> {
    std::env::var(CHILD).ok().and_then(|time| humantime::parse_rfc3339(&time).ok())
}

/// Interrupts this process when its supervisor exits.
pub(super) fn end_with_parent(interrupted: &Arc<AtomicBool>) {
    let interrupted = Arc::clone(interrupted);
    std::thread::spawn(move || {
        // Nothing is ever written: the read returns when the other end is closed.
        let _ = std::io::stdin().read(&mut [0]);
        std::thread::sleep(AFTER_SIGNAL);
        interrupted.store(true, Ordering::Relaxed);
    });
}

/// Runs this program in a child process to train, and restarts it as long as cells remain.
/// `ci_width`: the requested half width of intervals.
pub(super) fn supervise(cells: &Cells, ci_width: Option<f64>) -> Result<ExitCode> {
    let since = batchlab_study::now();
    let watched: Arc<Mutex<Option<ChildStdin>>> = Arc::default();
    let is_ending = Arc::new(AtomicBool::new(false));
    let (held, ending) = (Arc::clone(&watched), Arc::clone(&is_ending));
    on_request_to_end(move || {
        ending.store(true, Ordering::Relaxed);
        drop(held.lock().unwrap_or_else(PoisonError::into_inner).take());
    })?;
    loop {
        let mut command = invocation::again().context("cannot find this program")?;
        command.env(CHILD, &since).stdin(Stdio::piped());
        let mut child = command.spawn().context("cannot start a process for training")?;
        *watched.lock().unwrap_or_else(PoisonError::into_inner) = child.stdin.take();
        let status = child.wait().context("cannot wait for the training process")?;
        let lost = u8::try_from(status.code().unwrap_or(-1)).ok();
        match lost {
            // The process itself has recorded its cell as failed.
            Some(DEVICE_LOST) if !reason_file(child.id()).exists() => {
                say!("note: continuing in a new process");
            }
            Some(code) if code != DEVICE_LOST => return Ok(code.into()),
            _ => {
                let reason = taken_reason(child.id()).unwrap_or_else(|| {
                    format!("its training process was ended by {}", cause(status))
                });
                let Some(cell) = cells.record_failure(child.id(), &reason, ci_width)? else {
                    bail!("the training process has ended outside of any cell: {reason}");
                };
                say!("error: cell {cell} has failed: {reason}; continuing in a new process");
            }
        }
        if is_ending.load(Ordering::Relaxed) {
            return Ok(crate::exit::INTERRUPTED.into());
        }
    }
}

/// See [`super::leave_reason`].
pub(crate) fn leave_reason(reason: &str) {
    if since().is_some() {
        let file = reason_file(std::process::id());
        // Others may write to this folder: a link in the file's place is replaced, not followed.
        let _ = std::fs::remove_file(&file);
        let written = std::fs::File::create_new(file);
        // If it cannot be written, the reason is still on the screen.
        let _ = written.and_then(|mut file| file.write_all(reason.as_bytes()));
    }
}

fn taken_reason(process: u32) -> Option<String> {
    let file = reason_file(process);
    let reason = std::fs::read_to_string(&file).ok();
    let _ = std::fs::remove_file(file);
    reason
}

fn reason_file(process: u32) -> PathBuf {
    std::env::temp_dir().join(format!("batchlab-{process}-end"))
}

fn cause(status: ExitStatus) -> String {
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt;
        if let Some(signal) = status.signal() {
            return format!("signal {signal}");
        }
    }
    status.to_string()
}
