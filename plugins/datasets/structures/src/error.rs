//! Errors of loading: location, problem and remedy.

use std::path::PathBuf;

use batchlab_core::error::{excerpt, shown};
use batchlab_core::memory::OverBudget;
use batchlab_core::registry::suggestion;
use batchlab_neighbors::NeighborError;
use batchlab_structures::{ReadError, shown_path};

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StructuresError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("`{key}` is empty; set it to a file{}", if *key == "path" { " or a folder" } else { "" })]
    NoPath { key: &'static str },
    #[error("classes have no unit; remove `unit = \"{unit}\"`, or `classes`")]
    UnitOfClasses { unit: String },
    #[error("{}:{line}: {source}", shown_path(path))]
    Edges { path: PathBuf, line: usize, source: NeighborError },
    #[error(
        "{}:{line}: the structure has no `{target}`{}; it has: {}; choose another `target`, or set \
         `missing = \"skip\"`", shown_path(path), suggestion(target, known), excerpt(&known.join(", "), 300)
    )]
    NoTarget { path: PathBuf, line: usize, target: String, known: Vec<String> },
    #[error(
        "{}:{line}: the structure has no field `{}`{}; it has: {}; choose other `fields`, or set `missing = \"skip\"`",
        shown_path(path), shown(field), suggestion(field, known), excerpt(&known.join(", "), 300)
    )]
    NoField { path: PathBuf, line: usize, field: String, known: Vec<String> },
    #[error(
        "{}:{line}: the field `{}` is `{}`, which is not one number or a list of numbers; correct it, or choose other \
         `fields`",
        shown_path(path),
        shown(field),
        shown(value)
    )]
    NoNumbers { path: PathBuf, line: usize, field: String, value: String },
    #[error(
        "{}:{line}: the field `{}` has {found} here, but {before} before; make all structures alike, or choose other \
         `fields`",
        shown_path(path),
        shown(field)
    )]
    OtherField { path: PathBuf, line: usize, field: String, before: String, found: String },
    #[error(transparent)]
    Memory(#[from] OverBudget),
    #[error(
        "{}:{line}: `{target}` has no value here, found `{}`; write one, or set `missing = \"skip\"`",
        shown_path(path),
        shown(value)
    )]
    NoValue {
        path: PathBuf,
        /// Where the structure begins, or its row.
        line: usize,
        target: String,
        value: String,
    },
    #[error(
        "{}:{line}: the table of targets has no row for this structure; it was looked for as {}; add it, or set \
         `missing = \"skip\"`", shown_path(path), excerpt(&tried.join(" and "), 300)
    )]
    NoRow { path: PathBuf, line: usize, tried: Vec<String> },
    #[error("{}:{line}: `{}` is none of the classes {}; add it to `classes`", shown_path(path), shown(value), classes.join(", "))]
    NoClass { path: PathBuf, line: usize, value: String, classes: Vec<String> },
    #[error("{}:{line}: {message}", shown_path(path))]
    Table {
        path: PathBuf,
        /// 1-based.
        line: u64,
        message: String,
    },
    #[error(
        "{} holds {n_read} structures, and none {}has the target `{target}`; choose another `path` or `target`",
        shown_path(path), if *n_partly_periodic > 0 { "that repeats along all directions or along none " } else { "" }
    )]
    NothingLeft { path: PathBuf, n_read: u64, n_partly_periodic: u64, target: String },
}

impl StructuresError {
    /// Whether the target is absent, rather than wrong.
    pub(crate) fn is_absence(&self) -> bool {
        matches!(
            self,
            Self::NoTarget { .. }
                | Self::NoField { .. }
                | Self::NoValue { .. }
                | Self::NoRow { .. }
        )
    }
}
