//! One value as text.

use std::fmt::Write as _;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{
    Array, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow_schema::{ArrowError, DataType, TimeUnit};

use crate::Csv;

/// A column of one of the five types.
pub(crate) enum Column<'a> {
    Text(&'a StringArray),
    Integer(&'a Int64Array),
    Float(&'a Float64Array),
    Flag(&'a BooleanArray),
    Time(&'a TimestampMicrosecondArray),
}

impl<'a> Column<'a> {
    pub(crate) fn of(array: &'a dyn Array) -> Result<Self, ArrowError> {
        Ok(match array.data_type() {
            DataType::Utf8 => Self::Text(array.as_string()),
            DataType::Int64 => Self::Integer(array.as_primitive::<Int64Type>()),
            DataType::Float64 => Self::Float(array.as_primitive::<Float64Type>()),
            DataType::Boolean => Self::Flag(array.as_boolean()),
            DataType::Timestamp(TimeUnit::Microsecond, None) => {
                Self::Time(array.as_primitive::<TimestampMicrosecondType>())
            }
            other => return Err(ArrowError::CsvError(format!("no cell holds a {other}"))),
        })
    }

    fn array(&self) -> &dyn Array {
        match self {
            Self::Text(array) => array,
            Self::Integer(array) => array,
            Self::Float(array) => array,
            Self::Flag(array) => array,
            Self::Time(array) => array,
        }
    }

    /// Appends the value of a row, quoted if it is text; nothing for null.
    pub(crate) fn write(
        &self,
        row: usize,
        options: Csv,
        cell: &mut String,
    ) -> Result<(), ArrowError> {
        if self.array().is_null(row) {
            return Ok(());
        }
        let written = match self {
            Self::Text(array) => {
                quote(array.value(row), options, cell);
                Ok(())
            }
            Self::Integer(array) => write!(cell, "{}", array.value(row)),
            // The fewest digits that read back to the same bits; never without a point or exponent,
            // so that readers that guess see a float.
            Self::Float(array) => write!(cell, "{:?}", array.value(row)),
            Self::Flag(array) => write!(cell, "{}", array.value(row)),
            Self::Time(array) => {
                let time = array.value_as_datetime(row).ok_or_else(|| {
                    let value = array.value(row);
                    ArrowError::CsvError(format!("{value} microseconds are beyond all calendars"))
                })?;
                write!(cell, "{}", time.format("%Y-%m-%dT%H:%M:%S%.6f"))
            }
        };
        written.map_err(|error| ArrowError::CsvError(error.to_string()))
    }
}

fn quote(text: &str, options: Csv, cell: &mut String) {
    cell.push('"');
    if options.guard_formulas && text.starts_with(is_dangerous) {
        cell.push('\'');
    }
    for (n, part) in text.split('"').enumerate() {
        if n > 0 {
            cell.push_str("\"\"");
        }
        cell.push_str(part);
    }
    cell.push('"');
}

/// Begins a formula for a spreadsheet. The apostrophe is here because it is the guard itself: a text
/// that begins with one could not be told from a guarded one.
fn is_dangerous(first: char) -> bool {
    "=+-@'".contains(first) || first.is_control()
}
