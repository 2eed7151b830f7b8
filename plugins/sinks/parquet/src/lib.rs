//! Result tables as Parquet files, one file per table and run.
//!
//! The files lie flat, `<table>/<run_id>.parquet`, so a pattern such as `steps/*.parquet` covers a
//! whole study. Each has all columns of its table in the same order and with the same types, even
//! without rows: readers take the schema from the first file they meet, and drop or reject whatever
//! differs in the next one. The columns are documented in `docs/records.md`.

mod error;
mod file;
mod sink;

pub use error::VerifyError;
pub use sink::{CompressionLevel, CompressionLevelError, Parquet};
