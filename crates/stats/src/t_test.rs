//! Tests of a difference between means.

use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::error::{check, check_pairs};
use crate::{StatsError, mean, variance};

/// What a two-sided test says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// The test's statistic; positive if the first sample is larger.
    pub statistic: f64,
    /// Probability of a statistic as far from 0, or farther, if there is no difference.
    pub p_value: f64,
    /// Degrees of freedom; none for tests on ranks.
    pub degrees_of_freedom: Option<f64>,
}

/// Student's test for independent samples of equal variance (Biometrika 6, 1908): the study's test.
///
/// # Errors
/// Fewer than two numbers on either side, a number that is not finite, no spread.
///
/// ```
/// let outcome = batchlab_stats::student_t_test(&[1.0, 2.0, 3.0], &[2.0, 3.0, 4.0])?;
/// assert!((outcome.p_value - 0.2878641347).abs() < 1e-9);
/// # Ok::<(), batchlab_stats::StatsError>(())
/// ```
pub fn student_t_test(a: &[f64], b: &[f64]) -> Result<Outcome, StatsError> {
    let [a, b] = [Moments::of(a)?, Moments::of(b)?];
    let freedom = a.n + b.n - 2.0;
    let pooled = ((a.n - 1.0) * a.variance + (b.n - 1.0) * b.variance) / freedom;
    outcome(a.mean - b.mean, pooled * (1.0 / a.n + 1.0 / b.n), freedom)
}

/// Welch's test for independent samples of any variances (Biometrika 34, 1947).
///
/// # Errors
/// As [`student_t_test`].
pub fn welch_t_test(a: &[f64], b: &[f64]) -> Result<Outcome, StatsError> {
    let [a, b] = [Moments::of(a)?, Moments::of(b)?];
    let [of_a, of_b] = [a.variance / a.n, b.variance / b.n];
    let squared = of_a + of_b;
    let freedom = squared.powi(2) / (of_a.powi(2) / (a.n - 1.0) + of_b.powi(2) / (b.n - 1.0));
    outcome(a.mean - b.mean, squared, freedom)
}

/// Student's test of differences within pairs, such as two strategies in one block.
///
/// # Errors
/// Samples of different lengths, fewer than two pairs, a number that is not finite, differences that
/// are all equal.
pub fn paired_t_test(a: &[f64], b: &[f64]) -> Result<Outcome, StatsError> {
    check_pairs(a, b)?;
    let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    let of = Moments::of(&differences)?;
    outcome(of.mean, of.variance / of.n, of.n - 1.0)
}

/// What the tests need of a sample.
struct Moments {
    n: f64,
    mean: f64,
    variance: f64,
}

impl Moments {
    fn of(sample: &[f64]) -> Result<Self, StatsError> {
        check(sample, 2)?;
        let too_few = StatsError::TooFew { needed: 2, got: sample.len() };
        let (Some(mean), Some(variance)) = (mean(sample), variance(sample)) else {
            return Err(too_few);
        };
        Ok(Self { n: sample.len() as f64, mean, variance })
    }
}

/// `squared_error` is the variance of the difference.
fn outcome(difference: f64, squared_error: f64, freedom: f64) -> Result<Outcome, StatsError> {
    if squared_error <= 0.0 || !freedom.is_finite() {
        return Err(StatsError::NoSpread);
    }
    let statistic = difference / squared_error.sqrt();
    let distribution = StudentsT::new(0.0, 1.0, freedom).map_err(|_| StatsError::NoSpread)?;
    let p_value = 2.0 * distribution.cdf(-statistic.abs());
    Ok(Outcome { statistic, p_value, degrees_of_freedom: Some(freedom) })
}
