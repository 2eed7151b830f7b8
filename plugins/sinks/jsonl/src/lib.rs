//! Result tables as JSON Lines, one file per table and run. Lines are in the file as soon as they
//! are recorded, about once a second, so `tail -f` shows a run at work:
//!
//! ```text
//! tail -f <out>/wip/<run_id>/sinks/jsonl/steps/<run_id>.jsonl
//! ```
//!
//! A row is an object with all columns of the table in their order. Null is `null`, a time is a text
//! such as `"2026-01-31T12:00:00.000001"`, in UTC. JSON has no NaN and no infinity: such a value is
//! `null`, and the row says what it was in one more key at its end,
//! `"not_finite":{"loss":"NaN"}`, with `NaN`, `Infinity` or `-Infinity`. No other row has this key.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{ArrowError, DataType, TimeUnit};
use batchlab_core::sink::SinkContext;
use batchlab_core::{RecordWriter, Sink, SinkError};
use batchlab_text::{TextFormat, text_files};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// JSON Lines, one file per table and run, to be watched with `tail -f` while the run is at work. Files
/// lie in `wip/<run_id>/sinks/jsonl/<table>/<run_id>.jsonl` then, and in `jsonl/<table>/<run_id>.jsonl`
/// when it has ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Jsonl {}

#[typetag::serde(name = "jsonl")]
impl Sink for Jsonl {
    fn open(&self, ctx: &SinkContext) -> Result<Box<dyn RecordWriter>, SinkError> {
        text_files(ctx, *self)
    }
}

batchlab_core::register!(Sink, Jsonl, example = Jsonl::default());

/// The key that says which values are not finite.
pub const NOT_FINITE: &str = "not_finite";

impl TextFormat for Jsonl {
    fn extension(&self) -> &'static str {
        "jsonl"
    }

    fn rows(&self, rows: &RecordBatch, text: &mut Vec<u8>) -> Result<(), ArrowError> {
        let schema = rows.schema();
        for row in 0..rows.num_rows() {
            let mut object = Map::new();
            let mut not_finite = Map::new();
            for (field, column) in schema.fields().iter().zip(rows.columns()) {
                let value = match cell(&**column, row)? {
                    Cell::Json(value) => value,
                    Cell::NotFinite(name) => {
                        not_finite.insert(field.name().clone(), name.into());
                        Value::Null
                    }
                };
                object.insert(field.name().clone(), value);
            }
            if !not_finite.is_empty() {
                object.insert(NOT_FINITE.to_owned(), not_finite.into());
            }
            let written = serde_json::to_writer(&mut *text, &object);
            written.map_err(|error| ArrowError::JsonError(error.to_string()))?;
            text.push(b'\n');
        }
        Ok(())
    }
}

/// A value as JSON has it, or the name of one that JSON has not.
enum Cell {
    Json(Value),
    NotFinite(&'static str),
}

fn cell(column: &dyn Array, row: usize) -> Result<Cell, ArrowError> {
    if column.is_null(row) {
        return Ok(Cell::Json(Value::Null));
    }
    Ok(Cell::Json(match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value(row).into(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).into(),
        DataType::Float64 => match column.as_primitive::<Float64Type>().value(row) {
            value if value.is_finite() => value.into(),
            value if value.is_nan() => return Ok(Cell::NotFinite("NaN")),
            value if value > 0.0 => return Ok(Cell::NotFinite("Infinity")),
            _ => return Ok(Cell::NotFinite("-Infinity")),
        },
        DataType::Boolean => column.as_boolean().value(row).into(),
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            let times = column.as_primitive::<TimestampMicrosecondType>();
            let time = times.value_as_datetime(row).ok_or_else(|| {
                let value = times.value(row);
                ArrowError::JsonError(format!("{value} microseconds are beyond all calendars"))
            })?;
            time.format("%Y-%m-%dT%H:%M:%S%.6f").to_string().into()
        }
        other => return Err(ArrowError::JsonError(format!("no value is a {other}"))),
    }))
}
