//! Files of text, one per table and run, for sinks that write line by line.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, Schema};

use batchlab_core::record::Table;
use batchlab_core::sink::{SinkContext, WrittenFile, is_file_stem};
use batchlab_core::{RecordWriter, SinkError};

/// How rows become text.
pub trait TextFormat: Send {
    /// Ending of the files, without the dot.
    fn extension(&self) -> &'static str;

    /// What a file begins with; nothing by default.
    ///
    /// # Errors
    /// Whatever the encoder says.
    fn head(&self, _schema: &Schema, _text: &mut Vec<u8>) -> Result<(), ArrowError> {
        Ok(())
    }

    /// Appends complete lines for rows of a table.
    ///
    /// # Errors
    /// Rows that cannot be written in this format.
    fn rows(&self, rows: &RecordBatch, text: &mut Vec<u8>) -> Result<(), ArrowError>;
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
    fn create(table: Table, format: &dyn TextFormat, ctx: &SinkContext) -> Result<Self, SinkError> {
        let folder = ctx.dir.join(table.name());
        let path = folder.join(format!("{}.{}", ctx.run_id, format.extension()));
        if !is_file_stem(&ctx.run_id) {
            let message = format!("\"{}\" cannot be the stem of a file name", ctx.run_id);
            let source = io::Error::new(io::ErrorKind::InvalidInput, message);
            return Err(SinkError::Io { path, source });
        }
        fs::create_dir_all(&folder).map_err(io_error(&folder))?;
        let file = File::create_new(&path).map_err(io_error(&path))?;
        let mut new = Self { table, path, file, n_row: 0, n_byte: 0, text: Vec::new() };
        let head = format.head(&table.schema(), &mut new.text);
        head.map_err(|error| new.encode(error))?;
        new.append()?;
        Ok(new)
    }

    fn write(&mut self, format: &dyn TextFormat, rows: &RecordBatch) -> Result<(), SinkError> {
        let schema = self.table.schema();
        if rows.schema().fields() != schema.fields() {
            let fields = rows.schema();
            let columns = fields.fields().iter();
            let columns: Vec<String> =
                columns.map(|f| format!("{}: {}", f.name(), f.data_type())).collect();
            let message = format!("rows have other columns: {}", columns.join(", "));
            return Err(self.encode(ArrowError::SchemaError(message)));
        }
        let encoded = format.rows(rows, &mut self.text);
        encoded.map_err(|error| self.encode(error))?;
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
