//! The contract of every model.

use model_mpeu::{Aggregation, Mpeu};

// One line generates one test per promise of the contract.
batchlab_testkit::model_conformance!(Mpeu::default());

// Sums instead of means, and widths that are not multiples of the vector width.
batchlab_testkit::model_conformance!(
    sums,
    Mpeu { aggregation: Aggregation::Sum, readout: Aggregation::Sum, ..narrow() }
);

fn narrow() -> Mpeu {
    toml::from_str(
        "latent_size = 13\nn_interaction = 2\nn_gaussian = 37\nedge_hidden_size = 11\n\
         readout_size = 5",
    )
    .expect("a right table")
}
