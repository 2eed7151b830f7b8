//! Location and spread.

/// Arithmetic mean; `None` for an empty sample.
///
/// ```
/// assert_eq!(batchlab_stats::mean(&[1.0, 2.0, 6.0]), Some(3.0));
/// assert_eq!(batchlab_stats::mean(&[]), None);
/// ```
#[must_use]
pub fn mean(sample: &[f64]) -> Option<f64> {
    (!sample.is_empty()).then(|| sample.iter().sum::<f64>() / sample.len() as f64)
}

/// Sample variance (n - 1 in the denominator); `None` for fewer than two numbers.
pub(crate) fn variance(sample: &[f64]) -> Option<f64> {
    let centre = mean(sample)?;
    let squares: f64 = sample.iter().map(|x| (x - centre).powi(2)).sum();
    (sample.len() > 1).then(|| squares / (sample.len() - 1) as f64)
}

/// Median; `None` for an empty sample.
///
/// ```
/// assert_eq!(batchlab_stats::median(&[9.0, 1.0, 2.0, 4.0]), Some(3.0));
/// ```
#[must_use]
pub fn median(sample: &[f64]) -> Option<f64> {
    let mut sorted = sample.to_vec();
    sorted.sort_by(f64::total_cmp);
    quantile_of_sorted(&sorted, 0.5)
}

/// The `p`-quantile of sorted numbers, with linear interpolation: definition 7 of Hyndman and Fan
/// (The American Statistician 50, 1996), the default of `NumPy` and R. `None` for an empty sample.
pub(crate) fn quantile_of_sorted(sorted: &[f64], p: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = p.clamp(0.0, 1.0) * last as f64;
    #[allow(clippy::cast_sign_loss, reason = "clamped at 0")]
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    Some(sorted[below] + (place - below as f64) * (sorted[above] - sorted[below]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_and_variances_are_those_of_numpy() {
        let sample = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(
            [0.0, 0.25, 1.0].map(|p| quantile_of_sorted(&sample, p)),
            [1.0, 1.75, 4.0].map(Some)
        );
        assert_eq!(variance(&[1.0, 2.0, 6.0]), Some(7.0));
        assert_eq!(variance(&[1.0]), None);
    }
}
