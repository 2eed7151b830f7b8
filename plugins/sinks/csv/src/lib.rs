//! Result tables as CSV (RFC 4180), one file per table and run, for spreadsheets and other tools
//! that cannot read Parquet, which is smaller, faster and typed.
//!
//! - The first line names the columns, even if a table has no rows. Lines end in CR LF.
//! - Null is an empty field; an empty text is `""`. All texts are quoted, and nothing else is, so
//!   a text is never mistaken for a number.
//! - Floats have as many digits as needed to read back the same bits, and `NaN`, `inf`, `-inf`.
//! - Times are `2026-01-31T12:00:00.000001`, in UTC.
//! - Texts that a spreadsheet would run as a formula are guarded, see [`Csv::guard_formulas`].

use std::io::{self, Write as _};

use batchlab_core::sink::SinkContext;
use batchlab_core::{RecordWriter, Sink, SinkError};
use batchlab_text::{TextFormat, Value, text_files};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// CSV files, one per table and run, in `csv/<table>/<run_id>.csv`. Null is nothing, an empty text
/// is `""`; floats read back to the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Csv {
    /// Whether to prefix texts that begin with `=`, `+`, `-`, `@`, `'` or a control character with
    /// a `'`, because spreadsheets would run them as formulas. Remove one leading `'` to restore a
    /// text. Numbers are never changed.
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
    const EXTENSION: &'static str = "csv";

    fn head(&self, columns: &[&str], text: &mut Vec<u8>) {
        text.extend(columns.join(",").bytes());
        text.extend(b"\r\n");
    }

    fn row(&self, row: &[(&str, Option<Value<'_>>)], text: &mut Vec<u8>) -> io::Result<()> {
        for (column, (_, value)) in row.iter().enumerate() {
            if column > 0 {
                text.push(b',');
            }
            match value {
                None => {}
                Some(Value::Text(value)) => self.quote(value, text),
                Some(Value::Integer(value)) => write!(text, "{value}")?,
                // The shortest form that reads back to the same bits, always with a point or
                // exponent, so that readers that infer types see a float.
                Some(Value::Float(value)) => write!(text, "{value:?}")?,
                Some(Value::Flag(value)) => write!(text, "{value}")?,
                Some(Value::Time(value)) => text.extend(value.bytes()),
            }
        }
        text.extend(b"\r\n");
        Ok(())
    }
}

impl Csv {
    /// Always quoted, so that an empty text is not null.
    fn quote(self, value: &str, text: &mut Vec<u8>) {
        text.push(b'"');
        if self.guard_formulas && value.starts_with(is_dangerous) {
            text.push(b'\'');
        }
        text.extend(value.replace('"', "\"\"").bytes());
        text.push(b'"');
    }
}

/// Whether it starts a formula in a spreadsheet. The apostrophe is included because it is the guard
/// itself: a text that begins with one would be indistinguishable from a guarded one.
fn is_dangerous(first: char) -> bool {
    "=+-@'".contains(first) || first.is_control()
}
