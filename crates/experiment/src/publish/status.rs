//! How a run ended, as its published row says.

use std::fs::File;
use std::path::Path;

use batchlab_core::record::{Record, RunRecord};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// The status of a run whose row is published and can be read.
#[must_use]
pub fn published_status(out: &Path, run_id: &str) -> Option<String> {
    let path = out.join("tables").join(RunRecord::TABLE.name()).join(format!("{run_id}.parquet"));
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).ok()?).ok()?;
    let rows = builder.build().ok()?.next()?.ok()?;
    Some(RunRecord::from_batch(&rows).ok()?.pop()?.status)
}
