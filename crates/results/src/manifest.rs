//! The list of a run's files, with checksums: `runs/<run_id>/files.json`.
//!
//! Parquet readers do not verify checksums, so they do not notice a flipped bit in a value. The
//! list is written before the first of the files is published. If a file does not match the list,
//! the run may therefore still be running, or have crashed while publishing: in this case its
//! folder in `wip/` exists, and the files in `tables/` may belong to the previous attempt.

use std::fs;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use batchlab_core::hash::hexadecimal;
use batchlab_core::record::Table;
use batchlab_core::sink::WrittenFile;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use batchlab_files::{MAX_TEXT, open, read_text};

use crate::files::plain_name;
use crate::{ResultsError, read};

/// Name of the list in the folder of a run.
pub(crate) const NAME: &str = "files.json";

/// The published files of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Its files.
    pub files: Vec<PublishedFile>,
}

/// One published file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedFile {
    /// Path within the folder of the study, with `/` as separator.
    pub path: String,
    /// SHA-256 of the whole file.
    pub sha256: String,
    /// Length in bytes.
    pub n_byte: u64,
    /// Number of rows.
    pub n_row: u64,
}

impl PublishedFile {
    /// A complete file that will be published at `path` in the folder of the study.
    pub(crate) fn of(file: &WrittenFile, path: &Path) -> Result<Self, ResultsError> {
        let read = || -> io::Result<_> {
            let content = open(&file.path)?;
            let n_byte = content.metadata()?.len();
            Ok((sha256(content)?, n_byte))
        };
        let (sha256, n_byte) = read().map_err(ResultsError::read(&file.path))?;
        let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
        Ok(Self { path: parts.join("/"), sha256, n_byte, n_row: file.n_row })
    }

    /// Why the file differs from the published one; `None` if it does not.
    #[must_use]
    pub fn fault(&self, out: &Path) -> Option<String> {
        let path = Path::new(&self.path);
        if !path.components().all(|part| matches!(part, Component::Normal(_))) {
            return Some("it lies outside of the results".to_owned());
        }
        // A file of different length need not be read.
        let read = || -> io::Result<_> {
            let file = open(&out.join(path))?;
            let n_byte = file.metadata()?.len();
            Ok((n_byte, if n_byte == self.n_byte { sha256(file)? } else { String::new() }))
        };
        let (n_byte, sha256) = match read() {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Some(format!(
                    "it was published with {} rows and is missing; if the run is not wanted, remove \
                     its folder in runs/ as well",
                    self.n_row
                ));
            }
            Err(error) => return Some(error.to_string()),
        };
        if n_byte != self.n_byte {
            return Some(format!("it has {n_byte} bytes, but {} were published", self.n_byte));
        }
        (sha256 != self.sha256).then(|| {
            format!(
                "its bytes are not those that were published: the SHA-256 is {sha256}, not {}",
                self.sha256
            )
        })
    }
}

impl Manifest {
    /// The list of a run; `None` for a run without published files.
    ///
    /// # Errors
    /// A file that cannot be read or is not a valid list.
    pub fn read(out: &Path, run_id: &str) -> Result<Option<Self>, ResultsError> {
        let path = out.join("runs").join(run_id).join(NAME);
        let failed = |source| ResultsError::Read { path: path.clone(), source };
        match read_text(&path, MAX_TEXT) {
            Ok(text) => serde_json::from_str(&text).map(Some).map_err(|error| failed(error.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// Rejects the list of another run, which is present because its folder was copied.
    ///
    /// # Errors
    /// [`ResultsError::Copy`].
    pub(crate) fn check_owner(&self, out: &Path, run_id: &str) -> Result<(), ResultsError> {
        let stem = |file: &PublishedFile| {
            let name = file.path.strip_prefix("tables/")?.split_once('/')?.1;
            name.strip_suffix(".parquet").filter(|stem| *stem != run_id).map(str::to_owned)
        };
        match self.files.iter().find_map(stem) {
            None => Ok(()),
            Some(original) => {
                let path = out.join("runs").join(run_id).join(NAME);
                Err(ResultsError::Copy { path, run_id: run_id.to_owned(), original })
            }
        }
    }
}

/// A missing file of a published run, if any. Contents are not read.
///
/// # Errors
/// An invalid run name, or a manifest that cannot be read.
pub fn missing(out: &Path, run_id: &str) -> Result<Option<PathBuf>, ResultsError> {
    plain_name(run_id)?;
    let Some(manifest) = Manifest::read(out, run_id)? else {
        // Files added by others have no manifest.
        let row = read::path_of(out, Table::Runs, run_id);
        return Ok((!row.is_file()).then_some(row));
    };
    let is_there = |file: &PublishedFile| {
        fs::metadata(out.join(&file.path)).is_ok_and(|found| found.len() == file.n_byte)
    };
    let gone = manifest.files.iter().find(|file| !is_there(file));
    Ok(gone.map(|file| out.join(&file.path)))
}

fn sha256(mut file: impl Read) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hexadecimal(&hash.finalize())),
            n => hash.update(&buffer[..n]),
        }
    }
}
