//! Parquet files as columns of plain values.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::ReportError;

/// Rows that are read at once.
const N_ROW: usize = 1 << 14;

/// The files of one table, in the order of their names. A folder that is missing holds none.
pub(super) fn files(dir: &Path, table: &str) -> Result<Vec<PathBuf>, ReportError> {
    let folder = dir.join("tables").join(table);
    let io = |source| ReportError::Io { path: folder.clone(), source };
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.extension().is_some_and(|extension| extension == "parquet") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// The named columns of a file, some rows at a time.
pub(super) fn rows<'a>(path: &'a Path, names: &[&str]) -> Result<Vec<Rows<'a>>, ReportError> {
    let mut all = Vec::new();
    each(path, names, |rows| {
        all.push(rows);
        Ok(())
    })?;
    Ok(all)
}

/// As [`rows`], without holding all of them in memory.
pub(super) fn each<'a>(
    path: &'a Path,
    names: &[&str],
    mut f: impl FnMut(Rows<'a>) -> Result<(), ReportError>,
) -> Result<(), ReportError> {
    let wrong = |source| ReportError::Parquet { path: path.to_owned(), source };
    let file =
        File::open(path).map_err(|source| ReportError::Io { path: path.to_owned(), source })?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(wrong)?;
    let columns = ProjectionMask::columns(builder.parquet_schema(), names.iter().copied());
    let reader = builder.with_projection(columns).with_batch_size(N_ROW).build().map_err(wrong)?;
    for batch in reader {
        let batch = batch.map_err(|error| wrong(error.into()))?;
        f(Rows { path, batch })?;
    }
    Ok(())
}

/// Some rows of a file.
pub(super) struct Rows<'a> {
    path: &'a Path,
    batch: RecordBatch,
}

impl Rows<'_> {
    pub(super) fn len(&self) -> usize {
        self.batch.num_rows()
    }

    pub(super) fn texts(&self, name: &'static str) -> Result<Vec<Option<String>>, ReportError> {
        let column = self.column(name, &DataType::Utf8, "text")?.as_string::<i32>();
        Ok(column.iter().map(|text| text.map(str::to_owned)).collect())
    }

    pub(super) fn integers(&self, name: &'static str) -> Result<Vec<Option<i64>>, ReportError> {
        let column = self.column(name, &DataType::Int64, "64-bit integer")?;
        Ok(column.as_primitive::<Int64Type>().iter().collect())
    }

    /// Nulls, where files of an older version have no such column.
    pub(super) fn newer_texts(
        &self,
        name: &'static str,
    ) -> Result<Vec<Option<String>>, ReportError> {
        if self.has(name) { self.texts(name) } else { Ok(vec![None; self.len()]) }
    }

    /// Nulls, where files of an older version have no such column.
    pub(super) fn newer_integers(
        &self,
        name: &'static str,
    ) -> Result<Vec<Option<i64>>, ReportError> {
        if self.has(name) { self.integers(name) } else { Ok(vec![None; self.len()]) }
    }

    /// Nulls, where files of an older version have no such column.
    pub(super) fn newer_flags(&self, name: &'static str) -> Result<Vec<Option<bool>>, ReportError> {
        if self.has(name) { self.flags(name) } else { Ok(vec![None; self.len()]) }
    }

    fn has(&self, name: &str) -> bool {
        self.batch.column_by_name(name).is_some()
    }

    pub(super) fn floats(&self, name: &'static str) -> Result<Vec<Option<f64>>, ReportError> {
        let column = self.column(name, &DataType::Float64, "64-bit float")?;
        Ok(column.as_primitive::<Float64Type>().iter().collect())
    }

    pub(super) fn flags(&self, name: &'static str) -> Result<Vec<Option<bool>>, ReportError> {
        Ok(self.column(name, &DataType::Boolean, "flag")?.as_boolean().iter().collect())
    }

    fn column(
        &self,
        column: &'static str,
        data_type: &DataType,
        expected: &'static str,
    ) -> Result<&dyn Array, ReportError> {
        let found =
            self.batch.column_by_name(column).filter(|array| array.data_type() == data_type);
        let error = || ReportError::Column { path: self.path.to_owned(), column, expected };
        found.map(AsRef::as_ref).ok_or_else(error)
    }
}
