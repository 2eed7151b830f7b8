//! Compares strategies measured independently.

use crate::all_pairs::{Standing, standings};
use crate::describe::variance;
use crate::error::check;
use crate::quantile::bonferroni;
use crate::{StatsError, mean};

const FEWEST: usize = 3;

/// Like [`compare_with_best`](crate::compare_with_best), for unpaired samples: one per strategy,
/// with the logarithms of its runs. The half width for a pair is the larger of Welch's and the
/// pooled one.
///
/// # Errors
/// If there are fewer than two samples, fewer than three numbers in one, a non-finite number, no
/// spread at all, or a level outside of (0, 1).
pub fn compare_independent(samples: &[Vec<f64>], level: f64) -> Result<Vec<Standing>, StatsError> {
    if samples.len() < 2 {
        return Err(StatsError::NothingToCompare);
    }
    let moments: Vec<Moments> =
        samples.iter().map(|sample| Moments::of(sample, FEWEST)).collect::<Result<_, _>>()?;
    let n_comparison = samples.len() * (samples.len() - 1) / 2;
    let freedom: f64 = moments.iter().map(|m| m.n - 1.0).sum();
    let pooled = moments.iter().map(|m| (m.n - 1.0) * m.variance).sum::<f64>() / freedom;
    if pooled <= 0.0 {
        return Err(StatsError::NoSpread);
    }
    let of_all = bonferroni(level, n_comparison, freedom)?;
    let half_width = |i: usize, j: usize| -> f64 {
        let (a, b) = (&moments[i], &moments[j]);
        let together = of_all * (pooled * (1.0 / a.n + 1.0 / b.n)).sqrt();
        let (squared_error, freedom) = a.welch(b);
        let own = bonferroni(level, n_comparison, freedom).map(|t| t * squared_error.sqrt());
        own.map_or(together, |own| own.max(together))
    };
    let means: Vec<f64> = moments.iter().map(|m| m.mean).collect();
    Ok(standings(&means, half_width))
}

/// Confidence interval of the difference of two means, first minus second (Welch).
///
/// # Errors
/// As for [`compare_independent`].
pub fn difference(a: &[f64], b: &[f64], level: f64) -> Result<(f64, f64), StatsError> {
    let [a, b] = [Moments::of(a, FEWEST)?, Moments::of(b, FEWEST)?];
    let (squared_error, freedom) = a.welch(&b);
    if squared_error <= 0.0 {
        return Err(StatsError::NoSpread);
    }
    let half_width = bonferroni(level, 1, freedom)? * squared_error.sqrt();
    let centre = a.mean - b.mean;
    Ok((centre - half_width, centre + half_width))
}

/// Summary statistics of a sample.
pub(crate) struct Moments {
    pub(crate) n: f64,
    pub(crate) mean: f64,
    pub(crate) variance: f64,
}

impl Moments {
    pub(crate) fn of(sample: &[f64], fewest: usize) -> Result<Self, StatsError> {
        check(sample, fewest)?;
        let too_few = StatsError::TooFew { needed: fewest, got: sample.len() };
        let (Some(mean), Some(variance)) = (mean(sample), variance(sample)) else {
            return Err(too_few);
        };
        Ok(Self { n: sample.len() as f64, mean, variance })
    }

    /// Squared standard error of the difference of two means with unequal variances, and its
    /// degrees of freedom (Welch, Biometrika 34, 28 (1947)); NaN if neither sample has any spread.
    pub(crate) fn welch(&self, other: &Self) -> (f64, f64) {
        let [a, b] = [self, other].map(|m| m.variance / m.n);
        let freedom = (a + b).powi(2) / (a * a / (self.n - 1.0) + b * b / (other.n - 1.0));
        (a + b, freedom)
    }
}
