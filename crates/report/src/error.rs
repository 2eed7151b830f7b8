//! Errors while reading results.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error(transparent)]
    Results(#[from] batchlab_results::ResultsError),
    #[error("run {run_id} is in {first} and in {second}; give each result once")]
    Twice { run_id: String, first: PathBuf, second: PathBuf },
}
