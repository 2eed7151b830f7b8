//! Why there is no export.

use std::path::PathBuf;

use batchlab_core::SinkError;

/// Why there is no export.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A folder without published tables.
    #[error(
        "{} holds no results: there is no file {}; give the folder of a study, such as \
         results/smoke", dir.display(), dir.join("tables/runs/*.parquet").display()
    )]
    NoTables {
        /// The folder.
        dir: PathBuf,
    },
    /// The system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// File or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A damaged file.
    #[error("cannot read {}: {source}; `batchlab doctor` names all damaged files", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        source: parquet::errors::ParquetError,
    },
    /// A column of another type than the schema says.
    #[error("{}: column \"{column}\" is of type {found}, not {expected}", path.display())]
    Column {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// Its type.
        found: String,
        /// The type of the schema.
        expected: String,
    },
    /// A record of an event file that is cut or damaged.
    #[error("the event file {} is damaged at byte {at}: {reason}", path.display())]
    Event {
        /// The file.
        path: PathBuf,
        /// Where the record begins.
        at: usize,
        /// What is wrong.
        reason: String,
    },
    /// The encoder refused.
    #[error(transparent)]
    Sink(#[from] SinkError),
}

impl ExportError {
    pub(crate) fn io(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_owned(), source }
    }

    /// Whether the results are at fault, rather than the place to write to.
    #[must_use]
    pub fn is_data(&self) -> bool {
        matches!(self, Self::Parquet { .. } | Self::Column { .. } | Self::Event { .. })
    }
}
