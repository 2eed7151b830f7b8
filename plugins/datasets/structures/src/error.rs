//! What can be wrong, with place and remedy.

use std::path::PathBuf;

use batchlab_core::error::{excerpt, shown};
use batchlab_core::registry::suggestion;
use batchlab_neighbors::NeighborError;
use batchlab_structures::{ReadError, shown_path};

/// Why structures could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StructuresError {
    /// A file is damaged, or of no known format.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// No path at all.
    #[error("`{key}` is empty; set it to a file{}", if *key == "path" { " or a folder" } else { "" })]
    NoPath {
        /// The key of the configuration.
        key: &'static str,
    },
    /// The atoms of a structure cannot be connected.
    #[error("{}:{line}: {source}", shown_path(path))]
    Edges {
        /// The file.
        path: PathBuf,
        /// Where the structure begins.
        line: usize,
        /// What is wrong with it.
        source: NeighborError,
    },
    /// A structure has no value to learn.
    #[error(
        "{}:{line}: the structure has no `{target}`{}; it has: {}; choose another `target`, or set \
         `missing = \"skip\"`", shown_path(path), suggestion(target, known), excerpt(&known.join(", "), 300)
    )]
    NoTarget {
        /// The file.
        path: PathBuf,
        /// Where the structure begins.
        line: usize,
        /// The property that was asked for.
        target: String,
        /// The properties that there are.
        known: Vec<String>,
    },
    /// What is written in the place of the target means that there is none.
    #[error(
        "{}:{line}: `{target}` has no value here, found `{}`; write one, or set `missing = \"skip\"`",
        shown_path(path),
        shown(value)
    )]
    NoValue {
        /// The file, or the table.
        path: PathBuf,
        /// Where the structure begins, or its row.
        line: usize,
        /// The property or column that was asked for.
        target: String,
        /// What stands there.
        value: String,
    },
    /// A structure that the table of targets does not name.
    #[error(
        "{}:{line}: the table of targets has no row for this structure; it was looked for as {}; add it, or set \
         `missing = \"skip\"`", shown_path(path), excerpt(&tried.join(" and "), 300)
    )]
    NoRow {
        /// The file.
        path: PathBuf,
        /// Where the structure begins.
        line: usize,
        /// The names that were looked for.
        tried: Vec<String>,
    },
    /// A class that the configuration does not list.
    #[error("{}:{line}: `{}` is none of the classes {}; add it to `classes`", shown_path(path), shown(value), classes.join(", "))]
    NoClass {
        /// The file.
        path: PathBuf,
        /// Where the structure begins.
        line: usize,
        /// The value found.
        value: String,
        /// The classes of the configuration.
        classes: Vec<String>,
    },
    /// The table of targets is broken.
    #[error("{}:{line}: {message}", shown_path(path))]
    Table {
        /// The table.
        path: PathBuf,
        /// 1-based.
        line: u64,
        /// What is wrong, and what helps.
        message: String,
    },
    /// Nothing can be used.
    #[error(
        "{} holds {n_read} structures, and none has the target `{target}`; choose another `path` or `target`",
        shown_path(path)
    )]
    NothingLeft {
        /// The file or folder.
        path: PathBuf,
        /// Structures that were read.
        n_read: u64,
        /// The property that was asked for.
        target: String,
    },
}

impl StructuresError {
    /// Whether it says that there is no target, rather than a wrong one.
    pub(crate) fn is_absence(&self) -> bool {
        matches!(self, Self::NoTarget { .. } | Self::NoValue { .. } | Self::NoRow { .. })
    }
}
