//! Publishes results in their folder.
//!
//! ```text
//! <out>/wip/<run_id>/             lock, journal, and files being written; see `journal`
//! <out>/tables/<table>/<run_id>.parquet
//! <out>/runs/<run_id>/files.json  checksums of what was published; see [`Manifest`]
//! <out>/runs/<run_id>/config.toml the resolved configuration, and the other texts about a run
//! <out>/runs/<run_id>/checkpoints from which the run can resume; see `checkpoint`
//! <out>/runs/<run_id>/journal     of a run that ended early and can resume
//! ```
//!
//! Readers may open `tables/**` at any time, so only complete files may ever be visible there: they
//! are written in `wip/` on the same file system, fsynced, verified, and renamed.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use batchlab_core::record::Table;
use batchlab_core::sink::WrittenFile;
use batchlab_files::{atomic_write, atomic_write_with, open, remove_unfinished, sync_folder};

use crate::files::{make, plain_name, refuse_links, remove, rename};
use crate::lock::{self, Lock};
use crate::manifest::{self, Manifest, PublishedFile};
use crate::{ResultsError, read};

/// Name of the journal in both of its locations.
const JOURNAL: &str = "journal";
/// Folder of sink output within a run's folder in `wip/`.
const SINKS: &str = "sinks";

/// The folder of a study, and the run within it. While it exists, no other process can publish the
/// same run.
#[derive(Debug)]
pub struct Publisher {
    out: PathBuf,
    run_id: String,
    lock: Lock,
}

impl Publisher {
    /// Creates the folders for a new run. If `stem` is taken, a number is appended.
    ///
    /// # Errors
    /// A folder that cannot be created, or tables with another schema version.
    pub fn open(out: &Path, stem: &str) -> Result<Self, ResultsError> {
        refuse_other_versions(out)?;
        let runs = out.join("runs");
        refuse_links(out, &runs)?;
        make(&runs)?;
        let mut run_id = stem.to_owned();
        for attempt in 2.. {
            match fs::create_dir(runs.join(&run_id)) {
                Ok(()) => break,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    run_id = format!("{stem}-{attempt}");
                }
                Err(source) => {
                    return Err(ResultsError::Write { path: runs.join(&run_id), source });
                }
            }
        }
        sync_folder(&runs).map_err(|source| ResultsError::Write { path: runs.clone(), source })?;
        let publisher = Self::lock(out, &run_id)?;
        publisher.make_tables()?;
        Ok(publisher)
    }

    /// Reopens a run that ended early, for another attempt or for salvage. Incomplete sink output
    /// is removed, and the journal is moved back if it was put aside.
    ///
    /// # Errors
    /// A process that is still working on the run, or a folder that cannot be changed.
    pub fn reopen(out: &Path, run_id: &str) -> Result<Self, ResultsError> {
        refuse_other_versions(out)?;
        let publisher = Self::lock(out, run_id)?;
        let aside = publisher.run_folder().join(JOURNAL);
        if aside.exists() && !publisher.journal().exists() {
            rename(&aside, &publisher.journal())?;
        }
        publisher.begin_anew()?;
        Ok(publisher)
    }

    /// Prepares for writing tables: removes incomplete sink output.
    ///
    /// # Errors
    /// A folder that cannot be changed.
    pub fn begin_anew(&self) -> Result<(), ResultsError> {
        self.make_tables()?;
        remove(&self.sinks())
    }

    /// Keeps a copy of a damaged journal in the run's folder.
    ///
    /// # Errors
    /// A file that cannot be copied.
    pub fn keep_damaged_journal(&self) -> Result<PathBuf, ResultsError> {
        let copy = self.run_folder().join("journal.damaged");
        let journal = open(&self.journal());
        journal
            .and_then(|mut from| atomic_write_with(&copy, |to| io::copy(&mut from, to)))
            .map_err(|source| ResultsError::Write { path: copy.clone(), source })?;
        Ok(copy)
    }

    /// Locks an existing run for this process and changes nothing else.
    ///
    /// # Errors
    /// A process that is still working on the run, or a folder that cannot be changed.
    pub fn lock(out: &Path, run_id: &str) -> Result<Self, ResultsError> {
        let wip = wip(out, run_id);
        refuse_links(out, &wip)?;
        refuse_links(out, &out.join("runs").join(run_id))?;
        make(&wip)?;
        let lock = Lock::take(&wip, run_id)?;
        // Links must be checked under the lock; later ones could only come from the same user.
        refuse_links(out, &wip)?;
        Ok(Self { out: out.to_owned(), run_id: run_id.to_owned(), lock })
    }

    /// Done early, so that a read-only location is detected before training.
    fn make_tables(&self) -> Result<(), ResultsError> {
        let tables = Table::ALL.iter().map(|table| self.out.join("tables").join(table.name()));
        tables.into_iter().try_for_each(|folder| {
            refuse_links(&self.out, &folder)?;
            make(&folder)
        })
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

    /// Folder of the run for everything except tables.
    #[must_use]
    pub fn run_folder(&self) -> PathBuf {
        self.out.join("runs").join(&self.run_id)
    }

    /// The journal, while the run is running.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        running_journal(&self.out, &self.run_id)
    }

    /// Folder of the checkpoints.
    #[must_use]
    pub fn checkpoints(&self) -> PathBuf {
        checkpoints(&self.out, &self.run_id)
    }

    /// A folder within the run's `wip/` folder for one sink.
    ///
    /// # Errors
    /// A folder that cannot be created.
    pub fn sink_folder(&self, sink: &str) -> Result<PathBuf, ResultsError> {
        let folder = self.sinks().join(sink);
        make(&folder)?;
        Ok(folder)
    }

    /// Writes a text file about the run atomically.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn text(&self, name: &str, content: &str) -> Result<(), ResultsError> {
        let path = self.run_folder().join(name);
        atomic_write(&path, content.as_bytes()).map_err(ResultsError::write(&path))
    }

    /// Moves complete Parquet files into `tables/`, others into a folder named after their
    /// extension. Checksums are written first and the `runs` table is moved last: its row implies
    /// that the other files are present.
    ///
    /// # Errors
    /// A file that cannot be moved.
    pub fn tables(&self, files: &[WrittenFile]) -> Result<(), ResultsError> {
        let mut files: Vec<&WrittenFile> = files.iter().collect();
        files.sort_by_key(|file| file.table == Table::Runs);
        let place = |file: &WrittenFile| {
            let group = match file.path.extension().and_then(|extension| extension.to_str()) {
                None | Some("parquet") => "tables",
                Some(extension) => extension,
            };
            let name = file.path.file_name().unwrap_or_default();
            Path::new(group).join(file.table.name()).join(name)
        };
        let published = files.iter().map(|file| PublishedFile::of(file, &place(file)));
        let manifest = Manifest { files: published.collect::<Result<_, _>>()? };
        let text =
            serde_json::to_string_pretty(&manifest).map_err(|error| ResultsError::Write {
                path: self.run_folder().join(manifest::NAME),
                source: error.into(),
            })?;
        self.text(manifest::NAME, &(text + "\n"))?;
        for file in files {
            let to = self.out.join(place(file));
            make(to.parent().unwrap_or(&self.out))?;
            rename(&file.path, &to)?;
        }
        Ok(())
    }

    /// Removes the remains in `wip/` after everything has been published. With `put_aside`, the
    /// journal is kept next to the checkpoints, so that the run can be resumed.
    ///
    /// # Errors
    /// A folder that cannot be removed.
    pub fn close(self, put_aside: bool) -> Result<(), ResultsError> {
        if put_aside && self.journal().exists() {
            rename(&self.journal(), &self.run_folder().join(JOURNAL))?;
        }
        // The journal first, since without it nothing here looks like a run to salvage. The lock
        // last, so that no other process can start here before everything is gone.
        remove(&self.journal())?;
        remove(&self.sinks())?;
        remove_unfinished(&self.run_folder());
        let wip = self.wip();
        self.lock.remove()?;
        // Another process may have reopened this run, and other runs may be running.
        let _ = fs::remove_dir(wip);
        let _ = fs::remove_dir(self.out.join("wip"));
        Ok(())
    }

    /// Removes a new run without records. Anything that cannot be removed is harmless: `doctor`
    /// lists it.
    pub fn discard(self) {
        let folder = self.run_folder();
        let _ = self.close(false).and_then(|()| remove(&folder));
    }

    fn wip(&self) -> PathBuf {
        wip(&self.out, &self.run_id)
    }

    fn sinks(&self) -> PathBuf {
        self.wip().join(SINKS)
    }
}

/// All files of a table must have the same columns for readers. Runs are named by time, so files
/// with another version are the first or the last ones.
fn refuse_other_versions(out: &Path) -> Result<(), ResultsError> {
    let files = read::files(out, Table::Runs)?;
    [files.first(), files.last()]
        .into_iter()
        .flatten()
        .try_for_each(|path| read::TableFile::open(path).map(drop))
}

/// Working folder of a run.
pub(crate) fn wip(out: &Path, run_id: &str) -> PathBuf {
    out.join("wip").join(run_id)
}

/// Checkpoint folder of a run.
#[must_use]
pub fn checkpoints(out: &Path, run_id: &str) -> PathBuf {
    out.join("runs").join(run_id).join("checkpoints")
}

/// Removes what an interrupted run could go on from, if it was not taken up again; its rows stay.
/// Anything that cannot be removed is harmless.
pub fn forget_state(out: &Path, run_id: &str) {
    let Ok(run_id) = plain_name(run_id) else { return };
    let journal = out.join("runs").join(run_id).join(JOURNAL);
    let checkpoints = checkpoints(out, run_id);
    let is_own = |path: &Path| refuse_links(out, path).is_ok();
    // A run that has ended for good, or is at work, has no journal there.
    if journal.is_file() && is_own(&journal) && is_own(&checkpoints) {
        let _ = remove(&checkpoints).and_then(|()| remove(&journal));
    }
}

/// Location of the journal while a run is running.
#[must_use]
pub fn running_journal(out: &Path, run_id: &str) -> PathBuf {
    wip(out, run_id).join(JOURNAL)
}

/// The journal of a run that has ended early or is running.
#[must_use]
pub fn find_journal(out: &Path, run_id: &str) -> Option<PathBuf> {
    let places = [wip(out, run_id), out.join("runs").join(run_id)];
    places.into_iter().map(|folder| folder.join(JOURNAL)).find(|journal| journal.exists())
}

/// Names of the runs with remains in `wip/`.
#[must_use]
pub fn unfinished(out: &Path) -> Vec<String> {
    let runs = in_wip(out).into_iter().filter(|path| is_of_run(out, path));
    runs.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect()
}

/// Items in `wip/` that belong to no run.
#[must_use]
pub fn strays(out: &Path) -> Vec<PathBuf> {
    in_wip(out).into_iter().filter(|path| !is_of_run(out, path)).collect()
}

fn in_wip(out: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(out.join("wip")).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// Whether this program created a folder: it is not a link, contains something that this program
/// wrote, and has a run folder in `runs/` or a lock of this program. Folders with only a user's files
/// stay. An empty folder was left by a process killed just after creating it, or before removing it.
fn is_of_run(out: &Path, path: &Path) -> bool {
    let is_real = refuse_links(out, path).is_ok() && path.is_dir();
    let is_known = path.file_name().is_some_and(|name| out.join("runs").join(name).is_dir());
    let is_empty = || fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
    let holds_own = || [lock::NAME, JOURNAL, SINKS].iter().any(|own| path.join(own).exists());
    is_real && (is_known && is_empty() || holds_own() && (is_known || Lock::is_own(path)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::is_locked;

    #[test]
    fn files_appear_complete_and_wip_disappears() {
        let folder = tempfile::tempdir().unwrap();
        let publisher = Publisher::open(folder.path(), "run").unwrap();
        let path = publisher.sink_folder("test").unwrap().join("run.parquet");
        fs::write(&path, "rows").unwrap();
        publisher.text("config.toml", "a = 1").unwrap();
        publisher.tables(&[WrittenFile { table: Table::Steps, path, n_row: 1 }]).unwrap();
        publisher.close(false).unwrap();
        assert_eq!(fs::read(folder.path().join("tables/steps/run.parquet")).unwrap(), b"rows");
        assert_eq!(fs::read(folder.path().join("runs/run/config.toml")).unwrap(), b"a = 1");
        assert!(!folder.path().join("wip").exists());
        let manifest = Manifest::read(folder.path(), "run").unwrap().unwrap();
        let [steps] = &manifest.files[..] else { panic!("one file") };
        assert_eq!((steps.path.as_str(), steps.n_row), ("tables/steps/run.parquet", 1));
        assert_eq!(steps.fault(folder.path()), None);
        let path = folder.path().join(&steps.path);
        for (bytes, word) in [("rowS", "SHA-256"), ("row", "3 bytes, but 4")] {
            fs::write(&path, bytes).unwrap();
            assert!(steps.fault(folder.path()).unwrap().contains(word));
        }
        fs::remove_file(&path).unwrap();
        assert!(steps.fault(folder.path()).unwrap().contains("missing"));
    }

    #[test]
    fn checksums_are_there_before_the_files() {
        let folder = tempfile::tempdir().unwrap();
        let publisher = Publisher::open(folder.path(), "run").unwrap();
        let path = publisher.sink_folder("test").unwrap().join("run.parquet");
        fs::write(&path, "rows").unwrap();
        // No file can be moved if a file has the name of its folder.
        fs::remove_dir(folder.path().join("tables/steps")).unwrap();
        fs::write(folder.path().join("tables/steps"), "in the way").unwrap();
        let file = WrittenFile { table: Table::Steps, path, n_row: 1 };
        assert!(publisher.tables(&[file]).is_err());
        assert!(Manifest::read(folder.path(), "run").unwrap().is_some());
    }

    #[test]
    fn what_is_of_no_run_is_not_taken_for_one() {
        let folder = tempfile::tempdir().unwrap();
        let publisher = Publisher::open(folder.path(), "run").unwrap();
        let wip = folder.path().join("wip");
        fs::write(wip.join("notes.txt"), "mine").unwrap();
        fs::create_dir(wip.join("other")).unwrap();
        assert_eq!(unfinished(folder.path()), ["run"]);
        assert_eq!(strays(folder.path()), [wip.join("notes.txt"), wip.join("other")]);
        assert!(!is_locked(folder.path(), "notes.txt").unwrap());
        drop(publisher);
    }

    #[test]
    #[cfg(unix)]
    fn what_lies_outside_or_was_put_there_by_a_person_stays() {
        use std::os::unix::fs::symlink;
        let (folder, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let letter = home.path().join("journal");
        fs::write(&letter, "mine").unwrap();
        fs::write(home.path().join("lock"), "process 1 on here").unwrap();
        let wip = folder.path().join("wip");
        fs::create_dir_all(wip.join("of-a-person")).unwrap();
        fs::write(wip.join("of-a-person/lock"), "my own").unwrap();
        symlink(home.path(), wip.join("evil")).unwrap();
        assert_eq!(unfinished(folder.path()), Vec::<String>::new());
        assert_eq!(strays(folder.path()), [wip.join("evil"), wip.join("of-a-person")]);
        let error = Publisher::lock(folder.path(), "evil").unwrap_err();
        assert!(matches!(error, ResultsError::Link { .. }), "{error}");

        // A user's file in the folder of a run stays; the run's own files do not.
        let publisher = Publisher::open(folder.path(), "run").unwrap();
        fs::write(wip.join("run/notes.txt"), "mine").unwrap();
        fs::write(publisher.sink_folder("test").unwrap().join("rows"), "own").unwrap();
        publisher.close(false).unwrap();
        let left: Vec<_> = fs::read_dir(wip.join("run")).unwrap().flatten().collect();
        assert_eq!(left.len(), 1);
        assert_eq!(unfinished(folder.path()), Vec::<String>::new());

        // The same for the other folders.
        let other = tempfile::tempdir().unwrap();
        symlink(home.path(), other.path().join("tables")).unwrap();
        assert!(Publisher::open(other.path(), "run").is_err());
        assert_eq!(fs::read(&letter).unwrap(), b"mine");
    }

    #[test]
    #[cfg(unix)]
    fn a_lock_is_no_link_and_no_pipe() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("important");
        fs::write(&target, "keep").unwrap();
        let publisher = Publisher::open(folder.path(), "run").unwrap();
        drop(publisher);
        let lock = folder.path().join("wip/run/lock");
        fs::remove_file(&lock).unwrap();
        std::os::unix::fs::symlink(&target, &lock).unwrap();
        assert!(Publisher::lock(folder.path(), "run").is_err());
        assert!(is_locked(folder.path(), "run").is_err(), "neither held nor free");
        assert_eq!(fs::read(&target).unwrap(), b"keep");
    }

    #[test]
    fn two_runs_in_the_same_second_get_different_names() {
        let folder = tempfile::tempdir().unwrap();
        let first = Publisher::open(folder.path(), "run").unwrap();
        let second = Publisher::open(folder.path(), "run").unwrap();
        assert_eq!((first.run_id(), second.run_id()), ("run", "run-2"));
    }

    #[test]
    fn only_one_process_works_on_a_run() {
        let folder = tempfile::tempdir().unwrap();
        let publisher = Publisher::open(folder.path(), "run").unwrap();
        assert!(is_locked(folder.path(), "run").unwrap());
        let error = Publisher::reopen(folder.path(), "run").unwrap_err().to_string();
        let pid = std::process::id().to_string();
        assert!(error.contains("process") && error.contains(&pid), "{error}");
        drop(publisher);
        assert!(!is_locked(folder.path(), "run").unwrap());
        Publisher::reopen(folder.path(), "run").unwrap();
    }

    #[test]
    fn processes_that_take_turns_never_meet() {
        let folder = tempfile::tempdir().unwrap();
        Publisher::open(folder.path(), "run").unwrap().close(false).unwrap();
        let turns = || {
            let mut n_turn = 0;
            for _ in 0..300 {
                match Publisher::lock(folder.path(), "run") {
                    Ok(publisher) => {
                        // Another process in here would find or remove this.
                        let journal = publisher.journal();
                        fs::File::create_new(&journal).unwrap();
                        std::thread::yield_now();
                        assert!(journal.exists());
                        publisher.close(false).unwrap();
                        n_turn += 1;
                    }
                    Err(ResultsError::Running { .. }) => std::thread::yield_now(),
                    Err(error) => panic!("{error}"),
                }
            }
            n_turn
        };
        let n_turn: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(turns)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert!(n_turn > 0);
        assert!(!folder.path().join("wip").exists());
    }

    #[test]
    fn a_journal_is_put_aside_and_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let publisher = Publisher::open(folder.path(), "run").unwrap();
        fs::write(publisher.journal(), "rows").unwrap();
        publisher.close(true).unwrap();
        assert_eq!(unfinished(folder.path()), Vec::<String>::new());
        let aside = find_journal(folder.path(), "run").unwrap();
        assert_eq!(aside, folder.path().join("runs/run/journal"));
        let publisher = Publisher::reopen(folder.path(), "run").unwrap();
        assert_eq!(fs::read(publisher.journal()).unwrap(), b"rows");
        assert_eq!(unfinished(folder.path()), ["run"]);
        publisher.close(false).unwrap();
        assert_eq!(find_journal(folder.path(), "run"), None);
    }
}
