//! The types that a column can have.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow_schema::{DataType, TimeUnit};

/// A Rust type that is a column type.
pub trait ColumnValue: Sized {
    /// Whether values may be missing. Every column is nullable for Arrow; this says which ones
    /// make use of it.
    const IS_OPTIONAL: bool;
    /// The Arrow type.
    fn data_type() -> DataType;
    /// The column of these values.
    fn array<'a>(values: &mut dyn Iterator<Item = &'a Self>) -> ArrayRef
    where
        Self: 'a;
}

/// Microseconds of UTC since 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

macro_rules! column_value {
    ($($type:ty, $is_optional:literal => $array:ty, $data_type:expr, $value:expr;)*) => {$(
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
        }
    )*};
}

column_value! {
    String, false => StringArray, DataType::Utf8, |v| Some(v.as_str());
    Option<String>, true => StringArray, DataType::Utf8, |v| v.as_deref();
    i64, false => Int64Array, DataType::Int64, |v| Some(*v);
    Option<i64>, true => Int64Array, DataType::Int64, |v| *v;
    f64, false => Float64Array, DataType::Float64, |v| Some(*v);
    Option<f64>, true => Float64Array, DataType::Float64, |v| *v;
    bool, false => BooleanArray, DataType::Boolean, |v| Some(*v);
    Option<bool>, true => BooleanArray, DataType::Boolean, |v| *v;
    Timestamp, false => TimestampMicrosecondArray, DataType::Timestamp(TimeUnit::Microsecond, None), |v| Some(v.0);
}
