//! What claims ask of a file system.

use std::fmt::Debug;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use batchlab_files as files;
use batchlab_results::{Lock, ResultsError};

use super::ClaimError;
use super::beat::Beat;

/// A folder that machines share. What is read may be old; what is made or renamed is so for all at once.
pub(crate) trait Disk: Send + Sync + Debug {
    /// Ends with its process, or when it is dropped; seen by processes of the same node.
    type Lock: Debug;
    /// Beats until it is dropped.
    type Beat: Debug;

    /// Names in a folder; none without it.
    fn names(&self, folder: &Path) -> Result<Vec<String>, ClaimError>;
    /// A file; `None` without it.
    fn read(&self, path: &Path) -> Result<Option<String>, ClaimError>;
    /// Makes a folder; `false`: there is one.
    fn make(&self, folder: &Path) -> Result<bool, ClaimError>;
    /// Writes a file that is seen whole or not at all.
    fn write(&self, path: &Path, text: &str) -> Result<(), ClaimError>;
    /// The same; it survives the machine.
    fn write_synced(&self, path: &Path, text: &str) -> Result<(), ClaimError>;
    /// Writes another counter into a file at once, and after every pause.
    fn beat(&self, path: &Path, pause: Duration) -> Result<Self::Beat, ClaimError>;
    /// Renames a folder; `false`: there is one of that name, with something in it.
    fn rename(&self, from: &Path, to: &Path) -> Result<bool, ClaimError>;
    fn lock(&self, folder: &Path) -> Result<Self::Lock, ClaimError>;
    /// Whether a process of this node has the lock of a folder.
    fn is_locked(&self, folder: &Path) -> Result<bool, ClaimError>;
    /// Time on this reader's own clock, which nobody sets.
    fn now(&self) -> Duration;
}

/// A folder of the system.
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
            // What is no text is found to be damaged by whoever expects something.
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

/// Where locks of files are seen: one start of one machine. Names of machines may be the same on two.
pub(super) fn node() -> String {
    let started = fs::read_to_string("/proc/sys/kernel/random/boot_id");
    let host = || sysinfo::System::host_name().unwrap_or_default();
    started.map_or_else(|_| host(), |id| id.trim().to_owned())
}
