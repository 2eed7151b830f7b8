//! Top-k selection.

use std::cmp::Ordering;

/// Keeps the `k` nodes with the highest scores, best first; ties by node number.
///
/// ```
/// let mut scores = vec![(4, 0.1), (2, 0.3), (1, 0.1), (0, 0.05)];
/// batchlab_ppr::keep_top(&mut scores, 2);
/// assert_eq!(scores, [(2, 0.3), (1, 0.1)]);
/// ```
pub fn keep_top(scores: &mut Vec<(u32, f64)>, k: usize) {
    if k < scores.len() {
        scores.select_nth_unstable_by(k, better_first);
        scores.truncate(k);
    }
    scores.sort_unstable_by(better_first);
}

fn better_first(a: &(u32, f64), b: &(u32, f64)) -> Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}
