//! Sinks write results.

use std::path::{Component, Path, PathBuf};

use arrow_array::RecordBatch;

use crate::SinkError;
use crate::record::Table;

/// A description of an output format, selected by `[[sink]] name = "..."`.
///
/// A sink **only encodes**. The run decides where files are stored, publishes them only when
/// complete, and protects them against crashes.
#[typetag::serde(tag = "name")]
pub trait Sink: std::fmt::Debug + Send + Sync {
    /// Opens a writer for one run. Called once, before the first step.
    fn open(&self, ctx: &SinkContext) -> Result<Box<dyn RecordWriter>, SinkError>;
}

/// What a sink receives when it opens.
#[derive(Debug, Clone)]
pub struct SinkContext {
    /// Existing folder to write into; not the final location.
    pub dir: PathBuf,
    /// Identifier of the run, to be used as the stem of file names.
    pub run_id: String,
    /// Key-value pairs about the run, for formats that can store them.
    pub metadata: Vec<(String, String)>,
}

/// Writes the records of one run.
pub trait RecordWriter: Send {
    /// Appends rows to one table; their schema is [`Table::schema`]. Called any number of times,
    /// never inside a timed region.
    ///
    /// # Errors
    /// Any failure to write the rows. The run stops.
    fn write(&mut self, table: Table, rows: &RecordBatch) -> Result<(), SinkError>;

    /// Completes all files and returns them. Called once, as the last call, unless an error has
    /// occurred.
    ///
    /// # Errors
    /// Any failure to complete a file.
    fn finish(self: Box<Self>) -> Result<Vec<WrittenFile>, SinkError>;
}

/// A completed file in the sink's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenFile {
    /// Table whose rows it contains.
    pub table: Table,
    /// Path of the file.
    pub path: PathBuf,
    /// Number of rows.
    pub n_row: u64,
}

/// Whether a run identifier can be used as a file stem. Readers hide or reject files that begin
/// with a dot or an underscore.
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
