//! Reserves a device for one timing study at a time, on this machine.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use batchlab_files::open_to_lock;
use batchlab_results::ResultsError;

use crate::StudyError;

#[derive(Debug, thiserror::Error)]
#[error(
    "{}: two at a time would slow each other down, and \
     their times would be meaningless. `sweep --wait` waits for it. If only errors matter, set \
     blocks.exclusive=false for both; then no report uses the times", who(.device, .process)
)]
pub struct DeviceBusy {
    device: String,
    process: String,
}

fn who(device: &str, process: &str) -> String {
    format!("device {device} is in use by another sweep ({process})")
}

impl DeviceBusy {
    pub(super) fn who(&self) -> String {
        who(&self.device, &self.process)
    }
}

/// A locked file in the machine's folder for temporary files, or in `BATCHLAB_LOCKS`. The system
/// releases the lock when the process ends for any reason. The file is never written, because it
/// may belong to another user.
#[derive(Debug)]
pub(super) struct DeviceLock {
    _file: File,
}

impl DeviceLock {
    /// Locks the device exclusively, or shared with other processes that do not measure times.
    pub(super) fn take(device: &str, is_exclusive: bool) -> Result<Self, StudyError> {
        let name: String = name_on_machine(device, |name| std::env::var(name).ok())
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        let path = folder().join(format!("batchlab-device-{name}.lock"));
        if let Some(folder) = named_folder()
            && !folder.is_dir()
        {
            return Err(StudyError::NoLocks { folder });
        }
        let failed = |path: PathBuf, source| ResultsError::Write { path, source };
        let file = open_to_lock(&path, true).map_err(|source| failed(path.clone(), source))?;
        match if is_exclusive { file.try_lock() } else { file.try_lock_shared() } {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => {
                let process = holders(&file).unwrap_or_else(|| "unknown process".to_owned());
                Err(DeviceBusy { device: device.to_owned(), process }.into())
            }
            Err(TryLockError::Error(source)) => Err(failed(path, source).into()),
        }
    }
}

/// `cuda:0` is the first GPU that a process sees, which need not be that of another process: Slurm
/// and users choose the visible ones. Their names are numbers, or `GPU-` with an identifier. With
/// cgroups, every job of Slurm sees its GPUs as 0, 1, ...; the name then also has the numbers on
/// the node of all GPUs of the job step or job.
fn name_on_machine(device: &str, variable: impl Fn(&str) -> Option<String>) -> String {
    let Some(index) = device.strip_prefix("cuda:") else { return device.to_owned() };
    let set = |name| variable(name).filter(|list| !list.trim().is_empty());
    let visible = |index: usize| {
        let list = set("CUDA_VISIBLE_DEVICES")?;
        let entry = list.split(',').nth(index)?.trim();
        (!entry.is_empty()).then(|| format!("cuda:{entry}"))
    };
    let name = index.parse().ok().and_then(visible).unwrap_or_else(|| device.to_owned());
    match set("SLURM_STEP_GPUS").or_else(|| set("SLURM_JOB_GPUS")) {
        Some(list) => format!("{name}-of-{list}"),
        None => name,
    }
}

/// The processes that hold a lock on a file, as listed by the system.
#[cfg(target_os = "linux")]
fn holders(file: &File) -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;
    let inode = file.metadata().ok()?.ino().to_string();
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    // 1: FLOCK  ADVISORY  WRITE 4711 fe:00:131084 0 EOF
    let process = |line: &str| -> Option<String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_of_file = words.get(5)?.rsplit(':').next()? == inode;
        (is_of_file && words.get(1)? == &"FLOCK").then(|| format!("process {}", words[4]))
    };
    let mut processes: Vec<String> = locks.lines().filter_map(process).collect();
    processes.sort_unstable();
    processes.dedup();
    (!processes.is_empty()).then(|| processes.join(", "))
}

#[cfg(not(target_os = "linux"))]
fn holders(_: &File) -> Option<String> {
    None
}

/// The same for all processes of the machine: not `TMPDIR`, which batch systems set for each job.
fn folder() -> PathBuf {
    let unix = Path::new("/tmp");
    named_folder()
        .unwrap_or_else(|| if cfg!(unix) { unix.to_owned() } else { std::env::temp_dir() })
}

fn named_folder() -> Option<PathBuf> {
    std::env::var_os("BATCHLAB_LOCKS").map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn a_link_in_the_way_is_not_followed_and_a_pipe_not_waited_for() {
        let target = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(target.path(), "keep").unwrap();
        let device = format!("linked:{}", std::process::id());
        let path = folder().join(format!("batchlab-device-linked-{}.lock", std::process::id()));
        std::os::unix::fs::symlink(target.path(), &path).unwrap();
        DeviceLock::take(&device, true).unwrap_err();
        assert_eq!(std::fs::read(target.path()).unwrap(), b"keep");
        std::fs::remove_file(&path).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        DeviceLock::take(&device, true).unwrap_err();
        std::fs::remove_file(&path).unwrap();
        // Another user's file can be locked without writing to it.
        std::fs::write(&path, "of another user").unwrap();
        let lock = DeviceLock::take(&device, true).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"of another user");
        drop(lock);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn gpus_are_told_apart_by_their_place_in_the_machine() {
        let named = |device: &str, slurm: Option<&str>, visible: Option<&str>| {
            let variable = |name: &str| match name {
                "SLURM_JOB_GPUS" => slurm.map(str::to_owned),
                "CUDA_VISIBLE_DEVICES" => visible.map(str::to_owned),
                _ => None,
            };
            name_on_machine(device, variable)
        };
        assert_eq!(named("cuda:1", None, None), "cuda:1");
        assert_eq!(named("cuda:0", None, Some("2,3")), "cuda:2");
        assert_eq!(named("cuda:0", Some("5"), Some("0")), "cuda:0-of-5");
        assert_eq!(named("cuda:0", Some("7"), Some("0")), "cuda:0-of-7", "another job");
        assert_eq!(named("cuda:0", Some("0,1"), Some("0")), "cuda:0-of-0,1");
        assert_eq!(named("cuda:0", Some("0,1"), Some("1")), "cuda:1-of-0,1", "of the same job");
        assert_eq!(named("cuda:1", Some("0,1"), None), "cuda:1-of-0,1");
        assert_eq!(named("cuda:0", None, Some("GPU-8932f937")), "cuda:GPU-8932f937");
        assert_eq!(named("cuda:4", None, Some("2,3")), "cuda:4", "there is none");
        assert_eq!(named("cpu", Some("5"), Some("0")), "cpu");
    }

    #[test]
    fn a_device_is_kept_by_one_at_a_time() {
        let device = format!("test:{}", std::process::id());
        let first = DeviceLock::take(&device, true).unwrap();
        for is_exclusive in [true, false] {
            DeviceLock::take(&device, is_exclusive).unwrap_err();
        }
        let error = DeviceLock::take(&device, true).unwrap_err().to_string();
        let process = format!("process {}", std::process::id());
        let says_who = !cfg!(target_os = "linux") || error.contains(&process);
        assert!(error.contains(&device) && says_who, "{error}");
        DeviceLock::take("test:other", true).unwrap();
        drop(first);
        let _shared = DeviceLock::take(&device, false).unwrap();
        DeviceLock::take(&device, false).unwrap();
        DeviceLock::take(&device, true).unwrap_err();
    }
}
