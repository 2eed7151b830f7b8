//! The kit finds mistakes: each broken model fails its own check and passes all others.

mod faulty;
mod linear;

use batchlab_testkit::model::{CHECKS, Check, check_equal};
use faulty::{Fault, Faulty};

use crate::table::{self, Row};

const BROKEN: &[(Fault, &str, &str)] = &[
    (Fault::NameTwice, "two parameters with one name", "opens"),
    (Fault::WrongCount, "counts one parameter too few", "opens"),
    (Fault::IgnoresSeed, "ignores the seed", "seeds"),
    (Fault::GlobalCounter, "depends on global state", "seeds"),
    (Fault::IgnoresDistance, "ignores a field that it needs", "inputs"),
    (Fault::FirstNode, "the first node counts more", "node_order"),
    (Fault::LastEdge, "the last edge counts more", "node_order"),
    (Fault::Direction, "uses a direction in space", "rotation"),
    (Fault::BatchMean, "normalises over the batch", "companions"),
    (Fault::Place, "depends on position in the batch", "companions"),
    (Fault::PaddedMean, "divides by the padded size", "companions"),
    (Fault::EmptyMean, "mean over no edges", "single_nodes"),
    (Fault::LeaksPadding, "multiplies padding by 0", "padding_forward"),
    (Fault::SkipsPadding, "skips the padding", "padding_forward"),
    (Fault::SkipsPaddingEdges, "skips padding edges", "padding_forward"),
    (Fault::PaddingGradient, "padding in the gradient", "padding_gradients"),
    (Fault::CutByPadding, "splits sums by the padded size", "padding_bits"),
    (Fault::Threads, "depends on the number of threads", "threads"),
    (Fault::MeanLoss, "returns the mean as the sum", "loss"),
    (Fault::UnweightedLoss, "ignores weights", "loss"),
    (Fault::RawLogits, "cross-entropy without log-sum-exp", "classification"),
    (Fault::MultipliesByWeight, "multiplies by weight 0", "zero_weight"),
    (Fault::WrongGradient, "a gradient is 10 % too large", "gradient"),
    (Fault::MissingGradient, "a gradient is missing", "gradient"),
    (Fault::AddsGradients, "adds own to replaced gradients", "exchange"),
    (Fault::Uphill, "steps uphill", "learns"),
    (Fault::OneSlot, "one slot for both batches", "slots"),
    (Fault::EvaluationForgets, "evaluation discards the recording", "evaluation"),
    (Fault::UpdatesTwice, "updates twice", "steps"),
    (Fault::ForgetsMoments, "does not restore moments", "resume"),
    (Fault::ForgetsUpdates, "does not restore the update count", "resume"),
    (Fault::HalfRestored, "partly restores a rejected state", "unfit_state"),
    (Fault::IgnoresShape, "ignores tensor shapes in a state", "unfit_state"),
    (Fault::UnknownClass, "treats unknown classes as class 0", "bad_batches"),
    (Fault::NoClasses, "opens without node classes", "bad_data"),
    (Fault::AnyDevice, "does not check the device", "bad_data"),
    (Fault::ForgetsOption, "an option is not serialised", "options"),
];

fn failing(fault: Fault) -> Vec<(&'static str, String)> {
    let model = Faulty::new(fault);
    let run = |check: &'static Check| check.run(&model).err().map(|f| (check.name, f.found));
    CHECKS.iter().filter_map(run).collect()
}

#[test]
fn a_failure_names_the_promise_and_both_numbers() {
    let check = Check::named("companions").expect("it exists");
    let text = check.run(&Faulty::new(Fault::PaddedMean)).unwrap_err().to_string();
    println!("{text}");
    assert!(
        text.starts_with("conformance check `companions` failed\n  promise: the prediction of")
    );
    assert!(text.contains("with 5 padding nodes and 37 padding edges"), "{text}");
}

#[test]
#[should_panic(expected = "in the other setting")]
fn two_settings_that_differ_are_noticed() {
    check_equal(&Faulty::new(Fault::None), &Faulty::new(Fault::WrongGradient));
}

// The line that a plugin writes in its tests, and the resulting tests.
batchlab_testkit::model_conformance!(sound, Faulty::new(Fault::None));

table::tests!("asserts this table for models:", "broken_models");
