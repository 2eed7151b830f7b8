//! A test for a difference of means.

use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::StatsError;
use crate::independent::Moments;

/// Result of a two-sided test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// The test statistic; positive if the first sample is larger.
    pub statistic: f64,
    /// Probability of a statistic at least this far from 0 if there is no difference.
    pub p_value: f64,
}

/// Welch's t-test for independent samples with possibly different variances (Biometrika 34, 28
/// (1947)).
///
/// # Errors
/// If there are fewer than two numbers on either side, a non-finite number, or no spread.
///
/// ```
/// let outcome = batchlab_stats::welch_t_test(&[1.0, 2.0, 3.0], &[2.0, 3.0, 4.0])?;
/// assert!((outcome.p_value - 0.2878641347).abs() < 1e-9);
/// # Ok::<(), batchlab_stats::StatsError>(())
/// ```
pub fn welch_t_test(a: &[f64], b: &[f64]) -> Result<Outcome, StatsError> {
    let [a, b] = [Moments::of(a, 2)?, Moments::of(b, 2)?];
    let (squared_error, freedom) = a.welch(&b);
    if squared_error <= 0.0 {
        return Err(StatsError::NoSpread);
    }
    let statistic = (a.mean - b.mean) / squared_error.sqrt();
    let distribution = StudentsT::new(0.0, 1.0, freedom).map_err(|_| StatsError::NoSpread)?;
    Ok(Outcome { statistic, p_value: 2.0 * distribution.cdf(-statistic.abs()) })
}
