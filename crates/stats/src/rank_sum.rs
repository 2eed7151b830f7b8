//! Rank-based comparisons, for times that may be infinite (never reached).

use crate::StatsError;

/// Two-sided p-value of the rank-sum test (Wilcoxon, Biometrics Bulletin 1, 80 (1945)), exact even
/// with ties, which share their mean rank: the share of all divisions of the numbers into samples
/// of these sizes whose rank sum is at least as far from its mean. A number may be infinite, which
/// ranks after all others.
///
/// # Errors
/// If a sample is empty or contains NaN.
///
/// ```
/// let never = f64::INFINITY;
/// let p = batchlab_stats::rank_sum(&[1.0, 2.0, 3.0, 4.0, 5.0], &[6.0, 7.0, 8.0, never, never])?;
/// assert!((p - 2.0 / 252.0).abs() < 1e-12);
/// assert_eq!(batchlab_stats::rank_sum(&[never, never], &[never, never])?, 1.0);
/// # Ok::<(), batchlab_stats::StatsError>(())
/// ```
pub fn rank_sum(a: &[f64], b: &[f64]) -> Result<f64, StatsError> {
    if a.is_empty() || b.is_empty() {
        return Err(StatsError::TooFew { needed: 1, got: 0 });
    }
    let all: Vec<f64> = a.iter().chain(b).copied().collect();
    if let Some(index) = all.iter().position(|value| value.is_nan()) {
        return Err(StatsError::NotFinite { index });
    }
    // Twice the mean rank is an integer: the numbers that are smaller plus those that are not
    // greater.
    let rank = |value: f64| {
        let n_less = all.iter().filter(|other| **other < value).count();
        let n_not_greater = all.iter().filter(|other| **other <= value).count();
        n_less + n_not_greater + 1
    };
    let ranks: Vec<usize> = all.iter().map(|&value| rank(value)).collect();
    let observed: usize = ranks[..a.len()].iter().sum();
    let most: usize = ranks.iter().sum();
    // Number of divisions by size and rank sum of the first sample.
    let mut divisions = vec![vec![0.0_f64; most + 1]; a.len() + 1];
    divisions[0][0] = 1.0;
    for &rank in &ranks {
        for size in (1..=a.len()).rev() {
            let (smaller, larger) = divisions.split_at_mut(size);
            let from = &smaller[size - 1];
            for sum in rank..=most {
                larger[0][sum] += from[sum - rank];
            }
        }
    }
    let mean = most as f64 * a.len() as f64 / all.len() as f64;
    let distance = (observed as f64 - mean).abs() - 1e-9;
    let of_size = &divisions[a.len()];
    let far =
        |(sum, n): (usize, &f64)| if (sum as f64 - mean).abs() >= distance { *n } else { 0.0 };
    let n_far: f64 = of_size.iter().enumerate().map(far).sum();
    Ok((n_far / of_size.iter().sum::<f64>()).min(1.0))
}

/// A distribution-free confidence interval of the population median: between two order statistics
/// at the same distance from either end, with its coverage probability. It is the narrowest with at
/// least `confidence`, or else the widest. `None` for fewer than two numbers. Numbers may be
/// infinite.
///
/// ```
/// let sample = [3.0, 1.0, f64::INFINITY, 2.0, 4.0];
/// let (low, high, coverage) = batchlab_stats::median_interval(&sample, 0.95).unwrap();
/// // Five numbers are on one side of the median in 2 of 32 samples.
/// assert_eq!((low, high, coverage), (1.0, f64::INFINITY, 1.0 - 2.0 / 32.0));
/// ```
#[must_use]
pub fn median_interval(sample: &[f64], confidence: f64) -> Option<(f64, f64, f64)> {
    let n = sample.len();
    if n < 2 {
        return None;
    }
    let mut sorted = sample.to_vec();
    sorted.sort_by(f64::total_cmp);
    // Probability that at most `k` of `n` lie below the median.
    let mut below = 0.5_f64.powi(i32::try_from(n).ok()?);
    let mut of_k = below;
    let mut found = (sorted[0], sorted[n - 1], 1.0 - 2.0 * below);
    for k in 1..n / 2 {
        of_k *= (n - k + 1) as f64 / k as f64;
        below += of_k;
        let coverage = 1.0 - 2.0 * below;
        if coverage < confidence {
            break;
        }
        found = (sorted[k], sorted[n - 1 - k], coverage);
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Verified with `scipy.stats.mannwhitneyu(a, b, method="exact")` where there are no ties.
    #[test]
    fn ranks_give_known_probabilities() {
        let p = rank_sum(&[1.1, 3.4, 2.2], &[4.0, 5.0, 3.0, 6.0]).unwrap();
        assert!((p - 0.114_285_714_285_714_28).abs() < 1e-12, "{p}");
        let same = rank_sum(&[1.0, 4.0], &[2.0, 3.0]).unwrap();
        assert!((same - 1.0).abs() < 1e-12);
        // Swapping the samples changes nothing.
        let (a, b) = ([1.0, 2.0, 2.0, 9.0], [2.0, 5.0, f64::INFINITY]);
        assert!((rank_sum(&a, &b).unwrap() - rank_sum(&b, &a).unwrap()).abs() < 1e-12);
        assert!(rank_sum(&[], &[1.0]).is_err() && rank_sum(&[f64::NAN], &[1.0]).is_err());
    }

    /// The false-positive rate over all samples of a simulation with equal distributions in which a
    /// third of the numbers are infinite.
    #[test]
    fn equal_samples_are_rarely_told_apart() {
        let mut state = 1_u64;
        let mut draw = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let x = (state >> 33) as f64 / (1_u64 << 31) as f64;
            if x > 2.0 / 3.0 { f64::INFINITY } else { x }
        };
        let n = 4000;
        let wrong = (0..n)
            .filter(|_| {
                let [a, b]: [Vec<f64>; 2] = [0, 1].map(|_| (0..6).map(|_| draw()).collect());
                rank_sum(&a, &b).unwrap() <= 0.05
            })
            .count();
        // 5 % plus four standard errors.
        assert!(wrong as f64 <= 0.064 * f64::from(n), "{wrong} of {n}");
        assert!(wrong > 40, "the test never says anything: {wrong} of {n}");
    }

    #[test]
    fn intervals_narrow_with_the_sample() {
        let sample: Vec<f64> = (1..=10).map(f64::from).collect();
        let (low, high, coverage) = median_interval(&sample, 0.95).unwrap();
        assert_eq!((low, high), (2.0, 9.0));
        assert!((coverage - (1.0 - 2.0 * 11.0 / 1024.0)).abs() < 1e-12);
        assert_eq!(median_interval(&[1.0], 0.95), None);
        assert_eq!(median_interval(&[2.0, 1.0], 0.95), Some((1.0, 2.0, 0.5)));
    }
}
