//! Tables of results, in Arrow's C interface.

use std::path::{Path, PathBuf};

use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::{RecordBatch, RecordBatchIterator};
use arrow_schema::SchemaRef;
use batchlab_core::record::Table as Kind;
use batchlab_results::ResultsError;
use batchlab_results::read::{TableFile, path_of, published};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::error::value_error;
use crate::interrupt::interruptible;

/// A table that Arrow readers take without a copy.
#[pyclass(frozen, module = "batchlab._batchlab")]
pub(crate) struct Table {
    name: &'static str,
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

impl Table {
    pub(crate) fn new(name: &'static str, rows: RecordBatch) -> Self {
        Self { name, schema: rows.schema(), batches: vec![rows] }
    }
}

#[pymethods]
impl Table {
    fn __len__(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// Names of the columns.
    #[getter]
    fn columns(&self) -> Vec<String> {
        self.schema.fields().iter().map(|field| field.name().clone()).collect()
    }

    /// The table as a stream of batches: Arrow's `PyCapsule` interface. It can be called any
    /// number of times. Every column keeps its type, whatever `requested_schema` is.
    #[pyo3(signature = (requested_schema = None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let _ = requested_schema;
        let batches = self.batches.clone().into_iter().map(Ok);
        let reader = RecordBatchIterator::new(batches, SchemaRef::clone(&self.schema));
        let stream = FFI_ArrowArrayStream::new(Box::new(reader));
        PyCapsule::new_with_value(py, stream, c"arrow_array_stream")
    }

    fn __repr__(&self) -> String {
        let n_column = self.schema.fields().len();
        format!("<{}: {} rows, {n_column} columns>", self.name, self.__len__())
    }
}

/// The six tables of a study by name, and what is wrong with runs that are left out.
#[pyfunction]
pub(crate) fn read(py: Python<'_>, folder: PathBuf) -> PyResult<Tables> {
    interruptible(py, move |_| tables(&folder))?.map_err(value_error)
}

/// The tables by name, and the reasons.
type Tables = (Vec<(&'static str, Table)>, Vec<String>);

fn tables(folder: &Path) -> Result<Tables, ResultsError> {
    let published = published(folder)?;
    let mut damaged: Vec<String> = published.damaged.into_iter().map(|run| run.reason).collect();
    let mut tables = Kind::ALL.map(|kind| Table {
        name: kind.name(),
        schema: kind.schema(),
        batches: Vec::new(),
    });
    for stem in &published.stems {
        match Kind::ALL.map(|kind| rows(folder, kind, stem)).into_iter().collect() {
            Ok(rows) => {
                let rows: Vec<Vec<RecordBatch>> = rows;
                for (table, rows) in tables.iter_mut().zip(rows) {
                    table.batches.extend(rows);
                }
            }
            Err(error) => {
                let error: ResultsError = error;
                damaged.push(error.to_string());
            }
        }
    }
    Ok((tables.map(|table| (table.name, table)).into(), damaged))
}

fn rows(folder: &Path, kind: Kind, stem: &str) -> Result<Vec<RecordBatch>, ResultsError> {
    match TableFile::open_if_there(&path_of(folder, kind, stem))? {
        Some(file) => file.rows(kind)?.collect(),
        None => Ok(Vec::new()),
    }
}
