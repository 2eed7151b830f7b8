//! The binary, from outside.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::fmt::Write;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use batchlab_report::{Measure, Report, Results};

fn import(paths: &[&Path], out: &Path) -> Command {
    let mut command = Command::cargo_bin("batchlab-published").unwrap();
    command.args(paths).arg("--out").arg(out);
    command
}

/// Published runs made by hand: two strategies, four repetitions.
fn published(dir: &Path, factor: &str) -> PathBuf {
    let mut text = "model,dataset,batching_type,batching_round_to_64,batch_size,computing_type,\
        iteration,experiment_completed,path,recompilation_counter,step_1000_batching_time_mean,\
        step_1000_update_time_mean,step_1000_batching_time_median,step_1000_update_time_median,\
        step_1000_test_rmse\n"
        .to_owned();
    for repeat in 0..4 {
        let times = format!("0.001,0.0{factor}{repeat},0.001,0.02,0.1000000{repeat}");
        writeln!(text, "schnet,qm9,dynamic,True,16,cpu,{repeat},True,job.sh,1,{times}").unwrap();
        let times = format!("0.001,0.0{repeat}1,0.001,0.009,0.0512");
        writeln!(text, "schnet,qm9,static,True,16,cpu,{repeat},True,job.sh,60,{times}").unwrap();
    }
    let path = dir.join(format!("parsed_{factor}.csv"));
    std::fs::write(&path, text).unwrap();
    path
}

fn stdout(command: &mut Command) -> String {
    String::from_utf8(command.assert().success().get_output().stdout.clone()).unwrap()
}

fn stderr(command: &mut Command, code: i32) -> String {
    String::from_utf8(command.assert().code(code).get_output().stderr.clone()).unwrap()
}

#[test]
fn published_runs_become_tables_and_a_report() {
    let dir = tempfile::tempdir().unwrap();
    let (csv, out) = (published(dir.path(), "8"), dir.path().join("out"));
    let text = stdout(&mut import(&[&csv], &out));
    assert!(text.contains("8 runs: 8 completed, 0 incomplete, 0 back-filled"), "{text}");
    assert!(text.contains("8 errors at checkpoints: 4 are MAE under the name of RMSE"), "{text}");
    for table in ["runs", "steps", "evals", "events", "metrics"] {
        let files = std::fs::read_dir(out.join("tables").join(table)).unwrap();
        assert_eq!(files.count(), 1, "{table}");
    }
    assert!(!out.join("wip").exists(), "nothing is left behind");

    let again = stderr(&mut import(&[&csv], &out), 2);
    assert!(again.contains("imported before; remove it, or name another --out"), "{again}");

    let report = Report::of(&Results::read(&[out]).unwrap());
    assert_eq!(report.verdicts[0].strategies[0].batcher, "static-64");
    assert_eq!(report.verdicts[0].measure, Measure::TimePerStep);
    assert_eq!(report.settings[0].title, "schnet on qm9, cpu, 1k steps");
}

#[test]
fn a_folder_stands_for_its_files() {
    let dir = tempfile::tempdir().unwrap();
    let csv = dir.path().join("csv");
    std::fs::create_dir(&csv).unwrap();
    let text = stderr(&mut import(&[&csv], &dir.path().join("none")), 2);
    assert!(text.contains("there is no parsed_*.csv in this folder"), "{text}");
    published(&csv, "7");
    published(&csv, "8");
    std::fs::write(csv.join("DERIVED_speedups.csv"), "not for us").unwrap();
    let mut command = import(&[&csv], &dir.path().join("out"));
    let counts: serde_json::Value = serde_json::from_str(&stdout(command.arg("--json"))).unwrap();
    let names: Vec<&str> =
        counts.as_array().unwrap().iter().map(|one| one["file"].as_str().unwrap()).collect();
    assert_eq!(names, ["parsed_7", "parsed_8"]);
    assert_eq!(counts[0]["counts"]["n_row"], 8);
}

#[test]
fn mistakes_have_their_exit_codes() {
    let dir = tempfile::tempdir().unwrap();
    let (csv, out) = (published(dir.path(), "8"), dir.path().join("out"));
    let text = stderr(&mut import(&[&csv, &csv], &out), 2);
    assert!(text.contains("are the same file; give it once"), "{text}");
    let bad = published(dir.path(), "x");
    let text = stderr(&mut import(&[&bad], &out), 3);
    assert!(text.contains("line 2, column `step_1000_update_time_mean`: \"0.0x0\""), "{text}");
    assert!(!out.exists(), "nothing is written before everything is read");
}
