//! The file system operations that claims need.

use std::fmt::Debug;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use batchlab_files as files;
use batchlab_results::{Lock, ResultsError};

use super::ClaimError;
use super::beat::Beat;

/// A folder shared by machines. Reads may be stale; creating and renaming take effect for all at
/// once.
pub(crate) trait Disk: Send + Sync + Debug {
    /// Released when its process ends or when dropped; visible to processes on the same node.
    type Lock: Debug;
    /// Heartbeat that runs until dropped.
    type Beat: Debug;

    /// Names in a folder; empty if there is no folder.
    fn names(&self, folder: &Path) -> Result<Vec<String>, ClaimError>;
    /// Content of a file; `None` if there is no file.
    fn read(&self, path: &Path) -> Result<Option<String>, ClaimError>;
    /// Creates a folder; `false` if it exists.
    fn make(&self, folder: &Path) -> Result<bool, ClaimError>;
    /// Writes a file atomically.
    fn write(&self, path: &Path, text: &str) -> Result<(), ClaimError>;
    /// The same, and fsyncs it to survive a crash of the machine.
    fn write_synced(&self, path: &Path, text: &str) -> Result<(), ClaimError>;
    /// Increments a counter in a file immediately and after every `pause`.
    fn beat(&self, path: &Path, pause: Duration) -> Result<Self::Beat, ClaimError>;
    /// Renames a folder; `false` if a non-empty folder with that name exists.
    fn rename(&self, from: &Path, to: &Path) -> Result<bool, ClaimError>;
    fn lock(&self, folder: &Path) -> Result<Self::Lock, ClaimError>;
    /// Whether a process on this node holds the lock of a folder.
    fn is_locked(&self, folder: &Path) -> Result<bool, ClaimError>;
    /// Time by this reader's monotonic clock.
    fn now(&self) -> Duration;
}

/// A real folder.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LocalDisk {
    begin: Instant,
}

impl LocalDisk {
    pub(crate) fn new() -> Self {
        Self { begin: Instant::now() }
    }
}

impl Disk for LocalDisk {
    type Lock = Lock;
    type Beat = Beat;

    fn names(&self, folder: &Path) -> Result<Vec<String>, ClaimError> {
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(read_failed(folder))?,
        };
        let names = entries.map(|entry| entry.map(|entry| entry.file_name().into_string().ok()));
        let names: Result<Vec<_>, _> = names.collect();
        Ok(names.map_err(read_failed(folder))?.into_iter().flatten().collect())
    }

    fn read(&self, path: &Path) -> Result<Option<String>, ClaimError> {
        match files::read(path, files::MAX_TEXT) {
            // Invalid UTF-8 is detected as damage by those who parse the content.
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(read_failed(path)(error)),
        }
    }

    fn make(&self, folder: &Path) -> Result<bool, ClaimError> {
        match fs::create_dir(folder) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(write_failed(folder)(error)),
        }
    }

    fn write(&self, path: &Path, text: &str) -> Result<(), ClaimError> {
        files::atomic_write_unsynced(path, text.as_bytes()).map_err(write_failed(path))
    }

    fn write_synced(&self, path: &Path, text: &str) -> Result<(), ClaimError> {
        files::atomic_write(path, text.as_bytes()).map_err(write_failed(path))
    }

    fn beat(&self, path: &Path, pause: Duration) -> Result<Beat, ClaimError> {
        Beat::start(path, pause).map_err(write_failed(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<bool, ClaimError> {
        let renamed = match fs::rename(from, to).map_err(|error| (error.kind(), error)) {
            Ok(()) => to.parent().map_or(Ok(()), files::sync_folder).map(|()| true),
            Err((ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists, _)) => Ok(false),
            Err((_, error)) => Err(error),
        };
        renamed.map_err(write_failed(to))
    }

    fn lock(&self, folder: &Path) -> Result<Lock, ClaimError> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        Ok(Lock::take(folder, &name)?)
    }

    fn is_locked(&self, folder: &Path) -> Result<bool, ClaimError> {
        Ok(Lock::is_held(folder)?)
    }

    fn now(&self) -> Duration {
        self.begin.elapsed()
    }
}

fn read_failed(path: &Path) -> impl FnOnce(std::io::Error) -> ClaimError {
    |source| ResultsError::Read { path: path.to_owned(), source }.into()
}

fn write_failed(path: &Path) -> impl FnOnce(std::io::Error) -> ClaimError {
    |source| ResultsError::Write { path: path.to_owned(), source }.into()
}

/// Scope of file locks: one boot of one machine. Two machines may have the same host name.
pub(super) fn node() -> String {
    let started = fs::read_to_string("/proc/sys/kernel/random/boot_id");
    let host = || sysinfo::System::host_name().unwrap_or_default();
    started.map_or_else(|_| host(), |id| id.trim().to_owned())
}
