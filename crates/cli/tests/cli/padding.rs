//! Runs with the same groups of graphs learn the same, regardless of padding.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use tempfile::TempDir;

use crate::small_run::{Tables, start, text};

/// The bits of the loss of every step and the errors of every evaluation.
fn learned(padding: &str) -> [Vec<u64>; 2] {
    let out = TempDir::new().unwrap();
    let batcher = format!("batcher={{ name = \"static\", batch_size = 16, padding = {padding} }}");
    let settings = [batcher.as_str(), "training.steps=30", "evaluation.every=15"];
    let output = start(out.path(), &settings).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let Tables { steps, evals, .. } = Tables::read(out.path());
    let losses = steps.iter().map(|step| step.loss.to_bits()).collect();
    [losses, evals.iter().map(|eval| eval.rmse.unwrap().to_bits()).collect()]
}

#[test]
fn losses_and_errors_are_equal_to_the_last_bit_for_any_padding() {
    let reference = learned("\"none\"");
    assert_eq!(reference.each_ref().map(Vec::len), [30, 3]);
    for padding in ["{ multiple = 64 }", "{ power = 2 }", "\"constant\""] {
        assert_eq!(learned(padding), reference, "{padding}");
    }
}
