//! Errors of loading: location, problem and remedy.

use std::path::PathBuf;

use batchlab_core::error::{excerpt, shown};
use batchlab_core::registry::suggestion;

#[derive(Debug, thiserror::Error)]
pub(crate) enum GraphsError {
    #[error(
        "{} has no array {} for dataset.{key} \"{}\"{}; its arrays are: {}", path.display(),
        excerpt(&looked_for.iter().map(|array| format!("`{array}`")).collect::<Vec<_>>().join(" or "), 300),
        shown(name), suggestion(name, known), excerpt(&found.join(", "), 300)
    )]
    NoArray {
        path: PathBuf,
        /// The configuration key, and the name it gives.
        key: &'static str,
        name: String,
        looked_for: Vec<String>,
        /// The possible names, and all arrays.
        known: Vec<String>,
        found: Vec<String>,
    },
    #[error("{} has both `{first}` and `{second}`; rename one of them", path.display())]
    Twice { path: PathBuf, first: String, second: String },
    #[error("classes have no unit; remove `unit = \"{unit}\"`, or `classes`")]
    UnitOfClasses { unit: String },
}
