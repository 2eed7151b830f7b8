//! The oracle of arXiv 2502.00944 (its table of test errors): on a CPU, the static strategies give
//! the same learning curve, because they differ only in padding.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

/// Five digits, as reported by the study (0.20125 and 0.40857 for both strategies).
const TOLERANCE: f64 = 1e-5;

/// Test RMSE in eV, evaluation by evaluation.
fn curve(padding: &str, order: u64) -> Vec<f64> {
    let out = TempDir::new().unwrap();
    let smoke = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/smoke.toml");
    let batcher = format!("batcher={{ name = \"static\", batch_size = 16, padding = {padding} }}");
    let order = format!("training.seeds.order={order}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_batchlab"));
    command.arg("run").arg(smoke).arg("--out").arg(out.path()).args(["--json", "--quiet"]);
    command.args([
        "model={ name = \"schnet\", latent_size = 16, n_interaction = 2, n_gaussian = 32, \
         gaussian_spacing_angstrom = 0.4 }",
        "training.steps=300",
        "evaluation.every=50",
        "evaluation.subsets=[\"test\"]",
        &batcher,
        &order,
    ]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    let evals = summary["evals"].as_array().unwrap();
    evals.iter().map(|eval| eval["rmse"].as_f64().unwrap()).collect()
}

fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a / b - 1.0).abs()).fold(0.0, f64::max)
}

#[test]
fn static_strategies_have_the_same_learning_curve() {
    let reference = curve("{ multiple = 64 }", 42);
    assert_eq!(reference.len(), 7);
    assert!(reference[6] < 0.9 * reference[0], "nothing was learnt: {reference:?}");
    for padding in ["{ power = 2 }", "\"constant\"", "\"none\""] {
        let found = curve(padding, 42);
        let difference = largest_difference(&reference, &found);
        println!("{padding}: {difference:.1e}");
        assert!(difference < TOLERANCE, "{padding}: {difference:.1e}\n{reference:?}\n{found:?}");
    }
    // Different batches do change the curve, so the comparison can fail.
    let other = largest_difference(&reference, &curve("{ multiple = 64 }", 43));
    assert!(other > 100.0 * TOLERANCE, "another order changes the curve by {other:.1e} only");
}
