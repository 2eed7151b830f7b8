//! Detects changes to the files of a data set and to the program that reads them.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use batchlab_core::LoadContext;
use batchlab_core::dataset::Input;
use batchlab_core::hash::hexadecimal;
use batchlab_files::open_data;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use walkdir::WalkDir;

use super::CacheError;

/// Maximum number of entries in a folder; larger folders are not scanned.
const MAX_ENTRY: usize = 1_000_000;

/// Maximum depth of nested folders; the readers go no deeper.
const MAX_DEPTH: usize = 32;

/// Maximum lag of file system timestamps behind the clock: Linux takes them from a clock that
/// advances in steps of up to 10 ms, and a busy virtual machine misses steps. A change just after
/// loading began may therefore have an earlier timestamp, and files written within this time before
/// loading are not cached.
pub const CLOCK_STEP: Duration = Duration::from_millis(100);

/// One input, with its fingerprint when the graphs were loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct InputFingerprint {
    asked: PathBuf,
    found: PathBuf,
    /// For a file: SHA-256 of its content. For a folder: SHA-256 over path, length and modification
    /// time of everything in it, because reading 133,885 small files takes as long as loading them.
    /// Links are followed.
    fingerprint: String,
}

impl InputFingerprint {
    /// Fingerprints an input after loading, which began at `started`.
    ///
    /// # Errors
    /// An input that cannot be read, or that may have changed since loading began, so that it is
    /// unknown which content was loaded.
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

/// Hash of the content, and time of the last change.
fn fingerprint(path: &Path) -> io::Result<(String, SystemTime)> {
    let metadata = fs::metadata(path)?;
    let mut hasher = Sha256::new();
    let mut changed = metadata.modified()?;
    if metadata.is_file() {
        each_block(open_data(path)?, |block| hasher.update(block))?;
    } else if metadata.is_dir() {
        let inside = WalkDir::new(path).follow_links(true).max_depth(MAX_DEPTH).sort_by_file_name();
        for (n, entry) in inside.into_iter().enumerate() {
            if n > MAX_ENTRY {
                return Err(io::Error::other(format!("more than {MAX_ENTRY} files in a folder")));
            }
            match entry {
                Ok(entry) => {
                    let metadata = entry.metadata()?;
                    let modified = metadata.modified()?;
                    changed = changed.max(modified);
                    hasher.update(entry.path().as_os_str().as_encoded_bytes());
                    hasher.update([0, u8::from(metadata.is_dir())]);
                    hasher.update(metadata.len().to_le_bytes());
                    hasher.update(nanoseconds(modified).to_le_bytes());
                }
                // A link to a parent folder leads to content that is already hashed. The hash
                // changes when the target of a broken link appears.
                Err(error) if error.path().is_some_and(Path::is_symlink) => {}
                Err(error) => return Err(error.into()),
            }
        }
    } else {
        return Err(io::Error::other("it is neither a file nor a folder"));
    }
    Ok((hexadecimal(&hasher.finalize()), changed))
}

fn each_block(mut file: fs::File, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let mut block = vec![0; 1 << 18];
    loop {
        match file.read(&mut block)? {
            0 => return Ok(()),
            n => take(&block[..n]),
        }
    }
}

fn nanoseconds(time: SystemTime) -> u128 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()
}

/// The running program: length and checksum of its file. A different build reads everything again,
/// because its readers may have been fixed.
pub(crate) fn program() -> String {
    static PROGRAM: LazyLock<String> = LazyLock::new(|| {
        if let Ok((length, checksum)) = checksum_of_program() {
            return format!("batchlab {length} {checksum:08x}");
        }
        // The program cannot be identified, so nothing is shared with other processes.
        let now = nanoseconds(SystemTime::now());
        format!("batchlab, process {} at {now}", std::process::id())
    });
    PROGRAM.clone()
}

fn checksum_of_program() -> io::Result<(u64, u32)> {
    // The path may by now refer to a different program; Linux provides the running one.
    let running = PathBuf::from("/proc/self/exe");
    let file = library().unwrap_or(running);
    let file = fs::File::open(file).or_else(|_| fs::File::open(std::env::current_exe()?))?;
    let (mut length, mut checksum) = (0, 0);
    each_block(file, |block| {
        length += block.len() as u64;
        checksum = crc32c::crc32c_append(checksum, block);
    })?;
    Ok((length, checksum))
}

/// The file of this code, if it is a library loaded by another program, such as Python.
fn library() -> Option<PathBuf> {
    let here = library as fn() -> Option<PathBuf> as usize;
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let file = maps.lines().find_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let address = |digits| usize::from_str_radix(digits, 16).ok();
        let is_here = (address(start)?..address(end)?).contains(&here);
        is_here.then(|| rest.find('/').map(|path| PathBuf::from(&rest[path..])))?
    })?;
    (fs::read_link("/proc/self/exe").ok()? != file).then_some(file)
}
