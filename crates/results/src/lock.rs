//! Says that a process works on a run, for as long as the process lives.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::{ResultsError, files, publish};

pub(crate) const NAME: &str = "lock";

/// A locked file. The system gives the lock back when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Locks `<wip>/lock`, and writes down who has it.
    pub fn take(wip: &Path, run_id: &str) -> Result<Self, ResultsError> {
        let path = wip.join(NAME);
        let failed = |source| ResultsError::Write { path: path.clone(), source };
        let mut file = loop {
            files::make(wip)?;
            let file = match open(&path) {
                // The process that had the lock has just removed the folder.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                file => file.map_err(failed)?,
            };
            match file.try_lock() {
                // Not the lock of a file that its owner has removed meanwhile.
                Ok(()) if is_at(&file, &path) => break file,
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let process = std::io::read_to_string(file).unwrap_or_default();
                    return Err(ResultsError::Running { run_id: run_id.to_owned(), process });
                }
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
        };
        let host = sysinfo::System::host_name().unwrap_or_default();
        file.set_len(0).map_err(failed)?;
        write!(file, "process {} on {host}", std::process::id()).map_err(failed)?;
        Ok(Self { file, path })
    }

    /// Whether a process has the lock of a folder. Where the system cannot say, the answer is yes: it
    /// is safer.
    #[must_use]
    pub fn is_held(folder: &Path) -> bool {
        match OpenOptions::new().read(true).write(true).open(folder.join(NAME)) {
            Ok(file) => file.try_lock().is_err(),
            // A file where a folder should be is of no run.
            Err(error) => !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
        }
    }

    /// Gives the lock back and removes its file, in the order that lets nobody in between: whoever
    /// opened the file before sees that it is gone.
    pub fn remove(self) -> Result<(), ResultsError> {
        let removed = fs::remove_file(&self.path);
        drop(self.file);
        removed.map_err(|source| ResultsError::Write { path: self.path, source })
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// Whether an open file is the one that has this name now.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |data: fs::Metadata| (data.dev(), data.ino());
    let [opened, named] = [file.metadata(), fs::metadata(path)].map(|data| data.map(identity).ok());
    opened.is_some() && opened == named
}

/// A file that is open cannot be removed here.
#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
}

/// Whether a process works on the run.
#[must_use]
pub fn is_locked(out: &Path, run_id: &str) -> bool {
    Lock::is_held(&publish::wip(out, run_id))
}
