//! Output of the sink, read back by Arrow's JSON reader.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, Float64Array, RecordBatch};
use arrow_schema::DataType;
use batchlab_core::Sink;
use batchlab_core::record::{MetricRecord, Record, Table};
use batchlab_core::sink::SinkContext;
use batchlab_testkit::records;
use batchlab_testkit::rows::rows;
use proptest::prelude::*;
use sink_jsonl::{Jsonl, NOT_FINITE};

fn context(dir: &Path) -> SinkContext {
    SinkContext { dir: dir.to_owned(), run_id: "run".into(), metadata: Vec::new() }
}

fn read(table: Table, text: &str) -> RecordBatch {
    let mut reader = arrow_json::ReaderBuilder::new(table.schema())
        .with_batch_size(1000)
        .build(Cursor::new(text))
        .unwrap();
    let rows = reader.next().map_or_else(|| RecordBatch::new_empty(table.schema()), Result::unwrap);
    let notes: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let schema = table.schema();
    let columns = rows.columns().iter().zip(schema.fields().iter()).map(|(column, field)| {
        if field.data_type() != &DataType::Float64 {
            return Arc::clone(column);
        }
        let column = column.as_primitive::<Float64Type>();
        let value = |row: usize| match notes[row][NOT_FINITE][field.name()].as_str() {
            Some("NaN") => Some(f64::NAN),
            Some("Infinity") => Some(f64::INFINITY),
            Some("-Infinity") => Some(f64::NEG_INFINITY),
            Some(other) => panic!("{other} is no number"),
            None => column.is_valid(row).then(|| column.value(row)),
        };
        Arc::new((0..column.len()).map(value).collect::<Float64Array>()) as Arc<dyn Array>
    });
    RecordBatch::try_new(table.schema(), columns.collect()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn rows_of_all_tables_come_back_as_they_were(
        table in prop::sample::select(&Table::ALL[..]).prop_flat_map(|table| (Just(table), rows(table)))
    ) {
        let (table, rows) = table;
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Jsonl::default().open(&context(dir.path())).unwrap();
        writer.write(table, &rows.slice(0, rows.num_rows() / 2)).unwrap();
        writer.write(table, &rows.slice(rows.num_rows() / 2, rows.num_rows().div_ceil(2))).unwrap();
        let written = writer.finish().unwrap();
        prop_assert_eq!(written.len(), Table::ALL.len());
        let file = written.iter().find(|file| file.table == table).unwrap();
        prop_assert_eq!(file.n_row, rows.num_rows() as u64);
        let text = fs::read_to_string(&file.path).unwrap();
        prop_assert_eq!(text.lines().count(), rows.num_rows());
        // NaN differs from itself, but not when printed; so do 0 and -0.
        prop_assert_eq!(format!("{:?}", read(table, &text)), format!("{rows:?}"));
    }
}

#[test]
fn a_line_is_there_as_soon_as_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Jsonl::default().open(&context(dir.path())).unwrap();
    let path = dir.path().join("metrics/run.jsonl");
    for n in 1..4 {
        let row = MetricRecord { name: "x".into(), value: f64::NAN, ..records::metric() };
        writer.write(Table::Metrics, &MetricRecord::to_batch(&[row]).unwrap()).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), n);
        assert_eq!(
            text.lines().last(),
            Some(
                r#"{"run_id":"","step":null,"name":"x","value":null,"not_finite":{"value":"NaN"}}"#
            )
        );
        assert!(text.ends_with('\n'));
    }
}
