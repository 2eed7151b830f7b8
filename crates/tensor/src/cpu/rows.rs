//! Splits an array into chunks of rows for several threads.

use super::out::Out;

/// Calls `kernel(first row, rows)` for chunks of whole rows.
pub(super) fn parallel(
    values: &mut [f32],
    width: usize,
    kernel: impl Fn(usize, &mut [f32]) + Sync + Send,
) {
    Out::Sums(values).rows(width, kernel);
}
