//! The folder of cached graphs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use batchlab_files::open_to_change;

use super::Cache;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub path: PathBuf,
    pub n_byte: u64,
    /// When it was last written or read.
    pub used: SystemTime,
}

impl Cache {
    /// The cached files, most recently used first; empty without a folder.
    #[must_use]
    pub fn list(&self) -> Vec<Kept> {
        self.folder().map(list).unwrap_or_default()
    }
}

fn list(folder: &Path) -> Vec<Kept> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut all: Vec<Kept> = entries
        .filter(|entry| entry.path().extension().is_some_and(|e| e == "safetensors"))
        .filter_map(|entry| {
            let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            Some(Kept {
                path: entry.path(),
                n_byte: metadata.len(),
                used: metadata.modified().ok()?,
            })
        })
        .collect();
    all.sort_unstable_by(|a, b| b.used.cmp(&a.used).then_with(|| a.path.cmp(&b.path)));
    all
}

/// Marks a file as used; on failure it merely looks older.
pub(crate) fn touch(path: &Path) {
    let _ = open_to_change(path, fs::File::options().append(true))
        .and_then(|file| file.set_modified(SystemTime::now()));
}

/// Removes the least recently used files until at most `max_byte` remain; never removes `newest`.
pub(crate) fn shrink(folder: &Path, newest: &Path, max_byte: u64) {
    let mut total = 0_u64;
    for kept in list(folder) {
        total = total.saturating_add(kept.n_byte);
        if total > max_byte && kept.path != newest {
            // Another process may already have removed it.
            let _ = fs::remove_file(&kept.path);
            total -= kept.n_byte;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_least_recently_used_is_removed_first() {
        let folder = tempfile::tempdir().unwrap();
        let name = |i: u64| folder.path().join(format!("{i}.safetensors"));
        for i in 0..4 {
            fs::write(name(i), [0; 10]).unwrap();
            let file = fs::File::options().append(true).open(name(i)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(100 - i)).unwrap();
        }
        fs::write(folder.path().join("something else"), [0; 1000]).unwrap();
        touch(&name(0));
        shrink(folder.path(), &name(3), 25);
        let left: Vec<PathBuf> = list(folder.path()).into_iter().map(|kept| kept.path).collect();
        assert_eq!(left, [name(0), name(3)]);
        shrink(folder.path(), &name(3), 1);
        assert!(
            name(3).exists() && !name(0).exists() && folder.path().join("something else").exists()
        );
    }
}
