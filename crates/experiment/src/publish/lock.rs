//! Says that a process works on a run, for as long as the process lives.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::Path;

use crate::RunError;

const NAME: &str = "lock";

/// A locked file. The system gives the lock back when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Locks `<wip>/lock`, and writes down who has it.
    pub(super) fn take(wip: &Path, run_id: &str) -> Result<Self, RunError> {
        let path = wip.join(NAME);
        let failed = |source| RunError::Publish { path: path.clone(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut process = String::new();
                let _ = file.read_to_string(&mut process);
                return Err(RunError::AtWork { run_id: run_id.to_owned(), process });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let host = sysinfo::System::host_name().unwrap_or_default();
        file.set_len(0).map_err(failed)?;
        write!(file, "process {} on {host}", std::process::id()).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

/// Whether a process works on the run. Where the system cannot say, the answer is yes: it is safer.
#[must_use]
pub fn is_locked(out: &Path, run_id: &str) -> bool {
    let path = super::wip(out, run_id).join(NAME);
    match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file.try_lock().is_err(),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}
