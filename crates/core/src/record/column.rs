//! Column types.

use std::sync::Arc;
use std::time::SystemTime;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow_schema::{DataType, TimeUnit};

/// A Rust type that can be a column.
pub trait ColumnValue: Sized {
    /// Whether values may be missing. Arrow treats every column as nullable; this says which ones
    /// actually are.
    const IS_OPTIONAL: bool;
    /// Arrow type.
    fn data_type() -> DataType;
    /// Builds a column from values.
    fn array<'a>(values: &mut dyn Iterator<Item = &'a Self>) -> ArrayRef
    where
        Self: 'a;
    /// The values of a column; `None` if it has another type or lacks required values.
    fn values(array: &dyn Array) -> Option<Vec<Self>>;
}

/// Microseconds since 1970 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Converts system time; times before 1970 become 1970.
    #[must_use]
    pub fn of(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

macro_rules! column_value {
    ($($type:ty, $is_optional:literal => $array:ty, $data_type:expr, $value:expr,
        $read:expr, $from:expr;)*) => {$(
        impl ColumnValue for $type {
            const IS_OPTIONAL: bool = $is_optional;
            fn data_type() -> DataType {
                $data_type
            }
            fn array<'a>(values: &mut dyn Iterator<Item = &'a Self>) -> ArrayRef
            where
                Self: 'a,
            {
                Arc::new(<$array>::from_iter(values.map($value)))
            }
            fn values(array: &dyn Array) -> Option<Vec<Self>> {
                $read(array)?.iter().map($from).collect()
            }
        }
    )*};
}

column_value! {
    String, false => StringArray, DataType::Utf8, |v| Some(v.as_str()),
        text, |v| v.map(str::to_owned);
    Option<String>, true => StringArray, DataType::Utf8, |v| v.as_deref(),
        text, |v| Some(v.map(str::to_owned));
    i64, false => Int64Array, DataType::Int64, |v| Some(*v), integers, |v| v;
    Option<i64>, true => Int64Array, DataType::Int64, |v| *v, integers, Some;
    f64, false => Float64Array, DataType::Float64, |v| Some(*v), floats, |v| v;
    Option<f64>, true => Float64Array, DataType::Float64, |v| *v, floats, Some;
    bool, false => BooleanArray, DataType::Boolean, |v| Some(*v), flags, |v| v;
    Option<bool>, true => BooleanArray, DataType::Boolean, |v| *v, flags, Some;
    Timestamp, false => TimestampMicrosecondArray,
        DataType::Timestamp(TimeUnit::Microsecond, None), |v| Some(v.0),
        times, |v| v.map(Timestamp);
    Option<Timestamp>, true => TimestampMicrosecondArray,
        DataType::Timestamp(TimeUnit::Microsecond, None), |v| v.map(|time| time.0),
        times, |v| Some(v.map(Timestamp));
}

fn text(array: &dyn Array) -> Option<&StringArray> {
    array.as_string_opt()
}

fn integers(array: &dyn Array) -> Option<&Int64Array> {
    array.as_primitive_opt::<Int64Type>()
}

fn floats(array: &dyn Array) -> Option<&Float64Array> {
    array.as_primitive_opt::<Float64Type>()
}

fn flags(array: &dyn Array) -> Option<&BooleanArray> {
    array.as_boolean_opt()
}

fn times(array: &dyn Array) -> Option<&TimestampMicrosecondArray> {
    array.as_primitive_opt::<TimestampMicrosecondType>()
}
