//! Centre and spread.

/// Arithmetic mean; none without numbers.
///
/// ```
/// assert_eq!(batchlab_stats::mean(&[1.0, 2.0, 6.0]), Some(3.0));
/// assert_eq!(batchlab_stats::mean(&[]), None);
/// ```
#[must_use]
pub fn mean(sample: &[f64]) -> Option<f64> {
    (!sample.is_empty()).then(|| sample.iter().sum::<f64>() / sample.len() as f64)
}

/// Variance with n - 1 in the denominator; none with fewer than two numbers.
///
/// ```
/// assert_eq!(batchlab_stats::variance(&[1.0, 2.0, 6.0]), Some(7.0));
/// ```
#[must_use]
pub fn variance(sample: &[f64]) -> Option<f64> {
    let centre = mean(sample)?;
    let squares: f64 = sample.iter().map(|x| (x - centre).powi(2)).sum();
    (sample.len() > 1).then(|| squares / (sample.len() - 1) as f64)
}

/// The middle number, or the mean of the two in the middle; none without numbers.
///
/// ```
/// assert_eq!(batchlab_stats::median(&[9.0, 1.0, 2.0, 4.0]), Some(3.0));
/// ```
#[must_use]
pub fn median(sample: &[f64]) -> Option<f64> {
    quantile(sample, 0.5)
}

/// The `p`-quantile between order statistics, linear between them: definition 7 of Hyndman and Fan
/// (The American Statistician 50, 1996), which `NumPy` and R use by default. None without numbers.
///
/// ```
/// let sample = [4.0, 1.0, 3.0, 2.0];
/// assert_eq!(batchlab_stats::quantile(&sample, 0.25), Some(1.75));
/// assert_eq!(batchlab_stats::quantile(&sample, 1.0), Some(4.0));
/// ```
#[must_use]
pub fn quantile(sample: &[f64], p: f64) -> Option<f64> {
    let mut sorted = sample.to_vec();
    sorted.sort_by(f64::total_cmp);
    quantile_of_sorted(&sorted, p)
}

/// The same of numbers in ascending order.
pub(crate) fn quantile_of_sorted(sorted: &[f64], p: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = p.clamp(0.0, 1.0) * last as f64;
    #[allow(clippy::cast_sign_loss, reason = "clamped at 0")]
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    Some(sorted[below] + (place - below as f64) * (sorted[above] - sorted[below]))
}
