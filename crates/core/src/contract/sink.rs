//! Sinks write the results.

use std::path::{Component, Path, PathBuf};

use arrow_array::RecordBatch;

use crate::SinkError;
use crate::record::Table;

/// A description of an output format, selected by `[[sink]] name = "..."`.
///
/// A sink **only encodes**. Where files end up, that they are complete before anyone sees them,
/// and that nothing is lost in a crash, is the business of the run.
#[typetag::serde(tag = "name")]
pub trait Sink: std::fmt::Debug + Send + Sync {
    /// Opens a writer for one run. Called once, before the first step.
    fn open(&self, ctx: &SinkContext) -> Result<Box<dyn RecordWriter>, SinkError>;
}

/// What a sink is given when it opens.
#[derive(Debug, Clone)]
pub struct SinkContext {
    /// Folder to write into; it exists, and it is not the final place.
    pub dir: PathBuf,
    /// Identifier of the run, to be used as the stem of file names.
    pub run_id: String,
    /// Key and value pairs about the run, for formats that can keep them.
    pub metadata: Vec<(String, String)>,
}

/// Writes the records of one run.
pub trait RecordWriter: Send {
    /// Appends rows to one table; their schema is [`Table::schema`]. Called any number of times,
    /// never inside a timed region.
    ///
    /// # Errors
    /// Whatever keeps the rows from being written. The run stops.
    fn write(&mut self, table: Table, rows: &RecordBatch) -> Result<(), SinkError>;

    /// Completes all files and returns what was written. Called once, last; not after an error.
    ///
    /// # Errors
    /// Whatever keeps a file from being completed.
    fn finish(self: Box<Self>) -> Result<Vec<WrittenFile>, SinkError>;
}

/// A complete file in the folder that the sink was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenFile {
    /// Whose rows it holds.
    pub table: Table,
    /// Where it lies.
    pub path: PathBuf,
    /// Number of rows.
    pub n_row: u64,
}

/// Whether a run identifier is a plain name, which can be the stem of a file. Readers hide or refuse
/// files that begin with a dot or an underscore.
#[must_use]
pub fn is_file_stem(run_id: &str) -> bool {
    let mut parts = Path::new(run_id).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None))
        && !run_id.starts_with(['.', '_'])
        && !run_id.contains(['/', '\\', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_are_file_stems() {
        for good in ["20261003T101112-4f5e", "a", "a.b", "a b", "x=1"] {
            assert!(is_file_stem(good), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "/a", "a/", "../a", ".a", "_a", "a\\b", "a\0"] {
            assert!(!is_file_stem(bad), "{bad}");
        }
    }
}
