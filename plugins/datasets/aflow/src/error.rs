//! Errors of loading: location, problem and remedy.

use std::path::PathBuf;

use batchlab_core::memory::OverBudget;
use batchlab_neighbors::NeighborError;
use batchlab_structures::{ReadError, shown_path};

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AflowError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("{}; {}", .0, .0.remedy())]
    Memory(#[from] OverBudget),
    #[error("`path` is empty; set it to a file or a folder")]
    NoPath,
    #[error("{}:{line}: {source}", shown_path(path))]
    Edges { path: PathBuf, line: usize, source: NeighborError },
    #[error(
        "none of the {n_read} entries in {} can be used ({counts}); choose another `target`, or change \
         `dft_type` or the bounds",
        shown_path(path)
    )]
    NothingLeft { path: PathBuf, n_read: u64, counts: String },
}
