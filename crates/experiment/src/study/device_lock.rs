//! Keeps a device for one timing study at a time, on this machine.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::PathBuf;

use crate::RunError;

/// Another study is timing something on the device.
#[derive(Debug, thiserror::Error)]
#[error(
    "device {device} is kept by another sweep ({process}): two at a time would slow each other, and \
     their times would mean nothing. Wait for it, or set blocks.exclusive=false where only errors are \
     of interest; then no report uses the times"
)]
pub struct DeviceBusy {
    /// The device.
    device: String,
    /// Who keeps it, in its own words.
    process: String,
}

/// A locked file in the machine's folder for temporary files. The system gives it back when the
/// process ends, however it ends.
#[derive(Debug)]
pub(super) struct DeviceLock {
    _file: File,
}

impl DeviceLock {
    pub(super) fn take(device: &str) -> Result<Self, RunError> {
        let name: String =
            device.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let path = std::env::temp_dir().join(format!("batchlab-device-{name}.lock"));
        let failed = |path: PathBuf, source| RunError::Publish { path, source };
        // The file may be someone else's: to lock it, reading is enough.
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .or_else(|_| File::open(&path))
            .map_err(|source| failed(path.clone(), source))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let process = std::io::read_to_string(file).unwrap_or_default();
                return Err(DeviceBusy { device: device.to_owned(), process }.into());
            }
            Err(TryLockError::Error(source)) => return Err(failed(path, source)),
        }
        // For the message above; the lock holds without it.
        let _ = file.set_len(0).and_then(|()| write!(file, "process {}", std::process::id()));
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_kept_by_one_at_a_time() {
        let device = format!("test:{}", std::process::id());
        let first = DeviceLock::take(&device).unwrap();
        let error = DeviceLock::take(&device).unwrap_err().to_string();
        let process = format!("(process {})", std::process::id());
        assert!(error.contains(&device) && error.contains(&process), "{error}");
        DeviceLock::take("test:other").unwrap();
        drop(first);
        DeviceLock::take(&device).unwrap();
    }
}
