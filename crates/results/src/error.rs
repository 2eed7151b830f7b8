//! Why results cannot be written or read.

use std::path::{Path, PathBuf};

use batchlab_core::SinkError;
use batchlab_core::error::nearest_path;

/// Why results cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// A file or folder cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// File or folder.
        path: PathBuf,
        /// Error reported by the system.
        source: std::io::Error,
    },
    /// A file or folder cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// File or folder.
        path: PathBuf,
        /// Error reported by the system.
        source: std::io::Error,
    },
    /// A folder without published tables.
    #[error(
        "{} holds no results: there is no file {}{}; give the folder of a study, such as \
         results/smoke", dir.display(), dir.join("tables/runs/*.parquet").display(),
        if dir.exists() { String::new() } else { nearest_path(dir) }
    )]
    NoTables {
        /// The folder.
        dir: PathBuf,
    },
    /// A file that is damaged or was not written by this program.
    #[error("cannot read {}: {reason}; `batchlab doctor` lists all damaged files", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A table rewritten by another program.
    #[error(
        "cannot read {}: it is compressed with {codec}, and this program reads zstd and uncompressed \
         tables; write it again with compression=\"zstd\"", path.display()
    )]
    Compression {
        /// The file.
        path: PathBuf,
        /// Name of the compression method.
        codec: String,
    },
    /// A table with another schema version.
    #[error(
        "{} has schema version {found}, but this program reads and writes version {SCHEMA_VERSION}; use the \
         program that wrote it, or choose another folder",
        path.display(), SCHEMA_VERSION = batchlab_core::record::SCHEMA_VERSION
    )]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: String,
    },
    /// A sink failed to encode.
    #[error("sink: {0}")]
    Sink(#[from] SinkError),
    /// A sink reports a different number of rows than it was given, which is a bug of the sink.
    #[error(
        "sink \"{sink}\" wrote {written} rows of table \"{table}\", but {recorded} were recorded"
    )]
    Rows {
        /// Name of the sink.
        sink: String,
        /// Name of the table.
        table: &'static str,
        /// Number of rows reported by the sink.
        written: u64,
        /// Number of rows it was given.
        recorded: u64,
    },
    /// The recorded configuration of a run does not say which sinks wrote its tables.
    #[error("{}: {reason}", path.display())]
    Config {
        /// The recorded configuration.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A symbolic link inside the results.
    #[error(
        "{} is a symbolic link; results are only written to real folders, because files outside could be \
         changed through a link: replace it by the folder itself", path.display()
    )]
    Link {
        /// The link.
        path: PathBuf,
    },
    /// A text from a file that cannot be used as a name on disk.
    #[error("{name:?}, from a file of the results, cannot be the name of a file or folder")]
    Name {
        /// The text.
        name: String,
    },
    /// The folder of a run contains results of another run.
    #[error(
        "{} is of run {original}, not of run {run_id}: the folder is a copy, and rows of both would be \
         mixed; remove it",
        path.display()
    )]
    Copy {
        /// The file.
        path: PathBuf,
        /// The run whose folder it is.
        run_id: String,
        /// The run that it belongs to.
        original: String,
    },
    /// Another process is working on the run.
    #[error("run {run_id} is running in another process ({process}); wait for it, or end it first")]
    Running {
        /// The run.
        run_id: String,
        /// The process, according to its lock.
        process: String,
    },
}

impl ResultsError {
    /// Whether the results are at fault, rather than the location to read from or write to.
    #[must_use]
    pub fn is_data(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Compression { .. })
    }

    pub(crate) fn write(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Write { path: path.to_owned(), source }
    }

    pub(crate) fn read(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Read { path: path.to_owned(), source }
    }

    pub(crate) fn damaged(path: &Path, error: impl std::fmt::Display) -> Self {
        Self::Damaged { path: path.to_owned(), reason: error.to_string() }
    }
}
