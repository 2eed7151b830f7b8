//! Random rows of the result tables, for tests of sinks.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow_schema::DataType;
use batchlab_core::record::Table;
use proptest::option::weighted;
use proptest::prelude::*;

/// The last microsecond of the year 9999.
const LAST_TIME: i64 = 253_402_300_799_999_999;

/// Up to 20 rows of a table. Every column may be null, as the schema allows; texts contain
/// characters that text formats have to escape; floats of all kinds occur, including infinities and
/// NaN, but only the usual NaN.
pub fn rows(table: Table) -> impl Strategy<Value = RecordBatch> {
    (0_usize..20).prop_flat_map(move |n_row| {
        let schema = table.schema();
        let columns: Vec<BoxedStrategy<ArrayRef>> =
            schema.fields().iter().map(|field| column(field.data_type(), n_row)).collect();
        columns.prop_map(move |columns| {
            RecordBatch::try_new(Arc::clone(&schema), columns).expect("columns of the schema")
        })
    })
}

fn column(data_type: &DataType, n_row: usize) -> BoxedStrategy<ArrayRef> {
    match data_type {
        DataType::Utf8 => array::<_, StringArray>(text(), n_row),
        DataType::Int64 => array::<_, Int64Array>(any::<i64>(), n_row),
        DataType::Float64 => array::<_, Float64Array>(float(), n_row),
        DataType::Boolean => array::<_, BooleanArray>(any::<bool>(), n_row),
        _ => array::<_, TimestampMicrosecondArray>(0..=LAST_TIME, n_row),
    }
}

fn array<S, A>(values: S, n_row: usize) -> BoxedStrategy<ArrayRef>
where
    S: Strategy + 'static,
    A: arrow_array::Array + FromIterator<Option<S::Value>> + 'static,
{
    let values = proptest::collection::vec(weighted(0.8, values), n_row);
    values.prop_map(|values| Arc::new(values.into_iter().collect::<A>()) as ArrayRef).boxed()
}

fn text() -> impl Strategy<Value = String> {
    const PARTS: &[&str] = &[
        "",
        ",",
        "\"",
        "\r\n",
        "\n",
        "=",
        "+",
        "-",
        "@",
        "'",
        "\t",
        "\0",
        "ångström",
        "a",
        " ",
        "null",
        "1",
        "\\",
        ";",
    ];
    let part = proptest::sample::select(PARTS);
    let part =
        prop_oneof![4 => part.prop_map(str::to_owned), 1 => any::<char>().prop_map(String::from)];
    proptest::collection::vec(part, 0..6).prop_map(|parts| parts.concat())
}

fn float() -> impl Strategy<Value = f64> {
    const SPECIAL: &[f64] = &[0.0, -0.0, 1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    let kinds = proptest::num::f64::ANY.prop_map(|x| if x.is_nan() { f64::NAN } else { x });
    prop_oneof![3 => kinds, 1 => proptest::sample::select(SPECIAL)]
}
