//! The schema of the results: six tables, each described by one struct.
//!
//! A column is named only in its struct, whose documentation is the record dictionary. The schema
//! is a versioned constant: every file contains all columns, in this order and with these types, so
//! that files can be concatenated by any reader. Values that may be unknown are `Option`s: a value
//! that was not measured is null, never 0.
//!
//! Only widely supported types are used: text, signed 64-bit integers, 64-bit floats, booleans, and
//! timestamps in microseconds of UTC without a time zone. Durations are in nanoseconds.

mod column;
mod rows;

use std::fmt;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, new_null_array};
use arrow_schema::{ArrowError, Field, Schema};

pub use column::{ColumnValue, Timestamp};
pub use rows::{BlockRecord, EvalRecord, EventRecord, MetricRecord, RunRecord, StepRecord};

/// Files with another version are rejected.
pub const SCHEMA_VERSION: i64 = 1;

/// The six tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// One row per run.
    Runs,
    /// One row per training step.
    Steps,
    /// One row per evaluation of one subset.
    Evals,
    /// One row per event.
    Events,
    /// One row per named number.
    Metrics,
    /// One row per block of a run in a cell.
    Blocks,
}

impl Table {
    /// All tables.
    pub const ALL: [Self; 6] =
        [Self::Runs, Self::Steps, Self::Evals, Self::Events, Self::Metrics, Self::Blocks];

    /// Name of the table and of its folder.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Runs => RunRecord::NAME,
            Self::Steps => StepRecord::NAME,
            Self::Evals => EvalRecord::NAME,
            Self::Events => EventRecord::NAME,
            Self::Metrics => MetricRecord::NAME,
            Self::Blocks => BlockRecord::NAME,
        }
    }

    /// Description of a row, and the columns.
    #[must_use]
    pub fn dictionary(self) -> (&'static str, &'static [Column]) {
        match self {
            Self::Runs => (RunRecord::DESCRIPTION, RunRecord::COLUMNS),
            Self::Steps => (StepRecord::DESCRIPTION, StepRecord::COLUMNS),
            Self::Evals => (EvalRecord::DESCRIPTION, EvalRecord::COLUMNS),
            Self::Events => (EventRecord::DESCRIPTION, EventRecord::COLUMNS),
            Self::Metrics => (MetricRecord::DESCRIPTION, MetricRecord::COLUMNS),
            Self::Blocks => (BlockRecord::DESCRIPTION, BlockRecord::COLUMNS),
        }
    }

    /// The Arrow schema. Every column may be null.
    #[must_use]
    pub fn schema(self) -> Arc<Schema> {
        let (_, columns) = self.dictionary();
        let fields = columns.iter().map(|c| Field::new(c.name, (c.data_type)(), true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// Rows with exactly the columns of the schema, in schema order; missing optional columns are
    /// null.
    ///
    /// # Errors
    /// A required column that is missing, or a column of another type.
    pub fn conform(self, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let conformed = self.dictionary().1.iter().map(|column| column.find(rows));
        RecordBatch::try_new(self.schema(), conformed.collect::<Result<_, _>>()?)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One column of a table.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Name.
    pub name: &'static str,
    /// Description, with the unit.
    pub description: &'static str,
    /// Whether values may be missing.
    pub is_optional: bool,
    /// Arrow type.
    pub data_type: fn() -> arrow_schema::DataType,
}

impl Column {
    /// Extracts this column from `rows`.
    fn find(&self, rows: &RecordBatch) -> Result<ArrayRef, ArrowError> {
        let data_type = (self.data_type)();
        match rows.column_by_name(self.name) {
            Some(found) if *found.data_type() == data_type => Ok(found.clone()),
            None if self.is_optional => Ok(new_null_array(&data_type, rows.num_rows())),
            None => Err(ArrowError::SchemaError(format!("column \"{}\" is missing", self.name))),
            Some(found) => Err(ArrowError::SchemaError(format!(
                "column \"{}\" is of type {}, not {data_type}",
                self.name,
                found.data_type()
            ))),
        }
    }
}

/// A row of a table.
pub trait Record: Sized {
    /// The table of these rows.
    const TABLE: Table;

    /// Converts rows to columns with the schema of the table.
    ///
    /// # Errors
    /// Never for rows of this type; the error type is Arrow's.
    fn to_batch(rows: &[Self]) -> Result<RecordBatch, ArrowError>;

    /// Converts columns to rows; columns are found by name ([`Table::conform`]).
    ///
    /// # Errors
    /// A column that is missing, has another type, or lacks required values.
    fn from_batch(batch: &RecordBatch) -> Result<Vec<Self>, ArrowError>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_schema::DataType;

    #[test]
    fn rows_become_columns_with_nulls() {
        let rows = [
            MetricRecord { run_id: "a".into(), step: None, name: "x".into(), value: 1.5 },
            MetricRecord { run_id: "a".into(), step: Some(3), name: "y".into(), value: 2.5 },
        ];
        let batch = MetricRecord::to_batch(&rows).unwrap();
        assert_eq!(batch.num_rows(), 2);
        assert_eq!(batch.column_by_name("step").unwrap().null_count(), 1);
    }

    #[test]
    fn rows_come_back_from_columns_in_any_order() {
        let rows = [None, Some(i64::MIN)].map(|step| EventRecord {
            run_id: "a".into(),
            at: Some(Timestamp(-1)),
            step,
            kind: "note".into(),
            message: String::new(),
            payload: step.map(|step| step.to_string()),
        });
        let batch = EventRecord::to_batch(&rows).unwrap();
        let backwards: Vec<usize> = (0..batch.num_columns()).rev().collect();
        let batch = batch.project(&backwards).unwrap();
        assert_eq!(EventRecord::from_batch(&batch).unwrap(), rows);
        // `payload` is missing, but optional.
        let without: Vec<usize> = (1..batch.num_columns()).collect();
        let without = batch.project(&without).unwrap();
        assert!(EventRecord::from_batch(&without).unwrap().iter().all(|row| row.payload.is_none()));
        let error = StepRecord::from_batch(&batch).unwrap_err().to_string();
        assert!(error.contains("column \"epoch\" is missing"), "{error}");
    }

    #[test]
    fn every_column_has_a_description_and_a_portable_type() {
        for table in Table::ALL {
            let (description, columns) = table.dictionary();
            assert!(!description.is_empty());
            for column in columns {
                assert!(!column.description.trim().is_empty(), "{table}.{}", column.name);
            }
            for field in table.schema().fields() {
                let portable = matches!(
                    field.data_type(),
                    DataType::Utf8
                        | DataType::Int64
                        | DataType::Float64
                        | DataType::Boolean
                        | DataType::Timestamp(_, None)
                );
                assert!(portable && field.is_nullable(), "{table}.{field}");
            }
        }
    }

    #[test]
    fn durations_end_in_ns_and_are_integers() {
        for table in Table::ALL {
            for column in table.dictionary().1.iter().filter(|c| c.name.ends_with("_ns")) {
                assert_eq!((column.data_type)(), DataType::Int64, "{table}.{}", column.name);
            }
        }
    }
}
