//! What can be wrong with results.

use std::path::PathBuf;

/// Why a report was not made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// Results that cannot be read.
    #[error(transparent)]
    Results(#[from] batchlab_results::ResultsError),
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
