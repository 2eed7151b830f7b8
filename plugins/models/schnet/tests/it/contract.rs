//! The contract of every model.

use batchlab_core::Model as _;
use batchlab_testkit::device::context;
use model_schnet::{Aggregation, Schnet};

// One line generates one test per promise of the contract.
batchlab_testkit::model_conformance!(Schnet::default());

// Sums instead of means, and widths that are not multiples of the vector width.
batchlab_testkit::model_conformance!(
    sums,
    Schnet { aggregation: Aggregation::Sum, readout: Aggregation::Sum, ..narrow() }
);

// Biases, and a cutoff shorter than some edges.
batchlab_testkit::model_conformance!(
    biases,
    toml::from_str::<Schnet>("latent_size = 16\nbias = true\ncutoff_angstrom = 4.0")
        .expect("a right table")
);

fn narrow() -> Schnet {
    toml::from_str("latent_size = 13\nn_interaction = 2\nn_gaussian = 37\nreadout_size = 5")
        .expect("a right table")
}

#[test]
fn the_narrow_model_is_narrow() {
    let trainer = narrow().open(&context(4)).expect("it opens");
    let interaction = 37 * 13 + 13 * 13 + 13 * 13 + 2 * 13 * 13;
    assert_eq!(trainer.n_parameter(), 4 * 13 + 2 * interaction + 13 * 5 + 5);
}
