//! A test of a difference between means.

use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::describe::variance;
use crate::error::check;
use crate::{StatsError, mean};

/// Result of a two-sided test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// The test's statistic; positive if the first sample is larger.
    pub statistic: f64,
    /// Probability of a statistic as far from 0, or farther, if there is no difference.
    pub p_value: f64,
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
    let squared_error = pooled * (1.0 / a.n + 1.0 / b.n);
    if squared_error <= 0.0 {
        return Err(StatsError::NoSpread);
    }
    let statistic = (a.mean - b.mean) / squared_error.sqrt();
    let distribution = StudentsT::new(0.0, 1.0, freedom).map_err(|_| StatsError::NoSpread)?;
    Ok(Outcome { statistic, p_value: 2.0 * distribution.cdf(-statistic.abs()) })
}

/// What the test needs of a sample.
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
