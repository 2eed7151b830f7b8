//! Keeps a device for one timing study at a time, on this machine.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use batchlab_results::ResultsError;

use crate::StudyError;

#[derive(Debug, thiserror::Error)]
#[error(
    "device {device} is in use by another sweep ({process}): two at a time would slow each other, and \
     their times would mean nothing. Wait for it. Where only errors are of interest, set \
     blocks.exclusive=false for both; then no report uses the times"
)]
pub struct DeviceBusy {
    device: String,
    process: String,
}

/// A locked file in the machine's folder for temporary files, or in that of `BATCHLAB_LOCKS`. The
/// system releases it when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct DeviceLock {
    _file: File,
}

impl DeviceLock {
    /// Locks the device for this process alone, or together with others that measure no times.
    pub(super) fn take(device: &str, is_exclusive: bool) -> Result<Self, StudyError> {
        let name: String =
            device.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let path = folder().join(format!("batchlab-device-{name}.lock"));
        let failed = |path: PathBuf, source| ResultsError::Write { path, source };
        // The file may belong to another user: to lock it, reading is enough.
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .or_else(|_| File::open(&path))
            .map_err(|source| failed(path.clone(), source))?;
        match if is_exclusive { file.try_lock() } else { file.try_lock_shared() } {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let process = std::io::read_to_string(file).unwrap_or_default();
                return Err(DeviceBusy { device: device.to_owned(), process }.into());
            }
            Err(TryLockError::Error(source)) => return Err(failed(path, source).into()),
        }
        // For the message above; the lock holds without it.
        let _ = file.set_len(0).and_then(|()| write!(file, "process {}", std::process::id()));
        Ok(Self { _file: file })
    }
}

/// The same for all processes of the machine: not `TMPDIR`, which batch systems set for each job.
fn folder() -> PathBuf {
    let named = std::env::var_os("BATCHLAB_LOCKS").map(PathBuf::from);
    let unix = Path::new("/tmp");
    named.unwrap_or_else(|| if cfg!(unix) { unix.to_owned() } else { std::env::temp_dir() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_kept_by_one_at_a_time() {
        let device = format!("test:{}", std::process::id());
        let first = DeviceLock::take(&device, true).unwrap();
        for is_exclusive in [true, false] {
            DeviceLock::take(&device, is_exclusive).unwrap_err();
        }
        let error = DeviceLock::take(&device, true).unwrap_err().to_string();
        let process = format!("(process {})", std::process::id());
        assert!(error.contains(&device) && error.contains(&process), "{error}");
        DeviceLock::take("test:other", true).unwrap();
        drop(first);
        let _shared = DeviceLock::take(&device, false).unwrap();
        DeviceLock::take(&device, false).unwrap();
        DeviceLock::take(&device, true).unwrap_err();
    }
}
