//! Result tables as JSON Lines, one file per table and run. Lines reach the file as soon as they
//! are recorded, about once a second, so `tail -f` shows the progress of a run:
//!
//! ```text
//! tail -f <out>/wip/<run_id>/sinks/jsonl/steps/<run_id>.jsonl
//! ```
//!
//! A row is an object with all columns of the table in order. Null is `null`, a time is a text such
//! as `"2026-01-31T12:00:00.000001"`, in UTC. JSON has no NaN and no infinity: such a value is
//! `null`, and the row says what it was in an additional last key, `"not_finite":{"loss":"NaN"}`,
//! with `NaN`, `Infinity` or `-Infinity`. No other row has this key.

use std::io;

use batchlab_core::sink::SinkContext;
use batchlab_core::{RecordWriter, Sink, SinkError};
use batchlab_text::{TextFormat, Value, text_files};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// JSON Lines, one file per table and run, which can be watched with `tail -f` during the run.
/// Files are in `wip/<run_id>/sinks/jsonl/<table>/<run_id>.jsonl` during the run, and in
/// `jsonl/<table>/<run_id>.jsonl` after it has ended.
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

/// The key that lists values that are not finite.
pub const NOT_FINITE: &str = "not_finite";

impl TextFormat for Jsonl {
    const EXTENSION: &'static str = "jsonl";

    fn row(&self, row: &[(&str, Option<Value<'_>>)], text: &mut Vec<u8>) -> io::Result<()> {
        let mut object = Map::new();
        let mut not_finite = Map::new();
        for (name, value) in row {
            let json = match value {
                None => Json::Null,
                Some(Value::Text(value)) => (*value).into(),
                Some(Value::Integer(value)) => (*value).into(),
                Some(Value::Float(value)) => {
                    if let Some(spelling) = not_finite_name(*value) {
                        not_finite.insert((*name).to_owned(), spelling.into());
                    }
                    (*value).into()
                }
                Some(Value::Flag(value)) => (*value).into(),
                Some(Value::Time(value)) => value.as_str().into(),
            };
            object.insert((*name).to_owned(), json);
        }
        if !not_finite.is_empty() {
            object.insert(NOT_FINITE.to_owned(), not_finite.into());
        }
        serde_json::to_writer(&mut *text, &object)?;
        text.push(b'\n');
        Ok(())
    }
}

/// The name of a value that JSON cannot represent and that is written as `null`.
fn not_finite_name(value: f64) -> Option<&'static str> {
    match value {
        _ if value.is_finite() => None,
        _ if value.is_nan() => Some("NaN"),
        f64::INFINITY => Some("Infinity"),
        _ => Some("-Infinity"),
    }
}
