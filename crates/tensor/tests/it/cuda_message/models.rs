//! The messages of the models.

use batchlab_core::model::Precision;
use batchlab_tensor::Activation;

use super::case::Case;
use super::case::{Step, edge_updates, edge_updates_of, painn, schnet};
use super::compare::{batch, check, check_in};

#[test]
fn the_models_at_their_widths() {
    let buffer = batch(&[(6, 30), (9, 72)], 0, 10);
    check(&schnet(150, 64), &buffer);
    check(&edge_updates(150, 64), &buffer);
    let middle = edge_updates_of(Step::Stored(64), 64);
    check(&Case { edge: None, ..middle.clone() }, &buffer);
    check(&middle, &buffer);
    check(&painn(20, 256, Activation::Identity), &buffer);
    // As in the study: layers without biases, no cutoff.
    let mut plain = [schnet(150, 64), edge_updates(150, 64), middle.clone(), middle];
    plain[3].edge = None;
    for case in &mut plain {
        for step in &mut case.steps {
            match step {
                Step::Linear { bias, .. } => *bias = false,
                Step::Scale(_) => *step = Step::Sum(vec![2], Activation::Identity),
                _ => {}
            }
        }
        check(case, &buffer);
    }
}

#[test]
fn the_models_on_tensor_cores() {
    let buffer = batch(&[(6, 30), (9, 72)], 0, 10);
    let middle = edge_updates_of(Step::Stored(64), 64);
    let painn = painn(20, 256, Activation::Identity);
    for precision in [Precision::Tf32, Precision::Bf16] {
        for case in [&schnet(150, 64), &edge_updates(150, 64), &middle, &painn] {
            check_in(precision, case, &buffer);
        }
    }
}
