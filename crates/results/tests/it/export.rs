//! Exports of published tables.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::fs::{self, File};
use std::path::Path;

use arrow_array::RecordBatch;
use batchlab_core::Sink;
use batchlab_core::record::{
    EvalRecord, EventRecord, Record, RunRecord, StepRecord, Table, Timestamp,
};
use batchlab_core::sink::SinkContext;
use batchlab_results::export::{to_sink, to_tensorboard};
use batchlab_testkit::records;
use parquet::arrow::ArrowWriter;
use prost::Message;
use sink_csv::Csv;
use sink_parquet::Parquet;

fn run_rows() -> Vec<(Table, RecordBatch)> {
    let run = RunRecord {
        run_id: "a".into(),
        started_at: Some(Timestamp(1_700_000_000_250_000)),
        cell: Some("cell".into()),
        ..records::run("")
    };
    let step = |step| StepRecord {
        run_id: "a".into(),
        step,
        n_graph: 30,
        n_output: 30,
        step_ns: 2_000_000,
        loss: if step == 3 { f64::NAN } else { 0.0 },
        learning_rate: 1e-3,
        block: Some(1),
        is_timing_only: Some(step == 4),
        ..records::step(1)
    };
    let eval = |step, subset: &str| EvalRecord {
        run_id: "a".into(),
        step,
        subset: subset.into(),
        loss: Some(0.0),
        rmse: Some(0.5),
        mae: Some(0.25),
        eval_ns: Some(4_000_000),
        ..records::eval(0)
    };
    let event = EventRecord { run_id: "a".into(), message: "=1".into(), ..records::event() };
    vec![
        (Table::Runs, RunRecord::to_batch(&[run]).unwrap()),
        (Table::Steps, StepRecord::to_batch(&[1, 2, 3, 4].map(step)).unwrap()),
        (
            Table::Evals,
            EvalRecord::to_batch(&[eval(0, "test"), eval(2, "test"), eval(2, "train")]).unwrap(),
        ),
        (Table::Events, EventRecord::to_batch(&[event]).unwrap()),
    ]
}

/// Files as published by a run of this version.
fn publish(dir: &Path) {
    let ctx = SinkContext {
        dir: dir.join("tables"),
        run_id: "a".into(),
        metadata: vec![("config_hash".into(), "4f5e".into())],
    };
    let mut writer = Parquet::default().open(&ctx).unwrap();
    for (table, rows) in run_rows() {
        writer.write(table, &rows).unwrap();
    }
    writer.finish().unwrap();
}

/// The same file without the named column.
fn publish_without(dir: &Path, table: Table, without: &str) {
    let (_, rows) = run_rows().into_iter().find(|(own, _)| *own == table).unwrap();
    let keep: Vec<usize> =
        (0..rows.num_columns()).filter(|&n| rows.schema().field(n).name() != without).collect();
    let rows = rows.project(&keep).unwrap();
    let path = dir.join("tables").join(table.name()).join("a.parquet");
    let mut writer =
        ArrowWriter::try_new(File::create(path).unwrap(), rows.schema(), None).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
}

#[test]
fn an_export_is_what_the_sink_would_have_written() {
    let dir = tempfile::tempdir().unwrap();
    publish(dir.path());
    let out = dir.path().join("out");
    let exported = to_sink(dir.path(), &out, &Csv::default()).unwrap();
    assert_eq!((exported.files.len(), exported.n_row), (6, 9));

    let live = dir.path().join("live");
    let ctx = SinkContext { dir: live.clone(), run_id: "a".into(), metadata: Vec::new() };
    let mut writer = Csv::default().open(&ctx).unwrap();
    for (table, rows) in run_rows() {
        writer.write(table, &rows).unwrap();
    }
    writer.finish().unwrap();
    for table in Table::ALL {
        let file =
            |folder: &Path| fs::read_to_string(folder.join(table.name()).join("a.csv")).unwrap();
        assert_eq!(file(&out.join("csv")), file(&live), "{table}");
    }
    // No unfinished files are left, and a second export replaces the first.
    assert_eq!(fs::read_dir(out.join("csv")).unwrap().count(), 6);
    assert_eq!(to_sink(dir.path(), &out, &Csv::default()).unwrap(), exported);
}

#[test]
fn columns_that_a_file_lacks_are_null() {
    let dir = tempfile::tempdir().unwrap();
    publish(dir.path());
    let out = dir.path().join("out");
    let header = |table: &str| {
        let text = fs::read_to_string(out.join("csv").join(table).join("a.csv")).unwrap();
        text.lines().next().unwrap().to_owned()
    };
    to_sink(dir.path(), &out, &Csv::default()).unwrap();
    let before = (header("runs"), header("steps"));
    publish_without(dir.path(), Table::Runs, "cell");
    publish_without(dir.path(), Table::Steps, "block");
    to_sink(dir.path(), &out, &Csv::default()).unwrap();
    assert_eq!((header("runs"), header("steps")), before);
    let text = fs::read_to_string(out.join("csv/runs/a.csv")).unwrap();
    assert!(!text.contains("\"cell\"") && text.contains(",,"), "{text}");
}

/// The fields of TensorFlow's `event.proto` that scalars need.
#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

/// The records of an event file, whose checksums are right.
fn events(mut bytes: &[u8]) -> Vec<Event> {
    let checked = |bytes: &mut &[u8], n: usize| -> Vec<u8> {
        let (data, rest) = bytes.split_at(n);
        let (checksum, rest) = rest.split_first_chunk().unwrap();
        let expected = crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8);
        assert_eq!(u32::from_le_bytes(*checksum), expected);
        *bytes = rest;
        data.to_vec()
    };
    let mut events = Vec::new();
    while !bytes.is_empty() {
        let length = checked(&mut bytes, 8).try_into().map(u64::from_le_bytes).unwrap();
        let data = checked(&mut bytes, length as usize);
        events.push(Event::decode(&*data).unwrap());
    }
    events
}

#[test]
fn every_record_of_an_event_file_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    publish(dir.path());
    let out = dir.path().join("out");
    let exported = to_tensorboard(dir.path(), &out).unwrap();
    let path = out.join("a/events.out.tfevents.1700000000.batchlab");
    assert_eq!(exported.files, std::slice::from_ref(&path));
    let events = events(&fs::read(&path).unwrap());
    assert_eq!(events[0].file_version.as_deref(), Some("brain.Event:2"));
    assert!((events[0].wall_time - 1_700_000_000.25).abs() < 1e-6);
    // Evaluations follow their step, and time does not go backwards. A step for timing only is not
    // part of training.
    assert_eq!(
        events.iter().skip(1).map(|event| event.step).collect::<Vec<_>>(),
        [0, 1, 2, 2, 2, 3]
    );
    assert!(events.windows(2).all(|pair| pair[0].wall_time <= pair[1].wall_time));
    assert!((events[6].wall_time - events[0].wall_time - 0.018).abs() < 1e-6);
    let values: Vec<Vec<(String, f32)>> = events[1..]
        .iter()
        .map(|event| {
            let values = &event.summary.as_ref().unwrap().value;
            values.iter().map(|value| (value.tag.clone(), value.simple_value.unwrap())).collect()
        })
        .collect();
    let step = |loss: f32| {
        vec![
            ("train/loss".to_owned(), loss),
            ("train/learning_rate".to_owned(), 1e-3),
            ("time/step_ms".to_owned(), 2.0),
            ("time/graphs_per_second".to_owned(), 15_000.0),
        ]
    };
    assert_eq!(values[1], step(0.0));
    assert!(values[5][0].1.is_nan());
    let eval = |subset: &str| {
        [("loss", 0.0), ("rmse", 0.5), ("mae", 0.25)]
            .map(|(name, v)| (format!("{subset}/{name}"), v))
            .to_vec()
    };
    assert_eq!(
        (&values[0], &values[3], &values[4]),
        (&eval("test"), &eval("test"), &eval("train"))
    );
    assert_eq!(exported.n_row, 3 * 4 + 3 * 3);
}

#[test]
fn a_folder_without_results_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let error = to_tensorboard(dir.path(), dir.path()).unwrap_err().to_string();
    assert!(error.contains("holds no results"), "{error}");
    publish(dir.path());
    fs::write(dir.path().join("tables/steps/a.parquet"), "no Parquet").unwrap();
    let error = to_sink(dir.path(), &dir.path().join("out"), &Csv::default()).unwrap_err();
    assert!(error.is_data() && error.to_string().contains("tables/steps/a.parquet"), "{error}");
}
