//! Cache of batcher preparation.
//!
//! One file per key, next to the cached graphs:
//!
//! ```text
//! <folder>/<first word of the key>-<hash of the key>.prepared.safetensors
//! ```
//!
//! A file that is truncated, damaged, or written by another program or with another number of
//! threads (which would affect the recorded time) is ignored, and the value is computed again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use batchlab_core::batcher::ByteCache;
use batchlab_core::hash::sha256;
use batchlab_core::progress::Progress;

use super::file::{CacheError, Column, Columns};
use super::fingerprint::program;
use super::{Cache, MAX_BYTE, file, store};

const COLUMN: &str = "prepared";

/// The files, and what this program has read from or written to them, because evaluations ask
/// repeatedly.
struct Prepared {
    folder: Option<PathBuf>,
    progress: Arc<dyn Progress>,
    in_memory: Mutex<BTreeMap<String, Vec<u8>>>,
    opened: Instant,
}

impl Cache {
    /// Cache for the preparation of batchers; without a folder, in memory only. Failures are noted
    /// through `progress` and are not errors.
    #[must_use]
    pub fn prepared(&self, progress: Arc<dyn Progress>) -> Arc<dyn ByteCache> {
        let folder = self.folder().map(Path::to_owned);
        Arc::new(Prepared { folder, progress, in_memory: Mutex::default(), opened: Instant::now() })
    }
}

impl ByteCache for Prepared {
    fn get(&self, key: &str) -> Option<Vec<u8>> {
        if let Some(bytes) = self.memory().get(key) {
            return Some(bytes.clone());
        }
        let path = path(self.folder.as_deref()?, key);
        match read(&path, key) {
            Ok(content) => {
                let content = content?;
                store::touch(&path);
                self.memory().insert(key.to_owned(), content.clone());
                Some(content)
            }
            Err(error) => {
                self.note(&path, &error.to_string(), "computing it again");
                None
            }
        }
    }

    fn put(&self, key: &str, bytes: &[u8]) {
        self.memory().insert(key.to_owned(), bytes.to_vec());
        let Some(folder) = self.folder.as_deref() else { return };
        let path = path(folder, key);
        match write(&path, key, bytes) {
            Ok(()) => store::shrink(folder, &path, MAX_BYTE),
            Err(error) => self.note(&path, &error.to_string(), "not cached"),
        }
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Prepared {
    fn memory(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.in_memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, path: &Path, reason: &str, what: &str) {
        self.progress.note(&format!("{}: {reason}; {what}", path.display()));
    }
}

fn path(folder: &Path, key: &str) -> PathBuf {
    let name: String = key.chars().take_while(|&c| c.is_ascii_alphanumeric() || c == '-').collect();
    folder.join(format!("{name}-{}.prepared.safetensors", &sha256(key.as_bytes())[..16]))
}

/// Everything that the value and its computing time depend on.
fn description(key: &str) -> String {
    format!("{}, threads {}, {key}", program(), rayon::current_num_threads())
}

/// The bytes of a file; `None` if missing, or if written by another program or for another key.
fn read(path: &Path, key: &str) -> Result<Option<Vec<u8>>, CacheError> {
    match file::open::<String>(path)? {
        Some((mut columns, written)) if written == description(key) => {
            columns.values(COLUMN).map(Some)
        }
        _ => Ok(None),
    }
}

fn write(path: &Path, key: &str, bytes: &[u8]) -> Result<(), CacheError> {
    file::write(path, &description(key), Columns::from([(COLUMN.into(), Column::of(bytes))]))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[derive(Default)]
    struct Notes(Mutex<Vec<String>>);

    impl Progress for Notes {
        fn note(&self, text: &str) {
            self.0.lock().unwrap().push(text.to_owned());
        }
    }

    #[test]
    fn what_was_put_is_there_the_next_time() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Cache::at(&folder.path().join("cache")).prepared(Arc::new(()));
        assert_eq!(open().get("ibmb near, k 3"), None);
        open().put("ibmb near, k 3", b"three");
        open().put("ibmb near, k 4", b"");
        assert_eq!(open().get("ibmb near, k 3").unwrap(), b"three");
        assert_eq!(open().get("ibmb near, k 4").unwrap(), b"");
        assert_eq!(open().get("ibmb near, k 5"), None);
        let names: Vec<PathBuf> =
            fs::read_dir(folder.path().join("cache")).unwrap().map(|e| e.unwrap().path()).collect();
        assert_eq!(names.len(), 2, "no temporary files are left: {names:?}");
        assert!(
            names.iter().all(|name| name
                .file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with("ibmb-"))
        );
    }

    #[test]
    fn without_a_folder_it_lasts_as_long_as_the_program() {
        let cache = Cache::off().prepared(Arc::new(()));
        cache.put("a", b"1");
        assert_eq!(cache.get("a").unwrap(), b"1");
        assert_eq!(Cache::off().prepared(Arc::new(())).get("a"), None);
    }

    /// Truncated at every length, and with every byte changed.
    #[test]
    fn a_damaged_file_is_computed_anew() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        cache.prepared(Arc::new(())).put("near", b"0123456789");
        let place = path(folder.path(), "near");
        let whole = fs::read(&place).unwrap();
        let notes = Arc::new(Notes::default());
        let mut damaged: Vec<Vec<u8>> = (0..whole.len()).map(|n| whole[..n].to_vec()).collect();
        damaged.extend((0..whole.len()).map(|at| {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            bytes
        }));
        for (n, bytes) in damaged.into_iter().enumerate() {
            fs::write(&place, bytes).unwrap();
            assert_eq!(cache.prepared(Arc::clone(&notes) as _).get("near"), None, "case {n}");
            let said = notes.0.lock().unwrap().pop();
            assert!(said.is_some_and(|note| note.ends_with("; computing it again")), "case {n}");
        }
        cache.prepared(Arc::new(())).put("near", b"again");
        assert_eq!(cache.prepared(Arc::new(())).get("near").unwrap(), b"again");
    }

    #[test]
    fn another_key_or_program_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("near");
        write(&path, "near", b"7").unwrap();
        assert_eq!(read(&path, "near").unwrap().unwrap(), b"7");
        assert_eq!(read(&path, "far").unwrap(), None);
        let columns = Columns::from([(COLUMN.into(), Column::of(b"7"))]);
        file::write(&path, &"another program, near", columns).unwrap();
        assert_eq!(read(&path, "near").unwrap(), None);
    }
}
