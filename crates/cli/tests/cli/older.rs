//! Results of an earlier version of the schema: read, refused as a place for new ones, rewritten.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::{Int64Array, RecordBatch};
use batchlab_core::record::{RunRecord, SCHEMA_VERSION, StepRecord, Table};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use tempfile::TempDir;

use crate::small_run::{
    Tables, batchlab, checkpoints, doctor, names, resume, run_folder, smoke, start, text,
};

/// Makes the tables of a study as version 2 wrote them.
fn make_older(out: &Path) {
    fs::remove_dir_all(out.join("tables").join(Table::Blocks.name())).unwrap();
    for table in Table::ALL {
        let folder = out.join("tables").join(table.name());
        for name in names(&folder) {
            rewrite(table, &folder.join(name));
        }
    }
    // The checksums are those of other bytes now; early versions wrote none.
    fs::remove_file(run_folder(out).join("files.json")).unwrap();
}

fn rewrite(table: Table, path: &Path) {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let rows: Vec<RecordBatch> =
        builder.build().unwrap().map(|rows| older(table, &rows.unwrap())).collect();
    let version = KeyValue::new("schema_version".to_owned(), "2".to_owned());
    let properties =
        WriterProperties::builder().set_key_value_metadata(Some(vec![version])).build();
    let schema = rows[0].schema();
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, schema, Some(properties)).unwrap();
    for rows in &rows {
        writer.write(rows).unwrap();
    }
    writer.close().unwrap();
}

/// With the names of version 2 and without the columns that it did not have.
fn older(table: Table, rows: &RecordBatch) -> RecordBatch {
    let mut columns = Vec::new();
    for column in table.dictionary().1 {
        let is_new =
            matches!(column.name, "output" | "n_output_padded" | "n_look" | "is_timing_only")
                || table == Table::Steps && column.name == "n_output";
        let array = rows.column_by_name(column.name).unwrap().clone();
        match (column.name, column.was) {
            _ if is_new => {}
            ("schema_version", _) => {
                columns.push(("schema_version", Arc::new(Int64Array::from(vec![2])) as _));
            }
            (name, was) => columns.push((was.unwrap_or(name), array)),
        }
    }
    RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap()
}

/// Without what version 2 did not record.
fn as_version_2(step: &StepRecord) -> StepRecord {
    StepRecord { is_timing_only: None, ..step.clone() }
}

fn json(command: &mut Command) -> serde_json::Value {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn tables_of_an_earlier_version_are_read_and_rewritten() {
    let out = TempDir::new().unwrap();
    let dir = out.path();
    assert!(start(dir, &["training.steps=40"]).output().unwrap().status.success());
    let present = Tables::read(dir);
    let report = || json(batchlab().arg("report").arg(dir).arg("--json"))["settings"].clone();
    let figures = report();
    make_older(dir);

    // They say the same to every reader of ours.
    let read = Tables::read(dir);
    let steps: Vec<_> = present.steps.iter().map(as_version_2).collect();
    assert_eq!(read.steps, steps);
    assert_eq!(read.evals, present.evals);
    assert_eq!(report(), figures);

    // Nothing new comes beside them.
    let output = start(dir, &["training.steps=3"]).output().unwrap();
    let message = text(&output);
    assert!(!output.status.success(), "{message}");
    assert!(message.contains("of version 2 of the schema"), "{message}");
    let remedy = format!("`batchlab doctor {} --upgrade`", dir.display());
    assert!(message.contains(&remedy), "{message}");
    assert_eq!(names(&dir.join("runs")).len(), 1, "no folder is left behind");

    // A look changes nothing.
    let found = doctor(dir, &["--upgrade", "--dry-run"]);
    assert_eq!(found["older"][0]["version"], 2);
    assert_eq!(found["older"][0]["is_upgraded"], false);
    let found = doctor(dir, &["--upgrade"]);
    assert_eq!(found["older"][0]["is_upgraded"], true, "{found}");
    assert_eq!(found["n_verified"], 6, "its files have checksums now");
    assert_eq!(found["damaged"], serde_json::json!([]));
    let rewritten = Tables::read(dir);
    assert_eq!((&rewritten.steps, &rewritten.evals), (&steps, &present.evals));
    assert_eq!((&rewritten.events, rewritten.runs.len()), (&present.events, 1));
    // That an output is a graph was not recorded then.
    let row = RunRecord { output: None, ..present.runs[0].clone() };
    assert_eq!(rewritten.runs[0], RunRecord { schema_version: SCHEMA_VERSION, ..row });
    assert_eq!(doctor(dir, &["--upgrade"])["older"], serde_json::json!([]));
    assert!(!dir.join("wip").exists());

    let output = start(dir, &["training.steps=3"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn an_interrupted_run_of_an_earlier_version_goes_on_after_rewriting() {
    let (whole, parts) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let settings = ["training.checkpoint={ steps = 20 }"];
    assert!(start(whole.path(), &settings).output().unwrap().status.success());
    let dir = parts.path();
    let mut child = start(dir, &settings).spawn().unwrap();
    while checkpoints(dir).is_empty() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be interrupted");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(
        Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success()
    );
    child.wait().unwrap();
    make_older(dir);

    let output = resume(dir).output().unwrap();
    assert!(text(&output).contains("--upgrade"), "{}", text(&output));
    assert_eq!(doctor(dir, &["--upgrade"])["older"][0]["is_upgraded"], true);
    let output = resume(dir).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let (whole, parts) = (Tables::read(whole.path()), Tables::read(dir));
    let timeless = |steps: Vec<StepRecord>| -> Vec<_> { steps.iter().map(as_version_2).collect() };
    assert_eq!(timeless(parts.timeless_steps()), timeless(whole.timeless_steps()));
    assert_eq!(parts.timeless_evals(), whole.timeless_evals());
}

#[test]
fn a_sweep_into_older_tables_ends_before_it_trains() {
    let out = TempDir::new().unwrap();
    let dir = out.path();
    assert!(start(dir, &["training.steps=3"]).output().unwrap().status.success());
    make_older(dir);
    let mut sweep = batchlab();
    sweep.arg("sweep").arg(smoke()).args(["batchers=exact,dynamic", "training.steps=3"]);
    let output = sweep.arg("--out").arg(dir).env("BATCHLAB_LOCKS", dir).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("--upgrade"), "{}", text(&output));
    let status = json(batchlab().arg("status").arg(dir).arg("--json"));
    let cells = status["hardware"][0]["cells"].as_array().unwrap();
    assert!(cells.iter().all(|cell| cell["progress"]["state"] == "waiting"), "{status}");
}
