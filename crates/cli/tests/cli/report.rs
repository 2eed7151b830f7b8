//! `batchlab import` and `batchlab report`, from outside.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::fmt::Write;
use std::path::{Path, PathBuf};

use assert_cmd::Command;

fn batchlab() -> Command {
    Command::cargo_bin("batchlab").unwrap()
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
    let path = dir.join(format!("published{factor}.csv"));
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
    let text = stdout(batchlab().arg("import").arg(&csv).arg("--out").arg(&out));
    assert!(text.contains("8 runs: 8 completed, 0 incomplete, 0 back-filled"), "{text}");
    assert!(text.contains("8 errors at checkpoints: 4 are MAE under the name of RMSE"), "{text}");
    for table in ["runs", "steps", "evals", "events", "metrics"] {
        assert_eq!(
            std::fs::read_dir(out.join("tables").join(table)).unwrap().count(),
            1,
            "{table}"
        );
    }
    assert!(!out.join("wip").exists(), "nothing is left behind");

    let again = stderr(batchlab().arg("import").arg(&csv).arg("--out").arg(&out), 2);
    assert!(again.contains("imported before; remove it, or name another --out"), "{again}");

    let (page, pictures) = (dir.path().join("page.html"), dir.path().join("png"));
    let mut report = batchlab();
    report
        .arg("report")
        .arg(&out)
        .arg("--html")
        .arg(&page)
        .arg("--png")
        .arg(&pictures)
        .arg("--json");
    let report: serde_json::Value = serde_json::from_str(&stdout(&mut report)).unwrap();
    assert_eq!(report["verdicts"][0]["best"], "static-64");
    assert_eq!(report["verdicts"][0]["measure"], "TimePerStep");
    assert_eq!(report["settings"][0]["title"], "schnet on qm9, cpu, 1k steps");
    let page = std::fs::read_to_string(&page).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("as fast as dynamic"));
    let n_picture = std::fs::read_dir(&pictures).unwrap().count();
    let figures = report["figures"].as_array().unwrap();
    let n_figure = figures.iter().filter(|f| !f["panels"].as_array().unwrap().is_empty()).count();
    assert_eq!(n_picture, n_figure);
    assert!(n_picture >= 3, "recompilations, speed-up, times");

    let text = stdout(batchlab().arg("report").arg(&out));
    assert!(text.contains("  B = 16: static-64, "), "{text}");
}

#[test]
fn mistakes_have_their_exit_codes() {
    let dir = tempfile::tempdir().unwrap();
    let (csv, out) = (published(dir.path(), "8"), dir.path().join("out"));
    let text = stderr(batchlab().arg("report").arg(dir.path()), 2);
    assert!(text.contains("there is no") && text.contains("tables/runs"), "{text}");
    let results = dir.path().join("results");
    batchlab().arg("import").arg(&csv).arg("--out").arg(&results).assert().success();
    let report =
        |arguments: [&str; 2]| stderr(batchlab().arg("report").arg(&results).args(arguments), 2);
    let text = report(["--reference", "static-32"]);
    assert!(
        text.contains("no strategy is called \"static-32\"; there are dynamic, static-64"),
        "{text}"
    );
    let text = report(["--compile-cost", "0"]);
    assert!(text.contains("0 s is no cost; give seconds above 0"), "{text}");
    let text = stderr(batchlab().arg("import").args([&csv, &csv]).arg("--out").arg(&out), 2);
    assert!(text.contains("are the same file; give it once"), "{text}");
    let bad = published(dir.path(), "x");
    let text = stderr(batchlab().arg("import").arg(&bad).arg("--out").arg(&out), 3);
    assert!(text.contains("line 2, column `step_1000_update_time_mean`: \"0.0x0\""), "{text}");
    assert!(!out.exists(), "nothing is written before everything is read");
}
