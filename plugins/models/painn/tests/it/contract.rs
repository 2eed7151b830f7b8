//! The contract of every model.

use model_painn::{Aggregation, Messages, Painn};

// One line generates one test per promise of the contract.
batchlab_testkit::model_conformance!(
    toml::from_str::<Painn>("latent_size = 64").expect("a right table")
);

// The published variant, with widths that are not multiples of the vector width.
batchlab_testkit::model_conformance!(
    published,
    Painn { messages: Messages::Published, readout: Aggregation::Sum, ..narrow() }
);

fn narrow() -> Painn {
    toml::from_str("latent_size = 13\nn_interaction = 2\nn_gaussian = 7\nreadout_size = 5")
        .expect("a right table")
}
