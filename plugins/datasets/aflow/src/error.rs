//! What can be wrong, with place and remedy.

use std::path::PathBuf;

use batchlab_neighbors::NeighborError;
use batchlab_structures::{ReadError, shown_path};

/// Why entries of AFLOW could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AflowError {
    /// A file is damaged, or of no known format.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// No path at all.
    #[error("`path` is empty; set it to a file or a folder")]
    NoPath,
    /// The atoms of a crystal cannot be connected.
    #[error("{}:{line}: {source}", shown_path(path))]
    Edges {
        /// The file.
        path: PathBuf,
        /// Where the entry begins.
        line: usize,
        /// What is wrong with it.
        source: NeighborError,
    },
    /// Nothing passed the filters.
    #[error(
        "none of the {n_read} entries in {} can be used ({counts}); choose another `target`, or change \
         `dft_type` or the bounds",
        shown_path(path)
    )]
    NothingLeft {
        /// The file or folder.
        path: PathBuf,
        /// Entries that were read.
        n_read: u64,
        /// How many were left out, and why.
        counts: String,
    },
}
