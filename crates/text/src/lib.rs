//! Files of text, one per table and run, for sinks that write line by line.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{ArrowError, DataType, TimeUnit};

use batchlab_core::record::Table;
use batchlab_core::sink::{SinkContext, WrittenFile, is_file_stem};
use batchlab_core::{RecordWriter, SinkError};

pub trait TextFormat: Send {
    /// Ending of the files, without the dot.
    const EXTENSION: &'static str;

    /// What a file begins with; nothing by default.
    fn head(&self, _columns: &[&str], _text: &mut Vec<u8>) {}

    /// Appends a complete line: names of columns and their values, `None` for null.
    ///
    /// # Errors
    /// A row that cannot be written in this format.
    fn row(&self, row: &[(&str, Option<Value<'_>>)], text: &mut Vec<u8>) -> io::Result<()>;
}

/// A value of one of the five types of columns.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    Text(&'a str),
    Integer(i64),
    Float(f64),
    Flag(bool),
    /// Such as `2026-01-31T12:00:00.000001`, in UTC.
    Time(String),
}

impl<'a> Value<'a> {
    fn of(column: &'a dyn Array, row: usize) -> Result<Option<Self>, ArrowError> {
        if column.is_null(row) {
            return Ok(None);
        }
        Ok(Some(match column.data_type() {
            DataType::Utf8 => Self::Text(column.as_string::<i32>().value(row)),
            DataType::Int64 => Self::Integer(column.as_primitive::<Int64Type>().value(row)),
            DataType::Float64 => Self::Float(column.as_primitive::<Float64Type>().value(row)),
            DataType::Boolean => Self::Flag(column.as_boolean().value(row)),
            DataType::Timestamp(TimeUnit::Microsecond, None) => {
                let times = column.as_primitive::<TimestampMicrosecondType>();
                let time = times.value_as_datetime(row).ok_or_else(|| {
                    let value = times.value(row);
                    ArrowError::CastError(format!("{value} microseconds are beyond all calendars"))
                })?;
                Self::Time(time.format("%Y-%m-%dT%H:%M:%S%.6f").to_string())
            }
            other => return Err(ArrowError::CastError(format!("no value is a {other}"))),
        }))
    }
}

/// Opens `<dir>/<table>/<run_id>.<extension>` for every table. Rows are in the file when `write`
/// returns, whole lines at once, so that a file can be watched while it grows.
///
/// # Errors
/// A folder that cannot be written. A file that is there is never overwritten: it belongs to
/// another sink or to a run that did not end.
pub fn text_files(
    ctx: &SinkContext,
    format: impl TextFormat + 'static,
) -> Result<Box<dyn RecordWriter>, SinkError> {
    let open = |table| TextFile::create(table, &format, ctx);
    let files = Table::ALL.into_iter().map(open).collect::<Result<_, _>>()?;
    Ok(Box::new(TextFiles { format, files }))
}

struct TextFiles<F> {
    format: F,
    /// In the order of [`Table::ALL`].
    files: Vec<TextFile>,
}

impl<F: TextFormat> RecordWriter for TextFiles<F> {
    fn write(&mut self, table: Table, rows: &RecordBatch) -> Result<(), SinkError> {
        let file = self.files.iter_mut().find(|file| file.table == table);
        file.expect("every table has a file").write(&self.format, rows)
    }

    fn finish(self: Box<Self>) -> Result<Vec<WrittenFile>, SinkError> {
        self.files.into_iter().map(TextFile::finish).collect()
    }
}

struct TextFile {
    table: Table,
    path: PathBuf,
    file: File,
    n_row: u64,
    n_byte: u64,
    text: Vec<u8>,
}

impl TextFile {
    fn create<F: TextFormat>(
        table: Table,
        format: &F,
        ctx: &SinkContext,
    ) -> Result<Self, SinkError> {
        let folder = ctx.dir.join(table.name());
        let path = folder.join(format!("{}.{}", ctx.run_id, F::EXTENSION));
        if !is_file_stem(&ctx.run_id) {
            let message = format!("\"{}\" cannot be the stem of a file name", ctx.run_id);
            let source = io::Error::new(io::ErrorKind::InvalidInput, message);
            return Err(SinkError::Io { path, source });
        }
        fs::create_dir_all(&folder).map_err(io_error(&folder))?;
        let file = File::create_new(&path).map_err(io_error(&path))?;
        let mut new = Self { table, path, file, n_row: 0, n_byte: 0, text: Vec::new() };
        let schema = table.schema();
        let columns: Vec<&str> =
            schema.fields().iter().map(|field| field.name().as_str()).collect();
        format.head(&columns, &mut new.text);
        new.append()?;
        Ok(new)
    }

    fn write(&mut self, format: &impl TextFormat, rows: &RecordBatch) -> Result<(), SinkError> {
        let schema = self.table.schema();
        if rows.schema().fields() != schema.fields() {
            let fields = rows.schema();
            let columns = fields.fields().iter();
            let columns: Vec<String> =
                columns.map(|f| format!("{}: {}", f.name(), f.data_type())).collect();
            let message = format!("rows have other columns: {}", columns.join(", "));
            return Err(self.encode(ArrowError::SchemaError(message)));
        }
        for row in 0..rows.num_rows() {
            let columns = schema.fields().iter().zip(rows.columns());
            let values = columns
                .map(|(field, column)| Ok((field.name().as_str(), Value::of(&**column, row)?)));
            let written = values
                .collect::<Result<Vec<_>, ArrowError>>()
                .and_then(|values| format.row(&values, &mut self.text).map_err(ArrowError::from));
            written.map_err(|error| self.encode(error))?;
        }
        self.append()?;
        self.n_row += rows.num_rows() as u64;
        Ok(())
    }

    fn append(&mut self) -> Result<(), SinkError> {
        self.file.write_all(&self.text).map_err(io_error(&self.path))?;
        self.n_byte += self.text.len() as u64;
        self.text.clear();
        Ok(())
    }

    /// Waits until everything is on the disk, and asks the system how much that is.
    fn finish(self) -> Result<WrittenFile, SinkError> {
        let Self { table, path, file, n_row, n_byte, .. } = self;
        file.sync_all().map_err(io_error(&path))?;
        let found = fs::metadata(&path).map_err(io_error(&path))?.len();
        if found != n_byte {
            let message = format!("{n_byte} bytes were written, but the file has {found}");
            return Err(io_error(&path)(io::Error::other(message)));
        }
        Ok(WrittenFile { table, path, n_row })
    }

    fn encode(&self, error: ArrowError) -> SinkError {
        let (table, path) = (self.table.name(), self.path.clone());
        SinkError::Encode { table, path, source: Box::new(error) }
    }
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> SinkError + '_ {
    move |source| SinkError::Io { path: path.to_owned(), source }
}
