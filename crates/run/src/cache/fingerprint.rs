//! Whether the files that a data set was made of, and the program that read them, are the same.

use std::fs::{self, Metadata};
use std::io::{self, Read};
#[cfg(unix)]
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use batchlab_core::LoadContext;
use batchlab_core::dataset::Input;
use batchlab_core::error::excerpt;
use batchlab_core::hash::hexadecimal;
use batchlab_files::open_data;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::CacheError;

/// A folder with more entries than this is not looked through.
const MAX_ENTRY: usize = 1_000_000;

/// Folders within folders; the readers go no deeper.
const MAX_DEPTH: usize = 32;

/// How far the times of a file system may lag behind the clock: Linux takes them from a clock that
/// steps by up to 10 ms, and a busy virtual machine misses steps. A change right after the beginning
/// may therefore bear an earlier time, and what was written this long before it is not kept.
pub const CLOCK_STEP: Duration = Duration::from_millis(100);

/// One input, and what it was when the graphs were loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct InputFingerprint {
    asked: PathBuf,
    found: PathBuf,
    /// Of a file: SHA-256 of its content. Of a folder: SHA-256 over name, length, times of change and,
    /// on Unix, device and inode of everything in it, because reading 133,885 small files takes as
    /// long as loading them. Links count as what they lead to.
    fingerprint: String,
}

impl InputFingerprint {
    /// Looks at an input after loading, which began at `started`.
    ///
    /// # Errors
    /// An input that cannot be read, or that may have changed after the beginning: it is unknown which
    /// content was loaded.
    pub(crate) fn of(input: &Input, started: SystemTime) -> Result<Self, CacheError> {
        let found = std::path::absolute(&input.found);
        let (found, (fingerprint, changed)) = found
            .and_then(|found| fingerprint(&found).map(|fingerprint| (found, fingerprint)))
            .map_err(|source| CacheError::Io { path: input.found.clone(), source })?;
        if started.duration_since(changed).is_ok_and(|before| before > CLOCK_STEP) {
            Ok(Self { asked: input.asked.clone(), found, fingerprint })
        } else {
            Err(CacheError::Changed(found))
        }
    }

    /// Whether the same path leads to the same content.
    pub(crate) fn is_unchanged(&self, ctx: &LoadContext) -> bool {
        let found = ctx.resolve(&self.asked).ok().and_then(|path| std::path::absolute(path).ok());
        found.is_some_and(|found| {
            found == self.found && fingerprint(&found).is_ok_and(|(now, _)| now == self.fingerprint)
        })
    }
}

/// A hash of the content, and the time of the last change.
fn fingerprint(path: &Path) -> io::Result<(String, SystemTime)> {
    let metadata = fs::metadata(path)?;
    let mut hasher = Sha256::new();
    let mut changed = last_change(&metadata)?;
    if metadata.is_dir() {
        let mut folder = Folder { hasher: &mut hasher, changed: &mut changed, n_entry: 0 };
        folder.hash(path, &mut vec![identity(&metadata)])?;
    } else if metadata.is_file() {
        hash_file(path, &mut hasher)?;
    } else {
        return Err(io::Error::other("it is neither a file nor a folder"));
    }
    Ok((hexadecimal(&hasher.finalize()), changed))
}

fn hash_file(path: &Path, hasher: &mut Sha256) -> io::Result<()> {
    let mut file = open_data(path)?;
    let mut block = vec![0; 1 << 18];
    loop {
        match file.read(&mut block)? {
            0 => return Ok(()),
            n => hasher.update(&block[..n]),
        }
    }
}

/// The state of hashing a folder. Links are followed, because the readers follow them.
struct Folder<'a> {
    hasher: &'a mut Sha256,
    changed: &'a mut SystemTime,
    n_entry: usize,
}

impl Folder<'_> {
    /// Everything below `folder`; `above` are the folders on the way to it, itself included.
    fn hash(&mut self, folder: &Path, above: &mut Vec<Identity>) -> io::Result<()> {
        let mut inside: Vec<PathBuf> =
            fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
        inside.sort_unstable();
        for path in inside {
            self.n_entry += 1;
            if self.n_entry > MAX_ENTRY {
                return Err(io::Error::other(format!("more than {MAX_ENTRY} files in a folder")));
            }
            // A broken link is hashed itself; when its target appears, the hash changes.
            let metadata = fs::metadata(&path).or_else(|_| fs::symlink_metadata(&path))?;
            self.entry(&path, &metadata)?;
            let identity = identity(&metadata);
            // A link to a folder above leads to what is hashed already.
            if !metadata.is_dir() || (identity.is_some() && above.contains(&identity)) {
                continue;
            }
            if above.len() == MAX_DEPTH {
                let path = excerpt(&path.to_string_lossy(), usize::MAX);
                let message = format!("{path} lies more than {MAX_DEPTH} folders deep");
                return Err(io::Error::other(message));
            }
            above.push(identity);
            self.hash(&path, above)?;
            above.pop();
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path, metadata: &Metadata) -> io::Result<()> {
        *self.changed = last_change(metadata)?.max(*self.changed);
        self.hasher.update(path.as_os_str().as_encoded_bytes());
        self.hasher.update([0, u8::from(metadata.is_dir()), u8::from(metadata.is_symlink())]);
        self.hasher.update(metadata.len().to_le_bytes());
        self.hasher.update(nanoseconds(metadata.modified()?).to_le_bytes());
        // Unpacking an archive, or copying with times, sets the time of the content, but not the
        // number of the inode or its time.
        let (device, inode) = identity(metadata).unwrap_or_default();
        self.hasher.update(device.to_le_bytes());
        self.hasher.update(inode.to_le_bytes());
        self.hasher.update(nanoseconds(last_change(metadata)?).to_le_bytes());
        Ok(())
    }
}

/// Device and inode of a file or folder; nothing where the system does not say.
type Identity = Option<(u64, u64)>;

#[cfg(unix)]
#[allow(clippy::unnecessary_wraps, reason = "elsewhere there is none")]
fn identity(metadata: &Metadata) -> Identity {
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> Identity {
    None
}

/// When content, name or anything else of a file changed last, as far as the system says.
#[cfg(unix)]
fn last_change(metadata: &Metadata) -> io::Result<SystemTime> {
    let seconds = u64::try_from(metadata.ctime()).unwrap_or_default();
    let rest = u32::try_from(metadata.ctime_nsec()).unwrap_or_default();
    Ok(metadata.modified()?.max(UNIX_EPOCH + Duration::new(seconds, rest)))
}

#[cfg(not(unix))]
fn last_change(metadata: &Metadata) -> io::Result<SystemTime> {
    metadata.modified()
}

fn nanoseconds(time: SystemTime) -> u128 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()
}

/// The running program: length and checksum of its file. Another build reads everything again, because its
/// readers may have been corrected.
pub(crate) fn program() -> String {
    static PROGRAM: LazyLock<String> = LazyLock::new(|| {
        if let Ok((length, checksum)) = checksum_of_program() {
            return format!("batchlab {length} {checksum:08x}");
        }
        // Nothing is shared with a program of which nobody knows whether it is the same.
        let now = nanoseconds(SystemTime::now());
        format!("batchlab, process {} at {now}", std::process::id())
    });
    PROGRAM.clone()
}

/// The name of the file may lead to another program by now; Linux knows the one that is running.
fn checksum_of_program() -> io::Result<(u64, u32)> {
    let running = Path::new("/proc/self/exe");
    let mut file = fs::File::open(running).or_else(|_| fs::File::open(std::env::current_exe()?))?;
    let (mut length, mut checksum, mut block) = (0, 0, vec![0; 1 << 18]);
    loop {
        match file.read(&mut block)? {
            0 => return Ok((length, checksum)),
            n => {
                length += n as u64;
                checksum = crc32c::crc32c_append(checksum, &block[..n]);
            }
        }
    }
}
