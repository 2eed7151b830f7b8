//! Real runs of the real binary.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

#[cfg(not(feature = "mpi"))]
use crate::small_run;

fn smoke() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/smoke.toml")
}

fn batchlab(out: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_batchlab"));
    command.arg("run").arg(smoke()).arg("--out").arg(out).args(["--json", "--quiet"]);
    command.args(arguments);
    command
}

/// Runs, and returns exit code and summary.
fn run(arguments: &[&str]) -> (i32, Value) {
    let out = TempDir::new().unwrap();
    let output = batchlab(out.path(), arguments).output().unwrap();
    let code = output.status.code().unwrap();
    let summary = serde_json::from_slice(&output.stdout);
    let summary = summary.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    for table in ["runs", "steps", "evals", "events", "metrics"] {
        let folder = out.path().join("tables").join(table);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "one file in {table}");
    }
    assert!(!out.path().join("wip").exists(), "nothing is left behind");
    (code, summary)
}

/// RMSE on the test set at the end of the run.
fn test_rmse(summary: &Value) -> f64 {
    let evals = summary["evals"].as_array().unwrap();
    let last = evals.iter().rfind(|eval| eval["subset"] == "test").unwrap();
    last["rmse"].as_f64().unwrap()
}

const SHORT: &str = "training.steps=12";

#[test]
fn the_smoke_run_learns() {
    let (code, summary) = run(&["training.steps=120"]);
    assert_eq!((code, summary["status"].as_str()), (0, Some("completed")));
    let evals = summary["evals"].as_array().unwrap();
    let of_mean = evals[0]["rmse_of_mean"].as_f64().unwrap();
    assert!(test_rmse(&summary) < 0.75 * of_mean, "{} of {of_mean}", test_rmse(&summary));
}

#[test]
fn results_do_not_depend_on_threads_timing_or_prefetching() {
    let (_, reference) = run(&[SHORT, "--threads", "1"]);
    let variants: [&[&str]; 3] = [
        &[SHORT, "--threads", "3"],
        &[SHORT, "training.timing=stages"],
        &[SHORT, "training.prefetch=4"],
    ];
    for variant in variants {
        let (_, summary) = run(variant);
        assert_eq!(summary["evals"], reference["evals"], "{variant:?}");
    }
}

/// The padding-invariance oracle of the study: same graphs, same order, other padding.
#[test]
fn padding_does_not_change_what_is_learnt() {
    let rmse = |padding: &str| {
        let batcher =
            format!("batcher={{ name = \"static\", batch_size = 16, padding = {padding} }}");
        test_rmse(&run(&[SHORT, &batcher]).1)
    };
    let reference = rmse("\"none\"");
    for padding in ["{ multiple = 64 }", "{ power = 2 }", "\"constant\"", "{ shapes = 4 }"] {
        let rmse = rmse(padding);
        assert!((rmse / reference - 1.0).abs() < 1e-5, "{padding}: {rmse} and {reference}");
    }
}

#[test]
fn the_ledger_counts_shapes() {
    let n_shape = |batcher: &str| run(&[SHORT, batcher]).1["n_shape"].as_i64().unwrap();
    assert_eq!(n_shape("batcher={ name = \"dynamic\", batch_size = 16 }"), 1);
    let exact = "batcher={ name = \"static\", batch_size = 16, padding = \"none\" }";
    assert!(n_shape(exact) > 6, "without padding nearly every batch has a shape of its own");
}

#[test]
fn batches_of_fixed_composition_are_used_again() {
    let fixed = "batcher={ name = \"static\", batch_size = 401, composition = \"fixed\" }";
    let (code, summary) = run(&[SHORT, fixed]);
    assert_eq!((code, summary["n_shape"].as_i64()), (0, Some(4)), "1,600 graphs, 400 at a time");
}

#[test]
fn a_loss_that_is_not_finite_stops_the_run() {
    let (code, summary) = run(&[SHORT, "training.learning_rate=1e30"]);
    assert_eq!((code, summary["status"].as_str()), (5, Some("nan")));
    let reason = summary["reason"].as_str().unwrap();
    assert!(reason.contains("this step did not change the parameters"), "{reason}");
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_publishes_what_it_has() {
    let out = TempDir::new().unwrap();
    let mut command = batchlab(out.path(), &["training.steps=100000000"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !out.path().join("wip").exists() {
        assert!(Instant::now() < deadline, "the run never started");
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_millis(500));
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(6), "{}", String::from_utf8_lossy(&output.stderr));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["status"], "interrupted");
    assert_eq!(std::fs::read_dir(out.path().join("tables/runs")).unwrap().count(), 1);
}

/// What trains on several ranks is tested where there is MPI, in `tests/on_ranks.rs`.
#[cfg(not(feature = "mpi"))]
#[test]
fn several_ranks_need_mpi() {
    let out = TempDir::new().unwrap();
    for (ranks, part) in [
        ("ranks=2", "2 ranks need MPI"),
        ("ranks={ local = 4, assignment = \"lpt\" }", "--features mpi"),
        ("ranks={ local = 2, assignment = \"lptt\" }", "lpt"),
        ("ranks={ locl = 2 }", "local"),
        ("rank=2", "ranks"),
    ] {
        let output = small_run::start(out.path(), &[ranks]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{ranks} {}", small_run::text(&output));
        assert!(small_run::text(&output).contains(part), "{ranks} {}", small_run::text(&output));
    }
    assert!(small_run::start(out.path(), &["ranks=1"]).output().unwrap().status.success());
}
