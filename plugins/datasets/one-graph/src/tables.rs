//! What every form of file comes to.

use std::path::{Path, PathBuf};

use batchlab_core::DatasetError;
use batchlab_core::graphs::{FixedSplit, NodeFeature, OneGraph};

/// The parts of a data set, checked against each other.
pub(crate) struct Tables {
    pub(crate) one: OneGraph,
    /// Class of each node, `[n_node]`; -1 for none.
    pub(crate) label: Vec<i64>,
    pub(crate) feature: NodeFeature,
    pub(crate) split: Option<FixedSplit>,
    /// Counts for the user.
    pub(crate) notes: Vec<(&'static str, usize)>,
}

/// More classes than that are regression targets by mistake.
const MAX_CLASS: i64 = 1 << 20;

/// The largest number of a class. A graph without labels for most of its classes is a mistake too.
pub(crate) fn largest_class(n_node: usize) -> i64 {
    (n_node as i64).min(MAX_CLASS) - 1
}

/// What is wrong with a file, or with a folder as a whole.
#[derive(Debug, thiserror::Error)]
#[error("{}: {message}", path.display())]
pub(crate) struct FileFault {
    path: PathBuf,
    message: String,
}

impl FileFault {
    pub(crate) fn new(path: &Path, message: impl Into<String>) -> DatasetError {
        DatasetError::other(Self { path: path.to_owned(), message: message.into() })
    }
}
