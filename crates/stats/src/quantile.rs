//! Quantiles of distributions.

use statrs::distribution::{ChiSquared, ContinuousCDF, StudentsT};

use crate::StatsError;

/// The `p`-quantile of Student's t.
pub(crate) fn student(p: f64, freedom: f64) -> Result<f64, StatsError> {
    let distribution = StudentsT::new(0.0, 1.0, freedom).map_err(|_| StatsError::NoSpread)?;
    Ok(distribution.inverse_cdf(p))
}

/// The Bonferroni-corrected quantile for `n_comparison` simultaneous two-sided comparisons.
pub(crate) fn bonferroni(level: f64, n_comparison: usize, freedom: f64) -> Result<f64, StatsError> {
    if !(level > 0.0 && level < 1.0) {
        return Err(StatsError::Level);
    }
    student(1.0 - level / (2 * n_comparison.max(1)) as f64, freedom)
}

/// The `p`-quantile of the chi-squared distribution.
pub(crate) fn chi_squared(p: f64, freedom: f64) -> Option<f64> {
    Some(ChiSquared::new(freedom).ok()?.inverse_cdf(p))
}
