//! A test of differences within pairs that asks for no normal distribution.

use statrs::distribution::{ContinuousCDF, Normal};

use crate::error::{check, check_pairs};
use crate::{Outcome, StatsError};

/// Above this number of pairs, or with ties, the normal approximation is used.
const MOST_EXACT: usize = 50;

/// Wilcoxon's signed-rank test (Biometrics Bulletin 1, 1945), two-sided. Pairs without a difference
/// are left out. Exact up to 50 pairs without ties, as `SciPy`; else the normal approximation with
/// the correction for ties and without one for continuity.
///
/// The statistic is the sum of the signed ranks.
///
/// # Errors
/// Samples of different lengths, a number that is not finite, no pair with a difference.
///
/// ```
/// let outcome = batchlab_stats::wilcoxon_signed_rank(
///     &[1.1, 2.3, 3.7, 4.2, 5.9, 6.4],
///     &[1.0, 2.1, 3.4, 3.8, 5.4, 5.8],
/// )?;
/// // All six differences are positive: 2 of 2^6 sign patterns are as extreme.
/// assert_eq!(outcome.p_value, 2.0 / 64.0);
/// # Ok::<(), batchlab_stats::StatsError>(())
/// ```
pub fn wilcoxon_signed_rank(a: &[f64], b: &[f64]) -> Result<Outcome, StatsError> {
    check_pairs(a, b)?;
    let mut differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    check(&differences, 1)?;
    differences.retain(|&difference| difference != 0.0);
    if differences.is_empty() {
        return Err(StatsError::NoSpread);
    }
    differences.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
    let ranks = Ranks::of(&differences);
    let p_value = if differences.len() <= MOST_EXACT && ranks.tie_correction == 0.0 {
        exact(differences.len(), ranks.smaller())
    } else {
        approximate(differences.len(), &ranks)
    };
    let statistic = ranks.positive - ranks.negative;
    Ok(Outcome { statistic, p_value, degrees_of_freedom: None })
}

/// Sums of the ranks of differences above and below 0.
struct Ranks {
    positive: f64,
    negative: f64,
    /// Sum of t^3 - t over groups of t equal differences.
    tie_correction: f64,
}

impl Ranks {
    /// Of differences sorted by their absolute values; equal ones share their mean rank.
    fn of(sorted: &[f64]) -> Self {
        let mut ranks = Self { positive: 0.0, negative: 0.0, tie_correction: 0.0 };
        let mut before = 0;
        for tied in sorted.chunk_by(|a, b| a.abs().total_cmp(&b.abs()).is_eq()) {
            let n = tied.len() as f64;
            let rank = before as f64 + f64::midpoint(1.0, n);
            for difference in tied {
                *(if *difference > 0.0 { &mut ranks.positive } else { &mut ranks.negative }) +=
                    rank;
            }
            ranks.tie_correction += n.powi(3) - n;
            before += tied.len();
        }
        ranks
    }

    fn smaller(&self) -> f64 {
        self.positive.min(self.negative)
    }
}

/// Among the 2^n patterns of signs, those whose sum of ranks is at most `sum`, twice.
fn exact(n: usize, sum: f64) -> f64 {
    let largest = n * (n + 1) / 2;
    // Share of the patterns with each sum, one rank after the other.
    let mut share = vec![0.0; largest + 1];
    share[0] = 1.0;
    for rank in 1..=n {
        for total in (0..=largest).rev() {
            let with = if total >= rank { share[total - rank] } else { 0.0 };
            share[total] = f64::midpoint(share[total], with);
        }
    }
    #[allow(clippy::cast_sign_loss, reason = "a sum of ranks")]
    let sum = sum as usize;
    (2.0 * share[..=sum].iter().sum::<f64>()).min(1.0)
}

fn approximate(n: usize, ranks: &Ranks) -> f64 {
    let n = n as f64;
    let mean = n * (n + 1.0) / 4.0;
    let variance = n * (n + 1.0) * (2.0 * n + 1.0) / 24.0 - ranks.tie_correction / 48.0;
    let z = (ranks.smaller() - mean) / variance.sqrt();
    (2.0 * Normal::standard().cdf(z)).min(1.0)
}
