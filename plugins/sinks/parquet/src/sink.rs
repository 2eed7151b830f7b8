//! The plugin: its options, and opening it.

use std::num::NonZeroU32;

use arrow_array::RecordBatch;
use batchlab_core::record::Table;
use batchlab_core::sink::{SinkContext, WrittenFile};
use batchlab_core::{RecordWriter, Sink, SinkError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::file::TableFile;

/// Parquet files for any tool, one per table and run. They are compressed with zstd and carry
/// statistics per row group, so that readers can skip what they do not need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Parquet {
    /// zstd compression level, from 1 (fast) to 22 (small).
    #[schemars(range(min = 1, max = 22))]
    pub compression_level: CompressionLevel,
    /// Rows per group, the unit that a reader reads or skips. A group is kept in memory until it is
    /// complete or has 64 MiB.
    pub row_group_rows: NonZeroU32,
}

impl Default for Parquet {
    fn default() -> Self {
        Self {
            compression_level: CompressionLevel(3),
            row_group_rows: NonZeroU32::new(1 << 16).expect("not zero"),
        }
    }
}

#[typetag::serde(name = "parquet")]
impl Sink for Parquet {
    fn open(&self, ctx: &SinkContext) -> Result<Box<dyn RecordWriter>, SinkError> {
        let open = |table| TableFile::create(table, *self, ctx);
        Ok(Box::new(Writer { files: Table::ALL.into_iter().map(open).collect::<Result<_, _>>()? }))
    }
}

batchlab_core::register!(Sink, Parquet, example = Parquet::default());

struct Writer {
    files: Vec<TableFile>,
}

impl RecordWriter for Writer {
    fn write(&mut self, table: Table, rows: &RecordBatch) -> Result<(), SinkError> {
        let file = self.files.iter_mut().find(|file| file.table() == table);
        file.expect("every table has a file").write(rows)
    }

    fn finish(self: Box<Self>) -> Result<Vec<WrittenFile>, SinkError> {
        self.files.into_iter().map(TableFile::finish).collect()
    }
}

/// zstd compression level, 1 to 22.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "i32", into = "i32")]
#[schemars(inline)]
pub struct CompressionLevel(i32);

impl CompressionLevel {
    #[must_use]
    pub fn get(self) -> i32 {
        self.0
    }
}

impl TryFrom<i32> for CompressionLevel {
    type Error = CompressionLevelError;
    fn try_from(level: i32) -> Result<Self, CompressionLevelError> {
        if (1..=22).contains(&level) { Ok(Self(level)) } else { Err(CompressionLevelError(level)) }
    }
}

impl From<CompressionLevel> for i32 {
    fn from(level: CompressionLevel) -> Self {
        level.0
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("compression_level = {0} is out of range: give 1 (fast) to 22 (small)")]
pub struct CompressionLevelError(i32);
