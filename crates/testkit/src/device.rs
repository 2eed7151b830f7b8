//! The device that models are tested on.

/// Names the device; `cpu` without it. An emulated GPU, for example, is `cuda:0` in a build with the
/// feature `cuda-check`.
pub const VARIABLE: &str = "BATCHLAB_TEST_DEVICE";

/// The device that models are tested on, as a configuration names it.
#[must_use]
pub fn under_test() -> String {
    std::env::var(VARIABLE).unwrap_or_else(|_| "cpu".into())
}
