//! The contract of every model.

use batchlab_core::Model as _;
use batchlab_testkit::device::context;
use batchlab_testkit::model::{check, check_equal};
use model_gat::Gat;

fn model(options: &str) -> Gat {
    toml::from_str(options).expect("a right table")
}

// One line generates one test per promise of the contract. Without dropout, as it would make a loss
// differ from the predictions of an evaluation.
batchlab_testkit::model_conformance!(model("dropout = 0.0\nlayers = 2\nhidden = 5\nheads = 3"));

// All nodes in the last convolution, no norm, and widths that are not multiples of the vector
// width.
batchlab_testkit::model_conformance!(
    all_nodes,
    model(
        "dropout = 0.0\nlayers = 2\nhidden = 13\nheads = 2\nnorm = \"none\"\nonly_outputs = false"
    )
);

/// Invariants of dropout: independent of threads, padding and preceding calls.
#[test]
fn dropout() {
    let with = model("dropout = 0.4\nhidden = 5");
    for promise in
        ["companions", "padding_gradients", "padding_bits", "threads", "slots", "steps", "resume"]
    {
        check(promise, &with);
    }
}

#[test]
fn the_last_convolution_for_outputs_alone_changes_nothing() {
    for options in ["dropout = 0.0", "dropout = 0.4", "dropout = 0.4\nlayers = 1"] {
        let with = |only: bool| model(&format!("hidden = 5\nonly_outputs = {only}\n{options}"));
        check_equal(&with(true), &with(false));
    }
}

#[test]
fn the_narrow_model_is_narrow() {
    let context = batchlab_core::ModelContext { node_feature_width: 5, ..context(0) };
    let n = |options| model(options).open(&context).expect("it opens").n_parameter();
    let last = |n_in: usize| n_in * 3 + 2 * 3 + 1;
    let hidden = 5 * 12 + 2 * 12 + 12 + 2 * 12;
    assert_eq!(n("layers = 2\nhidden = 4\nheads = 3"), hidden + last(12));
    assert_eq!(n("layers = 1\nhidden = 7\nheads = 3"), last(5));
}
