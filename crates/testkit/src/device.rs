//! The device for model tests.

use batchlab_core::ModelContext;
use batchlab_core::model::{Loss, Precision};

/// Environment variable for the device; the default is `cpu`. An emulated GPU, for example, is
/// `cuda:0` in a build with the feature `cuda-check`.
pub const VARIABLE: &str = "BATCHLAB_TEST_DEVICE";

/// The device for model tests, as named in a configuration.
#[must_use]
pub fn under_test() -> String {
    std::env::var(VARIABLE).unwrap_or_else(|_| "cpu".into())
}

/// A context for the regression of one number on data with these node classes and no features.
#[must_use]
pub fn context(n_node_class: usize) -> ModelContext {
    ModelContext {
        device: under_test(),
        seed: 42,
        n_node_class,
        node_feature_width: 0,
        output_width: 1,
        loss: Loss::Mse,
        precision: Precision::F32,
        weight_decay: 0.0,
        resident_bytes: 0,
        cuda_graphs: true,
        standardisation: batchlab_core::graphs::Standardisation::default(),
        own: Vec::new(),
        search: Vec::new(),
    }
}
