//! Rows made by hand, with every fault that the published files have.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::path::PathBuf;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use batchlab_core::record::Table;
use batchlab_published::{ImportError, Imported, PublishedFile, read, tables};

const HEADER: &str = "model,time_day,dataset,batching_type,batching_round_to_64,batch_size,\
    computing_type,iteration,experiment_completed,submission_path,path,recompilation_counter";

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A file of runs of `n_step` steps with one checkpoint. Each row is what stands between.
    fn file(&self, name: &str, n_step: &str, rows: &[String]) -> PathBuf {
        let path = self.0.path().join(name);
        let times = [
            "batching_time_mean",
            "update_time_mean",
            "batching_time_median",
            "update_time_median",
        ];
        let times = times.map(|time| format!("step_{n_step}_{time}")).join(",");
        let header = format!("{HEADER},{times},step_100_000_test_rmse");
        std::fs::write(&path, format!("{header}\n{}\n", rows.join("\n"))).unwrap();
        path
    }
}

fn row(kind: &str, repeat: u32, completed: &str, n_shape: &str, times: &str, rmse: &str) -> String {
    format!(
        "MPEU,09_29__19_01_2025,qm9,{kind},16,gpu_a100,{repeat},{completed},job.sh,job.sh,{n_shape},{times},{rmse}"
    )
}

const TIMES: &str = "0.001,0.004,0.0009,0.0035";

fn import(paths: &[PathBuf]) -> Vec<Imported> {
    let files: Vec<PublishedFile> = paths.iter().map(|path| read(path).unwrap()).collect();
    tables(&files).unwrap()
}

fn table(imported: &Imported, table: Table) -> &RecordBatch {
    &imported.tables.iter().find(|(of, _)| *of == table).unwrap().1
}

fn texts(rows: &RecordBatch, column: &str) -> Vec<String> {
    let column = rows.column_by_name(column).unwrap().as_string::<i32>();
    column.iter().map(|text| text.unwrap_or("null").to_owned()).collect()
}

fn floats(rows: &RecordBatch, column: &str) -> Vec<Option<f64>> {
    rows.column_by_name(column).unwrap().as_primitive::<Float64Type>().iter().collect()
}

#[test]
fn a_row_becomes_a_run_with_its_times_and_errors() {
    let folder = Folder::new();
    let rows = [
        row("dynamic,True", 0, "True", "1", TIMES, "0.12345678"),
        row("static,True", 0, "True", "74", "0.002,0.005,0.002,0.004", "0.12345679"),
        row("static,False", 0, "False", "", ",,,", "nan"),
        row("static_constant,False", 0, "", "", ",,,", ""),
    ];
    let imported = import(&[folder.file("a.csv", "2_000_000", &rows)]).remove(0);
    let runs = table(&imported, Table::Runs);
    assert_eq!(texts(runs, "batcher"), ["dynamic", "static-64", "static-2^N", "static-constant"]);
    assert_eq!(texts(runs, "status"), ["completed", "completed", "failed", "failed"]);
    assert_eq!(texts(runs, "model")[0], "mpeu");
    assert_eq!(texts(runs, "target_unit")[0], "eV");
    let shapes = runs.column_by_name("n_shape").unwrap().as_primitive::<Int64Type>();
    assert_eq!(shapes.iter().collect::<Vec<_>>(), [Some(1), Some(74), None, None]);
    for unknown in ["host", "started_at", "n_train", "seed_split", "train_ns"] {
        let column = runs.column_by_name(unknown).unwrap();
        assert_eq!(column.null_count(), 4, "{unknown} is not in the source");
    }
    let config: serde_json::Value = serde_json::from_str(&texts(runs, "config")[1]).unwrap();
    assert_eq!(config["imported"]["line"], 3);
    assert_eq!(config["imported"]["columns"]["recompilation_counter"], "74");

    let metrics = table(&imported, Table::Metrics);
    assert_eq!(texts(metrics, "name")[2], "published.combined_mean_ns");
    assert_eq!(floats(metrics, "value")[..4], [1e6, 9e5, 4e6, 3.5e6].map(Some));
    assert_eq!(metrics.num_rows(), 8, "runs without times have no rows");
    let evals = table(&imported, Table::Evals);
    assert_eq!(floats(evals, "rmse"), [Some(0.123_456_78), Some(0.123_456_79)]);
    assert_eq!(evals.column_by_name("loss").unwrap().null_count(), 2);
    for (table, rows) in &imported.tables {
        assert_eq!(rows.schema(), table.schema(), "{table}");
    }
    assert_eq!(imported.counts.n_incomplete, 2);
}

#[test]
fn a_mean_absolute_error_is_kept_as_one_and_an_honest_short_number_stays() {
    let folder = Folder::new();
    let rmse = ["0.10000001", "0.11000001", "0.0612345", "0.1056789"];
    let rows: Vec<String> = (0..4_u32)
        .zip(rmse)
        .map(|(i, rmse)| {
            row("static,True", i, "True", "9", &format!("0.001,0.004,0.0009,0.003{i}"), rmse)
        })
        .collect();
    let imported = import(&[folder.file("a.csv", "100000", &rows)]).remove(0);
    let evals = table(&imported, Table::Evals);
    let rmse = floats(evals, "rmse");
    assert_eq!(rmse, [Some(0.100_000_01), Some(0.110_000_01), None, Some(0.105_678_9)]);
    assert_eq!(floats(evals, "mae"), [None, None, Some(0.061_234_5), None]);
    let events = table(&imported, Table::Events);
    assert_eq!(texts(events, "kind"), ["import.mae_as_rmse"]);
    assert!(texts(events, "message")[0].contains("0.0612345 in step_100_000_test_rmse"));
    assert_eq!(imported.counts.n_mae_as_rmse, 1);
}

#[test]
fn where_all_repetitions_are_alike_the_other_strategies_tell_an_mae() {
    let folder = Folder::new();
    let rows = [
        row("static,True", 0, "True", "9", TIMES, "0.38560001"),
        row("static,False", 0, "True", "2", "0.002,0.005,0.002,0.004", "0.2800123"),
    ];
    let imported = import(&[folder.file("a.csv", "100000", &rows)]).remove(0);
    assert_eq!(floats(table(&imported, Table::Evals), "rmse"), [Some(0.385_600_01), None]);
}

#[test]
fn where_all_strategies_are_alike_the_checkpoints_before_and_after_tell_an_mae() {
    let folder = Folder::new();
    let times = "step_3_batching_time_mean,step_3_update_time_mean,step_3_batching_time_median,\
        step_3_update_time_median";
    let header = format!("{HEADER},{times},step_1_test_rmse,step_2_test_rmse,step_3_test_rmse");
    let row = |kind, errors| row(kind, 0, "True", "1", TIMES, errors);
    let rows = [
        row("static,True", "0.20000001,0.0601234,0.18000001"),
        row("static,False", "0.20000001,0.1801234,0.18000001").replace("0.004", "0.005"),
    ];
    let path = folder.0.path().join("a.csv");
    std::fs::write(&path, format!("{header}\n{}\n", rows.join("\n"))).unwrap();
    let imported = import(&[path]).remove(0);
    let rmse = floats(table(&imported, Table::Evals), "rmse");
    assert_eq!((rmse[1], rmse[4]), (None, Some(0.180_123_4)));
    assert_eq!(imported.counts.n_mae_as_rmse, 1);
}

#[test]
fn copied_times_are_found_in_the_longer_run() {
    let folder = Folder::new();
    let short = folder.file(
        "short.csv",
        "100000",
        &[row("dynamic,True", 3, "True", "1", TIMES, "0.30000001")],
    );
    let long = [
        row("dynamic,False", 3, "True", "1", TIMES, "nan"),
        row("dynamic,False", 4, "True", "1", "0.001,0.004,0.0009,0.0034", "0.10000001"),
    ];
    let long = folder.file("long.csv", "2_000_000", &long);
    let imported = import(&[short, long.clone()]);
    assert_eq!(imported[0].counts.n_back_filled, 0, "the origin is what it says");
    let runs = table(&imported[1], Table::Runs);
    assert_eq!(texts(runs, "status"), ["failed", "completed"]);
    let why = &texts(runs, "error")[0];
    assert!(why.contains("those of line 2 of short.csv (mpeu on qm9, 100000 steps)"), "{why}");
    assert_eq!(texts(table(&imported[1], Table::Events), "kind"), ["import.back_filled"]);

    let alone = import(&[long]).remove(0);
    assert_eq!(alone.counts.n_back_filled, 1, "the missing errors tell it too");
    assert!(texts(table(&alone, Table::Runs), "error")[0].contains("none of the errors"));
}

#[test]
fn mistakes_name_file_line_column_and_value() {
    let folder = Folder::new();
    let message =
        |rows: &[String]| read(&folder.file("bad.csv", "100000", rows)).unwrap_err().to_string();
    let good = row("dynamic,True", 0, "True", "1", TIMES, "0.1");
    let text =
        message(&[good.clone(), good.replace("dynamic", "dinamic").replace(",0,True", ",1,True")]);
    assert!(text.contains("bad.csv, line 3, column `batching_type`: \"dinamic\""), "{text}");
    for (from, to, column) in [
        ("0.004", "fast", "step_100000_update_time_mean"),
        ("0.004", "-0.004", "step_100000_update_time_mean"),
        ("0.004", "inf", "step_100000_update_time_mean"),
        ("0.004", "0", "step_100000_update_time_mean"),
        (",16,", ",1,", "batch_size"),
        ("True,job", "yes,job", "experiment_completed"),
        ("qm9", "", "dataset"),
    ] {
        let text = message(&[good.replacen(from, to, 1)]);
        assert!(text.contains(&format!("line 2, column `{column}`")), "{to}: {text}");
    }
    let text = message(&[good.clone(), good.clone()]);
    assert!(text.contains("line 3: the same run as line 2"), "{text}");
    let text = message(&[good.replacen("MPEU,", "", 1)]);
    assert!(text.contains("bad.csv") && text.contains("line: 2"), "{text}");

    let path = folder.file("bad.csv", "100000", &[]);
    let header = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, header.replace("recompilation_counter", "recompiles")).unwrap();
    assert!(
        matches!(read(&path), Err(ImportError::MissingColumn { column, .. }) if column == "recompilation_counter")
    );
    std::fs::write(&path, header.replacen("step_100000_", "step_200000_", 1)).unwrap();
    assert!(matches!(
        read(&path),
        Err(ImportError::TwoLengths { first: 200_000, second: 100_000, .. })
    ));
    assert!(matches!(read(&folder.0.path().join("none.csv")), Err(ImportError::Io { .. })));
}
