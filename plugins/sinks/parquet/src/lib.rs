//! Result tables as Parquet files, one file per table and run.
//!
//! The files lie flat, `<table>/<run_id>.parquet`, so that a pattern such as `steps/*.parquet` is
//! a whole study. All of them have all columns of their table in the same order and of the same
//! types, also when a table has no rows: readers take the schema from whichever file they meet
//! first, and then drop or refuse what differs in the next one. What the columns mean is written
//! in `docs/records.md`.

mod error;
mod file;
mod sink;

pub use error::VerifyError;
pub use sink::{CompressionLevel, CompressionLevelError, Parquet};
