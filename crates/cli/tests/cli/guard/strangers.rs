//! Results not written by this program: names that are paths or markup, and future versions.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use batchlab_core::record::{SCHEMA_VERSION, Table};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use tempfile::TempDir;

use crate::small_run::{batchlab, names, run_folder, start, text};

/// Rewrites one column of a file.
fn replace(path: &Path, column: &str, values: impl Fn(usize) -> ArrayRef) {
    rewrite(path, SCHEMA_VERSION, column, values);
}

/// Likewise, with a schema version in the footer.
fn rewrite(path: &Path, version: i64, column: &str, values: impl Fn(usize) -> ArrayRef) {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let schema = Arc::clone(builder.schema());
    let rows: Vec<RecordBatch> = builder.build().unwrap().map(Result::unwrap).collect();
    let version = KeyValue::new("schema_version".to_owned(), version.to_string());
    let properties =
        WriterProperties::builder().set_key_value_metadata(Some(vec![version])).build();
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties)).unwrap();
    for rows in rows {
        let mut columns = rows.columns().to_vec();
        columns[schema.index_of(column).unwrap()] = values(rows.num_rows());
        writer.write(&RecordBatch::try_new(Arc::clone(&schema), columns).unwrap()).unwrap();
    }
    writer.close().unwrap();
}

fn tables(out: &Path) -> Vec<PathBuf> {
    let folders = Table::ALL.map(|table| out.join("tables").join(table.name()));
    folders
        .iter()
        .flat_map(|folder| names(folder).into_iter().map(|name| folder.join(name)))
        .collect()
}

/// Everything below a directory, with lengths.
fn inventory(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut all = Vec::new();
    for path in names(folder).into_iter().map(|name| folder.join(name)) {
        let metadata = path.symlink_metadata().unwrap();
        all.push((path.clone(), if metadata.is_file() { metadata.len() } else { 0 }));
        if metadata.is_dir() {
            all.extend(inventory(&path));
        }
    }
    all
}

/// A run whose tables were not written by this program, and have no checksums.
fn foreign(out: &Path) {
    assert!(start(out, &["training.steps=6"]).output().unwrap().status.success());
    fs::remove_dir_all(run_folder(out)).unwrap();
}

#[test]
fn a_hostile_run_id_is_a_text_and_nothing_else() {
    let place = TempDir::new().unwrap();
    let out = place.path().join("a/b/c/results");
    foreign(&out);
    let made = place.path().join("a/b/c/made");
    fs::create_dir(&made).unwrap();
    let long = "x".repeat(5000);
    let absolute = place.path().join("absolute").display().to_string();
    let hostile = [
        "../../../outside",
        &absolute,
        "",
        ".",
        "..",
        "a\nb\u{1b}[31m",
        "NUL\0x",
        &long,
        "<script>alert(1)</script>",
        "$(touch outside); '; drop table runs",
        "-rf",
        "%00",
    ];
    let commands: [&[&str]; 5] = [
        &["report", "--json"],
        &["report", "--html"],
        &["doctor"],
        &["export", "--to", "tensorboard", "--out"],
        &["export", "--to", "csv", "--out"],
    ];
    for run_id in hostile {
        for path in tables(&out) {
            replace(&path, "run_id", |n| Arc::new(StringArray::from(vec![run_id; n])));
        }
        let (before, outside) = (inventory(&out), inventory(place.path()));
        for (n, command) in commands.iter().enumerate() {
            let mut run = batchlab();
            run.args(*command).current_dir(&made);
            let target = made.join(format!("made-{n}"));
            if command.last().is_some_and(|last| matches!(*last, "--html" | "--out")) {
                run.arg(&target);
            }
            let output = run.arg(&out).output().unwrap();
            let words = text(&output);
            assert!(output.status.code().is_some_and(|code| code != 101), "{run_id:?}: {words}");
            assert!(!words.contains("panicked"), "{run_id:?} {command:?}: {words}");
            if target.is_file() {
                let page = fs::read_to_string(&target).unwrap();
                assert!(!page.contains("<script>alert"), "{command:?}");
            }
        }
        assert_eq!(inventory(&out), before, "{run_id:?} changes the results");
        fs::remove_dir_all(&made).unwrap();
        fs::create_dir(&made).unwrap();
        assert_eq!(inventory(place.path()), outside, "{run_id:?} writes outside");
    }
}

#[test]
fn another_version_is_named_and_not_used() {
    let place = TempDir::new().unwrap();
    let out = place.path().join("results");
    foreign(&out);
    let runs = out.join("tables/runs");
    let path = runs.join(&names(&runs)[0]);
    replace(&path, "schema_version", |n| Arc::new(Int64Array::from(vec![SCHEMA_VERSION + 1; n])));
    let output = batchlab().args(["report", "--json"]).arg(&out).output().unwrap();
    let words = text(&output);
    let version = format!("schema version {}", SCHEMA_VERSION + 1);
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(words.contains(&version) && words.contains(name), "{words}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["left_out"].as_array().unwrap().len(), 1, "{report}");
    // Also by its footer; and no run is published beside it.
    let newer = |n| Arc::new(Int64Array::from(vec![SCHEMA_VERSION + 1; n])) as ArrayRef;
    rewrite(&path, SCHEMA_VERSION + 1, "schema_version", newer);
    for mut command in [start(&out, &["training.steps=6"]), {
        let mut report = batchlab();
        report.args(["report", "--json"]).arg(&out);
        report
    }] {
        let words = text(&command.output().unwrap());
        assert!(words.contains(&version) && words.contains("choose another folder"), "{words}");
    }
}

#[test]
fn numbers_of_any_size_end_in_an_answer_or_a_refusal() {
    let place = TempDir::new().unwrap();
    let out = place.path().join("results");
    foreign(&out);
    let times = ["step_ns", "plan_ns", "shape_id", "step"].map(|column| ("steps", column));
    let others =
        [("evals", "eval_ns"), ("evals", "train_ns"), ("runs", "prepare_ns"), ("runs", "n_shape")];
    let whole = times.into_iter().chain(others);
    let whole = whole.flat_map(|place| [i64::MAX, i64::MIN].map(|value| (place, Ok(value))));
    let real = [("evals", "rmse"), ("steps", "loss")].into_iter();
    let real =
        real.flat_map(|place| [f64::MAX, f64::INFINITY, f64::NAN].map(|value| (place, Err(value))));
    for ((table, column), value) in whole.chain(real) {
        let folder = out.join("tables").join(table);
        let path = folder.join(&names(&folder)[0]);
        let before = fs::read(&path).unwrap();
        replace(&path, column, |n| match value {
            Ok(whole) => Arc::new(Int64Array::from(vec![whole; n])),
            Err(real) => Arc::new(Float64Array::from(vec![real; n])),
        });
        for command in [
            &["report", "results", "--html", "page.html"][..],
            &["compare", "results", "results"],
            &["export", "results", "--to", "tensorboard", "--out", "events"],
        ] {
            let output = batchlab().args(command).current_dir(place.path()).output().unwrap();
            let words = text(&output);
            let has_ended = output.status.code().is_some_and(|code| code != 101);
            assert!(
                has_ended && !words.contains("panicked"),
                "{table}.{column} {value:?}: {words}"
            );
        }
        fs::write(&path, before).unwrap();
    }
}
