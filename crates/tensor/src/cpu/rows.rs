//! Cutting an array into chunks of rows that threads share.

use rayon::prelude::*;

/// Elements of a chunk: 64 KiB, which fits a core's own cache with its inputs.
const CHUNK: usize = 1 << 14;

/// Calls `kernel(first row, rows)` for chunks of whole rows.
pub(super) fn parallel(
    out: &mut [f32],
    width: usize,
    kernel: impl Fn(usize, &mut [f32]) + Sync + Send,
) {
    let n_row = (CHUNK / width.max(1)).max(1);
    if out.len() <= n_row * width {
        // Waking another thread costs more than one chunk.
        if !out.is_empty() {
            kernel(0, out);
        }
        return;
    }
    let chunks = out.par_chunks_mut(n_row * width).enumerate();
    chunks.for_each(|(chunk, rows)| kernel(chunk * n_row, rows));
}
