//! Result tables as CSV (RFC 4180), one file per table and run, for spreadsheets and whoever has
//! nothing better. Parquet is smaller, faster and typed.
//!
//! - The first line names the columns, also when a table has no rows. Lines end in CR LF.
//! - Null is nothing between two commas; an empty text is `""`. All texts are quoted, nothing else
//!   is, so that numbers and texts are told apart.
//! - Floats have as many digits as it takes to read back the same bits, and `NaN`, `inf`, `-inf`.
//! - Times are `2026-01-31T12:00:00.000001`, in UTC.
//! - Texts that a spreadsheet would run as a formula are guarded, see [`Csv::guard_formulas`].

mod cell;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, Schema};
use batchlab_core::sink::SinkContext;
use batchlab_core::{RecordWriter, Sink, SinkError};
use batchlab_text::{TextFormat, text_files};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use cell::Column;

/// CSV files, one per table and run, in `csv/<table>/<run_id>.csv`. Null is nothing, an empty text
/// is `""`; floats read back to the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Csv {
    /// Whether texts that begin with `=`, `+`, `-`, `@`, `'` or a control character get a `'` in
    /// front: spreadsheets run them as formulas otherwise. Take one `'` off the front of a text to
    /// have it back. Numbers are never changed.
    pub guard_formulas: bool,
}

impl Default for Csv {
    fn default() -> Self {
        Self { guard_formulas: true }
    }
}

#[typetag::serde(name = "csv")]
impl Sink for Csv {
    fn open(&self, ctx: &SinkContext) -> Result<Box<dyn RecordWriter>, SinkError> {
        text_files(ctx, *self)
    }
}

batchlab_core::register!(Sink, Csv, example = Csv::default());

impl TextFormat for Csv {
    fn extension(&self) -> &'static str {
        "csv"
    }

    fn head(&self, schema: &Schema, text: &mut Vec<u8>) -> Result<(), ArrowError> {
        let mut writer = writer(text);
        writer.write_record(schema.fields().iter().map(|field| field.name())).map_err(failed)?;
        writer.flush().map_err(|error| failed(error.into()))
    }

    fn rows(&self, rows: &RecordBatch, text: &mut Vec<u8>) -> Result<(), ArrowError> {
        let columns: Vec<Column<'_>> =
            rows.columns().iter().map(|column| Column::of(&**column)).collect::<Result<_, _>>()?;
        let mut writer = writer(text);
        let mut cell = String::new();
        for row in 0..rows.num_rows() {
            for column in &columns {
                cell.clear();
                column.write(row, *self, &mut cell)?;
                writer.write_field(&cell).map_err(failed)?;
            }
            writer.write_record(None::<&[u8]>).map_err(failed)?;
        }
        writer.flush().map_err(|error| failed(error.into()))
    }
}

/// Cells come quoted where they are texts: left to itself, the writer could not tell an empty text
/// from null.
fn writer(text: &mut Vec<u8>) -> csv::Writer<&mut Vec<u8>> {
    csv::WriterBuilder::new()
        .quote_style(csv::QuoteStyle::Never)
        .terminator(csv::Terminator::CRLF)
        .from_writer(text)
}

#[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn failed(error: csv::Error) -> ArrowError {
    ArrowError::CsvError(error.to_string())
}
