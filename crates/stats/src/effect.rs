//! How large a difference is, beside how sure it is.

use std::cmp::Ordering;

use crate::error::check;
use crate::{StatsError, mean, variance};

/// Difference of the means in units of the pooled standard deviation (Cohen, Statistical Power
/// Analysis for the Behavioral Sciences, 1988).
///
/// # Errors
/// Fewer than two numbers on either side, a number that is not finite, no spread.
///
/// ```
/// let d = batchlab_stats::cohens_d(&[2.0, 3.0, 4.0], &[1.0, 2.0, 3.0])?;
/// assert_eq!(d, 1.0);
/// # Ok::<(), batchlab_stats::StatsError>(())
/// ```
pub fn cohens_d(a: &[f64], b: &[f64]) -> Result<f64, StatsError> {
    check(a, 2)?;
    check(b, 2)?;
    let weight = |sample: &[f64]| (sample.len() - 1) as f64;
    let spread = |sample: &[f64]| weight(sample) * variance(sample).unwrap_or_default();
    let pooled = (spread(a) + spread(b)) / (weight(a) + weight(b));
    if pooled <= 0.0 {
        return Err(StatsError::NoSpread);
    }
    let difference = mean(a).unwrap_or_default() - mean(b).unwrap_or_default();
    Ok(difference / pooled.sqrt())
}

/// [`cohens_d`] without its bias in small samples (Hedges, Journal of Educational Statistics 6,
/// 1981, in the usual approximation).
///
/// # Errors
/// As [`cohens_d`].
pub fn hedges_g(a: &[f64], b: &[f64]) -> Result<f64, StatsError> {
    let freedom = (a.len() + b.len()).saturating_sub(2) as f64;
    Ok(cohens_d(a, b)? * (1.0 - 3.0 / (4.0 * freedom - 1.0)))
}

/// How much more often a number of `a` is larger than one of `b` than smaller, from -1 to 1 (Cliff,
/// Psychological Bulletin 114, 1993).
///
/// # Errors
/// An empty sample, a number that is not finite.
///
/// ```
/// assert_eq!(batchlab_stats::cliffs_delta(&[2.0, 3.0], &[1.0, 2.0])?, 0.75);
/// # Ok::<(), batchlab_stats::StatsError>(())
/// ```
pub fn cliffs_delta(a: &[f64], b: &[f64]) -> Result<f64, StatsError> {
    check(a, 1)?;
    check(b, 1)?;
    let of_pair = |x: &f64, y: &f64| match x.total_cmp(y) {
        Ordering::Less => -1.0,
        Ordering::Equal => 0.0,
        Ordering::Greater => 1.0,
    };
    let sum: f64 = a.iter().flat_map(|x| b.iter().map(move |y| of_pair(x, y))).sum();
    Ok(sum / (a.len() * b.len()) as f64)
}
