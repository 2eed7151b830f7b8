//! An unfinished file, and what is known of where it comes from.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use batchlab_core::hash::hexadecimal;
use batchlab_files::{MAX_TEXT, atomic_write, open_to_change};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::FetchError;

/// Where the beginning of a file came from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Origin {
    pub(crate) url: String,
    /// The server's name for this version of the file.
    pub(crate) etag: Option<String>,
}

/// The path with `.<extension>` behind its name.
pub(crate) fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    PathBuf::from(name)
}

/// `<name>.part`, and `<name>.part.json` with its origin.
pub(crate) struct Part {
    path: PathBuf,
    file: File,
    pub(crate) n_byte: u64,
}

impl Part {
    /// Opens what an earlier attempt left, or begins.
    pub(crate) fn open(path: &Path) -> Result<Self, FetchError> {
        let failed = |source| FetchError::Io { path: path.to_owned(), source };
        let mut options = OpenOptions::new();
        options.create(true).read(true).write(true).truncate(false);
        let file = open_to_change(path, &mut options).map_err(failed)?;
        let n_byte = file.metadata().map_err(failed)?.len();
        Ok(Self { path: path.to_owned(), file, n_byte })
    }

    pub(crate) fn origin(&self) -> Option<Origin> {
        let text = batchlab_files::read(&self.origin_path(), MAX_TEXT).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Notes where the following bytes come from.
    pub(crate) fn set_origin(&self, origin: &Origin) -> Result<(), FetchError> {
        let path = self.origin_path();
        let text = serde_json::to_vec(origin).unwrap_or_default();
        atomic_write(&path, &text).map_err(|source| FetchError::Io { path, source })
    }

    pub(crate) fn clear(&mut self) -> Result<(), FetchError> {
        self.n_byte = 0;
        self.file.set_len(0).map_err(|source| self.failed(source))
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        let write = |file: &mut File, at| {
            file.seek(SeekFrom::Start(at))?;
            file.write_all(bytes)
        };
        write(&mut self.file, self.n_byte).map_err(|source| self.failed(source))?;
        self.n_byte += bytes.len() as u64;
        Ok(())
    }

    /// SHA-256 of everything, as hexadecimal digits.
    pub(crate) fn sha256(&mut self) -> Result<String, FetchError> {
        self.file
            .seek(SeekFrom::Start(0))
            .and_then(|_| hash(&mut self.file))
            .map_err(|source| self.failed(source))
    }

    pub(crate) fn publish(self, to: &Path) -> Result<(), FetchError> {
        let publish = || {
            self.file.sync_all()?;
            batchlab_files::rename(&self.path, to)
        };
        publish().map_err(|source| self.failed(source))?;
        let _ = fs::remove_file(self.origin_path());
        Ok(())
    }

    fn origin_path(&self) -> PathBuf {
        beside(&self.path, "json")
    }

    fn failed(&self, source: io::Error) -> FetchError {
        FetchError::Io { path: self.path.clone(), source }
    }
}

/// SHA-256 of a stream, as hexadecimal digits.
pub(crate) fn hash(stream: &mut impl Read) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut block = vec![0; 1 << 18];
    loop {
        match stream.read(&mut block)? {
            0 => return Ok(hexadecimal(&hasher.finalize())),
            n => hasher.update(&block[..n]),
        }
    }
}
