//! Published files, of any version of the schema, as rows of the present one.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use arrow_array::{Array, RecordBatch, new_null_array};
use arrow_schema::ArrowError;
use batchlab_core::record::{ColumnValue, Table};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;

use crate::ExportError;

/// Rows that are read at once.
const N_ROW: usize = 1 << 14;

/// Names of the published files of a study, without ending: usually one per run. A name stands for
/// one file in each table; those of all tables are joined.
///
/// # Errors
/// A folder without results, or one that cannot be read.
pub fn stems(dir: &Path) -> Result<BTreeSet<String>, ExportError> {
    let mut stems = BTreeSet::new();
    for table in Table::ALL {
        let folder = dir.join("tables").join(table.name());
        if !folder.is_dir() {
            continue;
        }
        for entry in std::fs::read_dir(&folder).map_err(ExportError::io(&folder))? {
            let path = entry.map_err(ExportError::io(&folder))?.path();
            if path.extension().is_some_and(|extension| extension == "parquet") {
                stems.extend(path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned));
            }
        }
    }
    if stems.is_empty() {
        return Err(ExportError::NoTables { dir: dir.to_owned() });
    }
    Ok(stems)
}

/// Where the file of that name lies.
#[must_use]
pub fn path_of(dir: &Path, table: Table, stem: &str) -> PathBuf {
    dir.join("tables").join(table.name()).join(format!("{stem}.parquet"))
}

/// Gives the rows of a published file to `each`, some at a time, with exactly the columns of the
/// present schema; those that the file's version did not have are null. A file that is not there
/// has no rows. Returns the pairs of key and value in the file's footer.
///
/// # Errors
/// A damaged file, a column of another type, whatever `each` returns.
pub fn each(
    dir: &Path,
    table: Table,
    stem: &str,
    mut each: impl FnMut(&RecordBatch) -> Result<(), ExportError>,
) -> Result<Vec<(String, String)>, ExportError> {
    let path = path_of(dir, table, stem);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let wrong = |source| ExportError::Parquet { path: path.clone(), source };
    let file = File::open(&path).map_err(ExportError::io(&path))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(wrong)?;
    let pairs =
        builder.metadata().file_metadata().key_value_metadata().cloned().unwrap_or_default();
    for rows in builder.with_batch_size(N_ROW).build().map_err(wrong)? {
        each(&of_present_schema(table, &path, &rows.map_err(|error| wrong(error.into()))?)?)?;
    }
    // Arrow's own entry speaks of the columns of this very file.
    let pairs = pairs.into_iter().filter(|pair| pair.key != "ARROW:schema");
    Ok(pairs.filter_map(|pair| Some((pair.key, pair.value?))).collect())
}

fn of_present_schema(
    table: Table,
    path: &Path,
    rows: &RecordBatch,
) -> Result<RecordBatch, ExportError> {
    let schema = table.schema();
    let column = |field: &arrow_schema::FieldRef| {
        let Some(column) = rows.column_by_name(field.name()) else {
            return Ok(new_null_array(field.data_type(), rows.num_rows()));
        };
        if column.data_type() == field.data_type() {
            return Ok(column.clone());
        }
        Err(ExportError::Column {
            path: path.to_owned(),
            column: field.name().clone(),
            found: column.data_type().to_string(),
            expected: field.data_type().to_string(),
        })
    };
    let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(schema, columns).map_err(|error: ArrowError| ExportError::Parquet {
        path: path.to_owned(),
        source: ParquetError::ArrowError(error.to_string()),
    })
}

/// The values of a column of the present schema.
///
/// # Panics
/// If the schema has no such column of this type.
#[must_use]
pub fn column<T>(rows: &RecordBatch, name: &str) -> Vec<Option<T>>
where
    Option<T>: ColumnValue,
{
    let column: Option<&dyn Array> = rows.column_by_name(name).map(AsRef::as_ref);
    column
        .and_then(<Option<T> as ColumnValue>::values)
        .unwrap_or_else(|| panic!("the schema has no column \"{name}\" of this type"))
}
