//! Locks that show that a process is working on a run.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use batchlab_files::{open_to_change, open_to_lock};

use crate::{ResultsError, files, publish};

pub(crate) const NAME: &str = "lock";
/// Prefix of the text in a lock.
const OWN: &str = "process ";

/// A locked file. The system releases the lock when the process ends for any reason.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Locks `<wip>/lock` and writes the owner into it.
    pub fn take(wip: &Path, run_id: &str) -> Result<Self, ResultsError> {
        let path = wip.join(NAME);
        let failed = |source| ResultsError::Write { path: path.clone(), source };
        let mut file = loop {
            files::make(wip)?;
            let file =
                match open_to_change(&path, OpenOptions::new().read(true).write(true).create(true))
                {
                    // The previous owner of the lock has just removed the folder.
                    Err(error) if error.kind() == ErrorKind::NotFound => continue,
                    file => file.map_err(failed)?,
                };
            match file.try_lock() {
                // Ignores the lock of a file that its owner has removed in the meantime.
                Ok(()) if is_at(&file, &path) => break file,
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let process = holder(file);
                    return Err(ResultsError::Running { run_id: run_id.to_owned(), process });
                }
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
        };
        let host = sysinfo::System::host_name().unwrap_or_default();
        file.set_len(0).map_err(failed)?;
        write!(file, "{OWN}{} on {host}", std::process::id()).map_err(failed)?;
        Ok(Self { file, path })
    }

    /// Whether a process holds the lock of a folder.
    ///
    /// # Errors
    /// A lock that cannot be opened or queried.
    pub fn is_held(folder: &Path) -> Result<bool, ResultsError> {
        let path = folder.join(NAME);
        let file = match open_to_lock(&path, false) {
            Ok(file) => file,
            // A file in place of the folder belongs to no run.
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                return Ok(false);
            }
            Err(source) => return Err(ResultsError::Read { path, source }),
        };
        // Shared: several ranks may ask at once.
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(source)) => Err(ResultsError::Read { path, source }),
        }
    }

    /// Whether the lock of a folder was written by this program.
    pub(crate) fn is_own(folder: &Path) -> bool {
        open_to_lock(&folder.join(NAME), false).is_ok_and(|file| holder(file).starts_with(OWN))
    }

    /// Removes the file and then releases the lock; in this order, a process that has already
    /// opened the file notices that it is gone.
    pub fn remove(self) -> Result<(), ResultsError> {
        let removed = fs::remove_file(&self.path);
        drop(self.file);
        removed.map_err(|source| ResultsError::Write { path: self.path, source })
    }
}

/// The owner according to a lock file.
fn holder(file: File) -> String {
    let mut text = String::new();
    // Lock files contain no more than one line.
    let _ = file.take(200).read_to_string(&mut text);
    text
}

/// Whether an open file is still the one at this path.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |data: fs::Metadata| (data.dev(), data.ino());
    let [opened, named] = [file.metadata(), fs::metadata(path)].map(|data| data.map(identity).ok());
    opened.is_some() && opened == named
}

/// Open files cannot be removed on this platform.
#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
}

/// Whether a process is working on the run.
///
/// # Errors
/// A lock that cannot be opened.
pub fn is_locked(out: &Path, run_id: &str) -> Result<bool, ResultsError> {
    Lock::is_held(&publish::wip(out, run_id))
}
