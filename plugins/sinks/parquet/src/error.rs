//! Errors in a file that was written without an error.

use std::path::Path;

use batchlab_core::SinkError;
use batchlab_core::record::Table;
use parquet::errors::ParquetError;

/// A completed file does not contain what was written. It is left in place for inspection.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error("{written} rows were written, but the file holds {found}; do not use it")]
    Rows {
        written: u64,
        /// Rows according to the file's footer.
        found: u64,
    },
    #[error("the columns of the file are not those of the table: {found}")]
    Columns { found: String },
}

/// Extracts an I/O error from the encoder's error.
pub(crate) fn encode(table: Table, path: &Path, source: ParquetError) -> SinkError {
    let (table, path) = (table.name(), path.to_owned());
    match source {
        ParquetError::External(inner) => match inner.downcast::<std::io::Error>() {
            Ok(source) => SinkError::Io { path, source: *source },
            Err(source) => SinkError::Encode { table, path, source },
        },
        source => SinkError::Encode { table, path, source: Box::new(source) },
    }
}
