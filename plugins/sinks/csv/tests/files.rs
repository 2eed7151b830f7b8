//! Output of the sink, read back by an RFC 4180 reader that knows whether a cell was quoted, and by
//! the one of the `csv` crate.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow_schema::DataType;
use batchlab_core::Sink;
use batchlab_core::record::{EventRecord, MetricRecord, Record, Table, Timestamp};
use batchlab_core::registry::{self, Kind};
use batchlab_core::sink::SinkContext;
use batchlab_testkit::records;
use batchlab_testkit::rows::rows;
use proptest::prelude::*;
use sink_csv::Csv;

fn context(dir: &Path) -> SinkContext {
    SinkContext { dir: dir.to_owned(), run_id: "run".into(), metadata: Vec::new() }
}

fn write(options: Csv, table: Table, rows: &[RecordBatch]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = options.open(&context(dir.path())).unwrap();
    for rows in rows {
        writer.write(table, rows).unwrap();
    }
    let written = writer.finish().unwrap();
    let n_row: usize = rows.iter().map(RecordBatch::num_rows).sum();
    let file = written.iter().find(|file| file.table == table).unwrap();
    assert_eq!(file.n_row, n_row as u64);
    assert_eq!(file.path, dir.path().join(table.name()).join("run.csv"));
    fs::read_to_string(&file.path).unwrap()
}

/// Records of cells; `None` is nothing between two commas, not even quotes.
fn parse(text: &str) -> Vec<Vec<Option<String>>> {
    let mut records = vec![vec![]];
    let mut rest = text;
    while !rest.is_empty() {
        let cell = if let Some(inner) = rest.strip_prefix('"') {
            let mut cell = String::new();
            rest = inner;
            loop {
                let (before, after) = rest.split_once('"').expect("a closing quote");
                cell += before;
                let Some(more) = after.strip_prefix('"') else {
                    rest = after;
                    break Some(cell);
                };
                cell.push('"');
                rest = more;
            }
        } else {
            let (cell, after) = rest.split_at(rest.find([',', '\r']).unwrap());
            rest = after;
            (!cell.is_empty()).then(|| cell.to_owned())
        };
        records.last_mut().unwrap().push(cell);
        if let Some(more) = rest.strip_prefix(',') {
            rest = more;
        } else {
            rest = rest.strip_prefix("\r\n").expect("the end of a record");
            records.push(vec![]);
        }
    }
    assert_eq!(records.pop(), Some(vec![]), "the last line is complete");
    records
}

/// Microseconds since 1970.
fn time_from_text(text: &str) -> i64 {
    let time = humantime::parse_rfc3339(&format!("{text}Z")).unwrap();
    let since = time.duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_micros()).unwrap()
}

/// Cells as a table, with the guard removed.
fn read(table: Table, text: &str) -> RecordBatch {
    let records = parse(text);
    let schema = table.schema();
    let header: Vec<_> = schema.fields().iter().map(|f| Some(f.name().clone())).collect();
    assert_eq!(records[0], header);
    let column = |(n, field): (usize, &Arc<arrow_schema::Field>)| -> ArrayRef {
        let cells = records[1..].iter().map(|record| record[n].as_deref());
        match field.data_type() {
            DataType::Utf8 => {
                let unguarded = |text: &'_ str| text.strip_prefix('\'').unwrap_or(text).to_owned();
                Arc::new(cells.map(|c| c.map(unguarded)).collect::<StringArray>())
            }
            DataType::Int64 => {
                Arc::new(cells.map(|c| c.map(|c| c.parse().unwrap())).collect::<Int64Array>())
            }
            DataType::Float64 => Arc::new(
                cells.map(|c| c.map(|c| c.parse::<f64>().unwrap())).collect::<Float64Array>(),
            ),
            DataType::Boolean => Arc::new(
                cells.map(|c| c.map(|c| c.parse::<bool>().unwrap())).collect::<BooleanArray>(),
            ),
            _ => Arc::new(
                cells.map(|c| c.map(time_from_text)).collect::<TimestampMicrosecondArray>(),
            ),
        }
    };
    let columns = schema.fields().iter().enumerate().map(column).collect();
    RecordBatch::try_new(schema.clone(), columns).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn rows_of_all_tables_come_back_as_they_were(
        table in prop::sample::select(&Table::ALL[..]).prop_flat_map(|table| (Just(table), rows(table)))
    ) {
        let (table, rows) = table;
        let half = rows.num_rows() / 2;
        let parts = [rows.slice(0, half), rows.slice(half, rows.num_rows() - half)];
        let text = write(Csv::default(), table, &parts);
        // NaN differs from itself, but not when printed; so do 0 and -0.
        prop_assert_eq!(format!("{:?}", read(table, &text)), format!("{rows:?}"));
        // Another reader sees the same cells, except for the difference between null and empty.
        let mut other = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
        let cells: Vec<Vec<String>> = other
            .records()
            .map(|record| record.unwrap().iter().map(str::to_owned).collect())
            .collect();
        let own: Vec<Vec<String>> = parse(&text)
            .into_iter()
            .map(|record| record.into_iter().map(Option::unwrap_or_default).collect())
            .collect();
        prop_assert_eq!(cells, own);
    }
}

#[test]
fn null_and_empty_and_formulas_are_told_apart() {
    let event = |message: &str, step| EventRecord {
        run_id: "a".into(),
        at: Some(Timestamp(0)),
        step,
        kind: String::new(),
        message: message.into(),
        payload: step.map(|_| String::new()),
    };
    let rows = [event("=1+1", Some(-1)), event("'=1+1", None), event("a=1, \"b\"", None)];
    let rows = EventRecord::to_batch(&rows).unwrap();
    let text = write(Csv::default(), Table::Events, std::slice::from_ref(&rows));
    let lines: Vec<&str> = text.split("\r\n").collect();
    let time = "1970-01-01T00:00:00.000000";
    assert_eq!(
        lines,
        [
            "run_id,at,step,kind,message,payload",
            &format!("\"a\",{time},-1,\"\",\"'=1+1\",\"\""),
            &format!("\"a\",{time},,\"\",\"''=1+1\","),
            &format!("\"a\",{time},,\"\",\"a=1, \"\"b\"\"\","),
            "",
        ]
    );
    let unguarded = write(Csv { guard_formulas: false }, Table::Events, &[rows]);
    assert!(unguarded.contains(",\"=1+1\","), "{unguarded}");
    assert!(unguarded.contains(",\"'=1+1\","), "{unguarded}");
}

#[test]
fn no_number_is_guarded_and_none_loses_a_bit() {
    let values =
        [-0.1 - 0.2, f64::MIN_POSITIVE, -0.0, 1e300, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    let row = |value| MetricRecord { name: "-x".into(), value, ..records::metric() };
    let rows = MetricRecord::to_batch(&values.map(row)).unwrap();
    let text = write(Csv::default(), Table::Metrics, &[rows]);
    let cells: Vec<&str> =
        text.lines().skip(1).map(|line| line.rsplit_once(',').unwrap().1).collect();
    assert_eq!(
        cells,
        ["-0.30000000000000004", "2.2250738585072014e-308", "-0.0", "1e300", "NaN", "inf", "-inf"]
    );
}

#[test]
fn a_table_without_rows_has_its_header() {
    for table in Table::ALL {
        let text = write(Csv::default(), table, &[]);
        assert_eq!(read(table, &text), RecordBatch::new_empty(table.schema()));
    }
}

#[test]
fn files_are_not_overwritten_and_stay_inside_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    let first = Csv::default().open(&context(dir.path())).unwrap();
    let error = Csv::default().open(&context(dir.path())).err().unwrap().to_string();
    assert!(error.contains("run.csv"), "{error}");
    first.finish().unwrap();
    let outside = SinkContext { run_id: "../run".into(), ..context(dir.path()) };
    let error = Csv::default().open(&outside).err().unwrap().to_string();
    assert!(error.contains("cannot be the stem of a file name"), "{error}");
}

#[test]
fn rows_of_another_table_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Csv::default().open(&context(dir.path())).unwrap();
    let rows = MetricRecord::to_batch(&[records::metric()]).unwrap();
    let error = writer.write(Table::Steps, &rows).unwrap_err().to_string();
    assert!(error.contains("\"steps\"") && error.contains("name: Utf8, value: Float64"), "{error}");
}

#[test]
fn it_is_registered_with_its_option() {
    let registration = registry::find(Kind::Sink, "csv").expect("registered");
    assert_eq!((registration.example)()["guard_formulas"], true);
    let table = "name = \"csv\"\nguard_formula = false\n";
    let error = registration.read_table(&toml::de::DeTable::parse(table).unwrap()).unwrap_err();
    assert!(error.message().contains("guard_formulas"), "{error}");
}
