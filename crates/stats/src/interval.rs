//! Confidence intervals of means.

use crate::StatsError;
use crate::independent::Moments;
use crate::quantile::bonferroni;

/// Lower end, mean and upper end of the confidence interval of a mean (Student's t).
///
/// # Errors
/// If there are fewer than two numbers, a non-finite number, or a level outside of (0, 1).
pub fn mean_interval(sample: &[f64], level: f64) -> Result<(f64, f64, f64), StatsError> {
    let Moments { n, mean, variance } = Moments::of(sample, 2)?;
    let half_width = bonferroni(level, 1, n - 1.0)? * (variance / n).sqrt();
    Ok((mean - half_width, mean, mean + half_width))
}

/// Simultaneous confidence intervals of the means of several samples with a common spread; a sample
/// may hold a single number. Input per sample: count, mean, and sum of squared deviations from it.
///
/// # Errors
/// If a sample is empty, there are fewer than two numbers beyond one per sample, or the level is
/// outside of (0, 1).
pub fn pooled_intervals(
    samples: &[(f64, f64, f64)],
    level: f64,
) -> Result<Vec<(f64, f64, f64)>, StatsError> {
    let freedom: f64 = samples.iter().map(|(n, _, _)| n - 1.0).sum();
    if samples.iter().any(|(n, _, _)| *n < 1.0) || freedom < 2.0 {
        return Err(StatsError::NoSpread);
    }
    let variance = samples.iter().map(|(_, _, squares)| squares).sum::<f64>() / freedom;
    let quantile = bonferroni(level, samples.len(), freedom)?;
    let interval = |&(n, mean, _): &(f64, f64, f64)| {
        let half_width = quantile * (variance / n).sqrt();
        (mean - half_width, mean, mean + half_width)
    };
    Ok(samples.iter().map(interval).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// t(0.975, 2) = 4.302653; the standard deviation of 1, 2, 3 is 1.
    #[test]
    fn of_one_mean_as_computed_by_hand() {
        let (low, mean, high) = mean_interval(&[1.0, 2.0, 3.0], 0.05).unwrap();
        let half_width = 4.302_653 / 3.0_f64.sqrt();
        assert!((mean - 2.0).abs() < 1e-12 && (high - mean - half_width).abs() < 1e-6);
        assert!((mean - low - half_width).abs() < 1e-6);
    }

    /// 4 degrees of freedom, variance 8 / 4 = 2, Bonferroni over two: t(1 - 0.0125, 4) = 3.495406.
    #[test]
    fn of_several_means_with_the_spread_of_all() {
        let both = pooled_intervals(&[(5.0, 10.0, 8.0), (1.0, 3.0, 0.0)], 0.05).unwrap();
        let half_widths = both.iter().map(|(low, _, high)| (high - low) / 2.0);
        let expected = [5.0_f64, 1.0].map(|n| 3.495_406 * (2.0 / n).sqrt());
        for (found, expected) in half_widths.zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
        assert!(pooled_intervals(&[(1.0, 1.0, 0.0), (1.0, 2.0, 0.0)], 0.05).is_err());
        assert!(pooled_intervals(&[(0.0, 0.0, 0.0), (9.0, 2.0, 1.0)], 0.05).is_err());
    }
}
