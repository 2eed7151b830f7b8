//! What every model promises.

use model_painn::{Aggregation, Messages, Painn};

// One line, one test for each promise of the contract.
batchlab_testkit::model_conformance!(
    toml::from_str::<Painn>("latent_size = 64").expect("a right table")
);

// As published, with widths that fill no vector register.
batchlab_testkit::model_conformance!(
    published,
    Painn { messages: Messages::Published, readout: Aggregation::Sum, ..narrow() }
);

fn narrow() -> Painn {
    toml::from_str("latent_size = 13\nn_interaction = 2\nn_gaussian = 7\nreadout_size = 5")
        .expect("a right table")
}
