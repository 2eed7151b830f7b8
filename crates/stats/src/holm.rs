//! Multiple testing.

/// Holm-corrected p-values (Scandinavian Journal of Statistics 6, 1979), in the order given.
/// Rejecting those below a level keeps the probability of any false rejection below it, whatever
/// the tests' dependence.
///
/// ```
/// assert_eq!(batchlab_stats::holm(&[0.01, 0.04, 0.03]), [0.03, 0.06, 0.06]);
/// ```
#[must_use]
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let n = p_values.len();
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| p_values[i].total_cmp(&p_values[j]));
    let mut corrected = vec![0.0; n];
    let mut largest: f64 = 0.0;
    for (rank, &i) in order.iter().enumerate() {
        largest = largest.max(p_values[i] * (n - rank) as f64).min(1.0);
        corrected[i] = largest;
    }
    corrected
}
