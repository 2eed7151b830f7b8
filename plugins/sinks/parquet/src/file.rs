//! One table of one run: a file that is written in row groups and verified when complete.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, DataType, Schema};
use batchlab_core::SinkError;
use batchlab_core::record::{SCHEMA_VERSION, Table};
use batchlab_core::sink::{SinkContext, WrittenFile, is_file_stem};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::Parquet;
use crate::error::{VerifyError, encode};

/// A row group is closed early when it reaches this memory size, which only happens with long
/// texts.
const MAX_GROUP_BYTES: usize = 64 << 20;

pub(crate) struct TableFile {
    table: Table,
    path: PathBuf,
    n_row: u64,
    writer: ArrowWriter<File>,
}

impl TableFile {
    /// Creates `<dir>/<table>/<run_id>.parquet`. An existing file is never overwritten: it belongs
    /// to another sink or to an unfinished run.
    pub(crate) fn create(
        table: Table,
        options: Parquet,
        ctx: &SinkContext,
    ) -> Result<Self, SinkError> {
        let folder = ctx.dir.join(table.name());
        let path = folder.join(format!("{}.parquet", ctx.run_id));
        if !is_file_stem(&ctx.run_id) {
            let message = format!("\"{}\" cannot be the stem of a file name", ctx.run_id);
            let source = io::Error::new(io::ErrorKind::InvalidInput, message);
            return Err(SinkError::Io { path, source });
        }
        fs::create_dir_all(&folder).map_err(io_error(&folder))?;
        let file = File::create_new(&path).map_err(io_error(&path))?;
        Self::new(table, options, &ctx.metadata, path, file)
    }

    fn new(
        table: Table,
        options: Parquet,
        metadata: &[(String, String)],
        path: PathBuf,
        file: File,
    ) -> Result<Self, SinkError> {
        let properties =
            properties(table, options, metadata).map_err(|error| encode(table, &path, error))?;
        let writer = ArrowWriter::try_new(file, table.schema(), Some(properties))
            .map_err(|error| encode(table, &path, error))?;
        Ok(Self { table, path, n_row: 0, writer })
    }

    pub(crate) fn table(&self) -> Table {
        self.table
    }

    pub(crate) fn write(&mut self, rows: &RecordBatch) -> Result<(), SinkError> {
        if rows.schema().fields() != self.table.schema().fields() {
            let message = format!("rows have other columns: {}", columns(&rows.schema()));
            let source = Box::new(ArrowError::SchemaError(message));
            let (table, path) = (self.table.name(), self.path.clone());
            return Err(SinkError::Encode { table, path, source });
        }
        self.writer.write(rows).map_err(|error| encode(self.table, &self.path, error))?;
        self.n_row += rows.num_rows() as u64;
        Ok(())
    }

    /// Writes the footer, syncs everything to disk, and reopens the file like a reader.
    pub(crate) fn finish(self) -> Result<WrittenFile, SinkError> {
        let Self { table, path, n_row, mut writer } = self;
        writer.finish().map_err(|error| encode(table, &path, error))?;
        writer.inner().sync_all().map_err(io_error(&path))?;
        drop(writer);
        verify(table, &path, n_row)?;
        Ok(WrittenFile { table, path, n_row })
    }
}

fn properties(
    table: Table,
    options: Parquet,
    metadata: &[(String, String)],
) -> Result<WriterProperties, ParquetError> {
    let level = ZstdLevel::try_new(options.compression_level.get())?;
    let zstd = Compression::ZSTD(level);
    // A few rows hardly compress, and a reader of thousands of runs would spend half of its time
    // setting up the decompression of individual columns. The configuration is a long text.
    let compression = match table {
        Table::Runs | Table::Evals | Table::Blocks => Compression::UNCOMPRESSED,
        _ => zstd,
    };
    let mut properties = WriterProperties::builder()
        .set_compression(compression)
        .set_column_compression(ColumnPath::from("config"), zstd)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_max_row_group_row_count(Some(options.row_group_rows.get() as usize))
        .set_max_row_group_bytes(Some(MAX_GROUP_BYTES))
        .set_key_value_metadata(Some(key_values(table, metadata)));
    // Times and losses hardly repeat, so a dictionary would be larger than the values. Delta
    // encoding of integers makes a file of steps a third smaller than dictionaries do.
    for field in table.schema().fields() {
        let column = ColumnPath::from(field.name().as_str());
        properties = match field.data_type() {
            DataType::Int64 => properties
                .set_column_dictionary_enabled(column.clone(), false)
                .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED),
            DataType::Float64 => properties.set_column_dictionary_enabled(column, false),
            _ => properties,
        };
    }
    Ok(properties.build())
}

/// Metadata of the run and the table, so that the file is self-describing outside its directory.
fn key_values(table: Table, metadata: &[(String, String)]) -> Vec<KeyValue> {
    let own = [("table", table.name().to_owned()), ("schema_version", SCHEMA_VERSION.to_string())];
    let is_own = |key: &str| own.iter().any(|(own, _)| *own == key);
    let run = metadata.iter().filter(|(key, _)| !is_own(key));
    let run = run.map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    run.chain(own.iter().map(|(key, value)| KeyValue::new((*key).to_owned(), value.clone())))
        .collect()
}

/// Verifies the footer by reading it back.
fn verify(table: Table, path: &Path, written: u64) -> Result<(), SinkError> {
    let file = File::open(path).map_err(io_error(path))?;
    let footer = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())
        .map_err(|error| encode(table, path, error))?;
    let groups = footer.metadata().row_groups().iter();
    let found: u64 = groups.map(|group| group.num_rows().unsigned_abs()).sum();
    let error = if footer.schema().fields() != table.schema().fields() {
        VerifyError::Columns { found: columns(footer.schema()) }
    } else if found != written {
        VerifyError::Rows { written, found }
    } else {
        return Ok(());
    };
    let source = Box::new(error);
    Err(SinkError::Encode { table: table.name(), path: path.to_owned(), source })
}

fn columns(schema: &Schema) -> String {
    let fields = schema.fields().iter();
    fields.map(|f| format!("{}: {}", f.name(), f.data_type())).collect::<Vec<_>>().join(", ")
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> SinkError + '_ {
    move |source| SinkError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use batchlab_core::record::{MetricRecord, Record};

    use batchlab_testkit::records;

    use super::*;

    #[test]
    fn a_file_with_other_rows_or_columns_is_not_accepted() {
        let dir = tempfile::tempdir().unwrap();
        let ctx = SinkContext {
            dir: dir.path().to_owned(),
            run_id: "run".to_owned(),
            metadata: Vec::new(),
        };
        let file = TableFile::create(Table::Metrics, Parquet::default(), &ctx).unwrap();
        let written = file.finish().unwrap();
        let error = verify(Table::Metrics, &written.path, 3).unwrap_err().to_string();
        assert!(error.contains("3 rows were written, but the file holds 0"), "{error}");
        assert!(error.contains("run.parquet"), "{error}");
        let error = verify(Table::Steps, &written.path, 0).unwrap_err().to_string();
        assert!(error.contains("run_id: Utf8, step: Int64, name: Utf8"), "{error}");

        let bytes = fs::read(&written.path).unwrap();
        fs::write(&written.path, &bytes[..bytes.len() - 20]).unwrap();
        let error = verify(Table::Metrics, &written.path, 0).unwrap_err().to_string();
        assert!(error.contains("run.parquet"), "{error}");
    }

    /// Linux has a device that is always full.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_an_error_of_the_file_and_not_of_the_encoder() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let path = PathBuf::from("metrics/run.parquet");
        let options = Parquet::default();
        let mut file = TableFile::new(Table::Metrics, options, &[], path, full).unwrap();
        let rows = vec![records::metric(); 10];
        file.write(&MetricRecord::to_batch(&rows).unwrap()).unwrap();
        let error = file.finish().unwrap_err();
        let SinkError::Io { path, source } = error else { panic!("{error}") };
        assert_eq!(path, Path::new("metrics/run.parquet"));
        assert_eq!(source.kind(), io::ErrorKind::StorageFull);
    }
}
