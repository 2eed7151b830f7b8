//! What can be wrong with a file that was written without an error.

use std::path::Path;

use batchlab_core::SinkError;
use batchlab_core::record::Table;
use parquet::errors::ParquetError;

/// A completed file does not hold what was written into it. It stays where it is, for a look.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error("{written} rows were written, but the file holds {found}; do not use it")]
    Rows {
        written: u64,
        /// Rows that the file's footer counts.
        found: u64,
    },
    #[error("the columns of the file are not those of the table: {found}")]
    Columns { found: String },
}

/// Takes an error of the system out of the encoder's error.
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
