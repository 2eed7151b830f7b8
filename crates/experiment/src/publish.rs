//! How results come into their folder.
//!
//! ```text
//! <out>/wip/<run_id>/            files being written
//! <out>/tables/<table>/<run_id>.parquet
//! <out>/runs/<run_id>/config.toml  the resolved configuration, and the other texts about a run
//! ```
//!
//! A reader opens `tables/**` at any time, so nothing but complete files may ever be seen there:
//! they are written in `wip/` on the same file system, synchronised, and renamed.

use std::fs;
use std::path::{Path, PathBuf};

use batchlab_core::record::Table;
use batchlab_core::sink::WrittenFile;

use crate::RunError;

/// The folder of a study, and the run's place in it.
#[derive(Debug, Clone)]
pub struct Publisher {
    out: PathBuf,
    run_id: String,
}

impl Publisher {
    /// Makes the folders for a new run. If `stem` is taken, a number is appended.
    ///
    /// # Errors
    /// A folder that cannot be made.
    pub fn open(out: &Path, stem: &str) -> Result<Self, RunError> {
        let runs = out.join("runs");
        make(&runs)?;
        let mut run_id = stem.to_owned();
        for attempt in 2.. {
            match fs::create_dir(runs.join(&run_id)) {
                Ok(()) => break,
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                    run_id = format!("{stem}-{attempt}");
                }
                Err(source) => return Err(RunError::Publish { path: runs.join(&run_id), source }),
            }
        }
        let publisher = Self { out: out.to_owned(), run_id };
        make(&publisher.wip())?;
        // A place that cannot be written is found before training, not after.
        for table in Table::ALL {
            make(&publisher.out.join("tables").join(table.name()))?;
        }
        Ok(publisher)
    }

    /// Identifier of the run.
    #[must_use]
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// The folder of the study.
    #[must_use]
    pub fn out(&self) -> &Path {
        &self.out
    }

    /// A folder of the run's own below `wip/`, for one sink.
    ///
    /// # Errors
    /// A folder that cannot be made.
    pub fn sink_folder(&self, sink: &str) -> Result<PathBuf, RunError> {
        let folder = self.wip().join(sink);
        make(&folder)?;
        Ok(folder)
    }

    /// Writes a text about the run, at once and complete.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn text(&self, name: &str, content: &str) -> Result<(), RunError> {
        let temporary = self.wip().join(name);
        write_synced(&temporary, content)?;
        rename(&temporary, &self.out.join("runs").join(&self.run_id).join(name))
    }

    /// Moves complete Parquet files into `tables/`, others into a folder named after their
    /// extension. The table `runs` comes last: its row says that the others are there.
    ///
    /// # Errors
    /// A file that cannot be moved.
    pub fn tables(&self, files: &[WrittenFile]) -> Result<(), RunError> {
        let mut files: Vec<&WrittenFile> = files.iter().collect();
        files.sort_by_key(|file| file.table == Table::Runs);
        for file in files {
            let group = match file.path.extension().and_then(|extension| extension.to_str()) {
                None | Some("parquet") => "tables",
                Some(extension) => extension,
            };
            let folder = self.out.join(group).join(file.table.name());
            make(&folder)?;
            let name = file.path.file_name().unwrap_or_default();
            rename(&file.path, &folder.join(name))?;
        }
        Ok(())
    }

    /// Removes what is left in `wip/` after everything has been published.
    ///
    /// # Errors
    /// A folder that cannot be removed.
    pub fn close(self) -> Result<(), RunError> {
        let wip = self.wip();
        fs::remove_dir_all(&wip).map_err(|source| RunError::Publish { path: wip, source })?;
        // Other runs may be at work there.
        let _ = fs::remove_dir(self.out.join("wip"));
        Ok(())
    }

    fn wip(&self) -> PathBuf {
        self.out.join("wip").join(&self.run_id)
    }
}

fn make(folder: &Path) -> Result<(), RunError> {
    // Another run that ends removes the empty folder above; then it is made again.
    fs::create_dir_all(folder)
        .or_else(|_| fs::create_dir_all(folder))
        .map_err(|source| RunError::Publish { path: folder.to_owned(), source })
}

fn write_synced(path: &Path, content: &str) -> Result<(), RunError> {
    let write = || {
        let mut file = fs::File::create(path)?;
        std::io::Write::write_all(&mut file, content.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|source| RunError::Publish { path: path.to_owned(), source })
}

/// Renames, and makes the new name durable.
fn rename(from: &Path, to: &Path) -> Result<(), RunError> {
    let rename = || {
        fs::rename(from, to)?;
        match to.parent() {
            // Only on Unix can a folder be opened and synchronised.
            Some(folder) if cfg!(unix) => fs::File::open(folder)?.sync_all(),
            _ => Ok(()),
        }
    };
    rename().map_err(|source| RunError::Publish { path: to.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_appear_complete_and_wip_disappears() {
        let folder = tempfile::tempdir().unwrap();
        let publisher = Publisher::open(folder.path(), "run").unwrap();
        let path = publisher.sink_folder("test").unwrap().join("run.parquet");
        fs::write(&path, "rows").unwrap();
        publisher.text("config.toml", "a = 1").unwrap();
        publisher.tables(&[WrittenFile { table: Table::Steps, path, n_row: 1 }]).unwrap();
        publisher.close().unwrap();
        assert_eq!(fs::read(folder.path().join("tables/steps/run.parquet")).unwrap(), b"rows");
        assert_eq!(fs::read(folder.path().join("runs/run/config.toml")).unwrap(), b"a = 1");
        assert!(!folder.path().join("wip").exists());
    }

    #[test]
    fn two_runs_in_the_same_second_get_different_names() {
        let folder = tempfile::tempdir().unwrap();
        let first = Publisher::open(folder.path(), "run").unwrap();
        let second = Publisher::open(folder.path(), "run").unwrap();
        assert_eq!((first.run_id(), second.run_id()), ("run", "run-2"));
    }
}
