//! The device for model tests.

use batchlab_core::ModelContext;

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
        n_node_class,
        cuda_graphs: true,
        ..ModelContext::default()
    }
}
