//! What can be wrong with results.

use std::path::PathBuf;

use parquet::errors::ParquetError;

/// Why a report was not made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A folder without results.
    #[error(
        "{dir}: there is no {dir}/tables/runs/*.parquet; give the folder of a study, such as \
         results/smoke"
    )]
    NoTables {
        /// The folder.
        dir: PathBuf,
    },
    /// A file or folder that cannot be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file that is not Parquet, or is damaged.
    #[error("cannot read {path}: {source}; every file under tables/ must be complete")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the reader says.
        source: ParquetError,
    },
    /// A column is missing or of another type.
    #[error("{path}: column `{column}` is missing or not of type {expected}")]
    Column {
        /// The file.
        path: PathBuf,
        /// The column.
        column: &'static str,
        /// The type.
        expected: &'static str,
    },
    /// One run stands in two files.
    #[error("run {run_id} stands in {first} and in {second}; give each result once")]
    Twice {
        /// The run.
        run_id: String,
        /// One file.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
}
