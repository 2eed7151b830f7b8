//! Whether the files that a data set was made of, and the program that read them, are the same.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use batchlab_core::LoadContext;
use batchlab_core::dataset::Input;
use batchlab_core::hash::hexadecimal;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::CacheError;

/// A folder with more entries than this is not looked through.
const MAX_ENTRY: usize = 1_000_000;

/// One input, and what it was when the graphs were loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct InputPrint {
    asked: PathBuf,
    found: PathBuf,
    /// Of a file: SHA-256 of its content. Of a folder: SHA-256 over name, length and time of the last
    /// change of everything in it, because reading 133,885 small files takes as long as loading them.
    print: String,
}

impl InputPrint {
    /// Looks at an input after loading, which began at `started`.
    ///
    /// # Errors
    /// An input that cannot be read, or that changed after the beginning: nobody knows which of its
    /// contents was loaded.
    pub(super) fn of(input: &Input, started: SystemTime) -> Result<Self, CacheError> {
        let found = std::path::absolute(&input.found);
        let (found, (print, changed)) = found
            .and_then(|found| print(&found).map(|print| (found, print)))
            .map_err(|source| CacheError::Io { path: input.found.clone(), source })?;
        if changed >= started {
            return Err(CacheError::Changed(found));
        }
        Ok(Self { asked: input.asked.clone(), found, print })
    }

    /// Whether the same path leads to the same content.
    pub(super) fn is_unchanged(&self, ctx: &LoadContext) -> bool {
        let found = ctx.resolve(&self.asked).ok().and_then(|path| std::path::absolute(path).ok());
        found.is_some_and(|found| {
            found == self.found && print(&found).is_ok_and(|(print, _)| print == self.print)
        })
    }
}

/// A hash of the content, and the time of the last change.
fn print(path: &Path) -> io::Result<(String, SystemTime)> {
    let metadata = fs::metadata(path)?;
    let mut hasher = Sha256::new();
    let mut changed = metadata.modified()?;
    if metadata.is_dir() {
        hash_folder(path, &mut hasher, &mut changed)?;
    } else {
        hash_file(path, &mut hasher)?;
    }
    Ok((hexadecimal(&hasher.finalize()), changed))
}

fn hash_file(path: &Path, hasher: &mut Sha256) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut block = vec![0; 1 << 18];
    loop {
        match file.read(&mut block)? {
            0 => return Ok(()),
            n => hasher.update(&block[..n]),
        }
    }
}

/// Everything below a folder, links not followed.
fn hash_folder(folder: &Path, hasher: &mut Sha256, changed: &mut SystemTime) -> io::Result<()> {
    let mut entries: Vec<(PathBuf, Metadata)> = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                waiting.push(entry.path());
            }
            entries.push((entry.path(), metadata));
            if entries.len() > MAX_ENTRY {
                return Err(io::Error::other(format!("more than {MAX_ENTRY} files in a folder")));
            }
        }
    }
    entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    for (path, metadata) in entries {
        let modified = metadata.modified()?;
        *changed = modified.max(*changed);
        hasher.update(path.as_os_str().as_encoded_bytes());
        hasher.update([0]);
        hasher.update(metadata.len().to_le_bytes());
        hasher.update(nanoseconds(modified).to_le_bytes());
    }
    Ok(())
}

fn nanoseconds(time: SystemTime) -> u128 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()
}

/// The running program: version, and length and time of its file. One that was built anew reads
/// everything anew, because its readers may have been mended.
pub(super) fn program() -> String {
    static PROGRAM: LazyLock<String> = LazyLock::new(|| {
        let file = std::env::current_exe().and_then(fs::metadata);
        let built = file.and_then(|file| Ok((file.len(), nanoseconds(file.modified()?))));
        let (length, time) = built.unwrap_or_default();
        format!("batchlab {} {length} {time}", env!("CARGO_PKG_VERSION"))
    });
    PROGRAM.clone()
}
