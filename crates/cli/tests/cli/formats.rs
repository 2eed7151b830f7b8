//! `batchlab export` and `batchlab compare`, on real runs and on invalid input.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::fs;
use std::process::Output;

use crate::small_run::{Tables, batchlab, names, start, text};
use serde_json::Value;

fn call(arguments: &[&str]) -> Output {
    batchlab().args(arguments).output().unwrap()
}

fn refused(arguments: &[&str], code: i32) -> String {
    let output = call(arguments);
    assert_eq!(output.status.code(), Some(code), "{}", text(&output));
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn mistakes_are_named() {
    let printed = refused(&["export", "results", "--to", "tensorbord", "--out", "x"], 2);
    insta::assert_snapshot!("export_to_an_unknown_format", printed);
    let empty = tempfile::tempdir().unwrap();
    let dir = empty.path().to_str().unwrap();
    let out = format!("{dir}/out");
    for format in ["csv", "tensorboard"] {
        let printed = refused(&["export", dir, "--to", format, "--out", &out], 2);
        assert!(printed.contains("holds no results"), "{printed}");
    }
    let printed = refused(&["compare", "20260101-000000-nothing", "b"], 2);
    assert!(printed.contains("no study in results/ has a run"), "{printed}");
    let run = empty.path().join("study/runs/20260101-000000-0123abcd");
    fs::create_dir_all(&run).unwrap();
    let printed = refused(&["compare", run.to_str().unwrap(), "b"], 2);
    assert!(printed.contains("run 20260101-000000-0123abcd has no published results"), "{printed}");
    let mistyped = run.with_file_name("20260101-000000-0123abce");
    let weights = ["weights", mistyped.to_str().unwrap(), "--out", &out];
    for arguments in [&weights[..], &["compare", mistyped.to_str().unwrap(), "b"]] {
        let printed = refused(arguments, 2);
        assert!(printed.contains("20260101-000000-0123abcd\"?"), "{printed}");
    }
    let printed = refused(&["compare", &format!("{dir}/studi"), "b"], 2);
    assert!(printed.contains("/study\"?"), "{printed}");
}

#[test]
fn real_runs_are_exported_and_compared() {
    let dir = tempfile::tempdir().unwrap();
    for batcher in ["dynamic", "static"] {
        let name = format!("batcher.name={batcher}");
        let output = start(dir.path(), &[&name, "training.steps=30"]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
    }
    let out = dir.path().join("tensorboard");
    let (from, to) = (dir.path().to_str().unwrap(), out.to_str().unwrap());
    let output = call(&["export", from, "--to", "tensorboard", "--out", to]);
    assert!(output.status.success(), "{}", text(&output));
    let runs = names(&dir.path().join("runs"));
    assert_eq!(names(&out), runs);
    // At least twenty bytes of values per step.
    for run in &runs {
        let file = out.join(run).join(&names(&out.join(run))[0]);
        assert!(fs::metadata(file).unwrap().len() > 30 * 80);
    }

    // Into the results directory: tables beside runs, which doctor does not mistake for runs.
    let output = call(&["export", from, "--to", "csv", "--out", from]);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(names(&dir.path().join("runs")), runs);
    assert_eq!(names(&dir.path().join("csv/steps")).len(), 2);
    let note = dir.path().join("runs/note.csv");
    fs::write(&note, "of an earlier export").unwrap();
    let output = call(&["doctor", from]);
    assert!(output.status.success(), "{}", text(&output));
    fs::remove_file(&note).unwrap();

    let path = |run: &String| dir.path().join("runs").join(run).to_str().unwrap().to_owned();
    let output = call(&["compare", &path(&runs[0]), &path(&runs[1]), "--json"]);
    assert!(output.status.success(), "{}", text(&output));
    let comparison: Value = serde_json::from_slice(&output.stdout).unwrap();
    let pair = &comparison["pairs"][0];
    let keys: Vec<&str> = pair["configuration"]
        .as_array()
        .unwrap()
        .iter()
        .map(|difference| difference["key"].as_str().unwrap())
        .collect();
    assert!(keys.contains(&"batcher.name") && !keys.contains(&"model.name"), "{keys:?}");
    assert_eq!(pair["conditions"], serde_json::json!([]));
    assert_eq!(pair["replicates"], serde_json::json!({ "too_few": [1, 1] }));
    let measure = |name: &str| {
        let all = pair["measures"].as_array().unwrap().iter();
        let found =
            all.filter(|m| m["name"].as_str().unwrap().starts_with(name)).collect::<Vec<_>>();
        found[0].clone()
    };
    // By hand, from the same tables.
    let tables = Tables::read(dir.path());
    let of_run = |run: &String| {
        let steps = tables.steps.iter().filter(|step| step.run_id == *run && !step.is_warmup);
        let (mut ns, mut n_graph) = (0, 0);
        for step in steps {
            ns += step.step_ns;
            n_graph += step.n_graph;
        }
        ns as f64 / 1e3 / n_graph as f64
    };
    let found = measure("time per graph");
    assert!((found["a"].as_f64().unwrap() / of_run(&runs[0]) - 1.0).abs() < 1e-9);
    assert!((found["b"].as_f64().unwrap() / of_run(&runs[1]) - 1.0).abs() < 1e-9);
    assert!(found["interval"].is_null());
    let last = tables.evals.iter().filter(|eval| eval.run_id == runs[1]);
    let last = last.max_by_key(|eval| eval.step).unwrap();
    assert_eq!(measure("RMSE on test")["b"].as_f64(), last.rmse);

    let output = call(&["compare", &path(&runs[0]), &path(&runs[1])]);
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("too few to conclude anything"), "{printed}");
}
