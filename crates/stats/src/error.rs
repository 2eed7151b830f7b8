//! Errors of the statistics.

use thiserror::Error;

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StatsError {
    #[error(
        "{needed} numbers are needed at least, but there are {got}; measure more blocks or seeds"
    )]
    TooFew { needed: usize, got: usize },
    #[error("pairs need equally many numbers, but there are {first} and {second}")]
    Unpaired { first: usize, second: usize },
    #[error("number {index} of a sample is not finite; leave out runs that diverged before")]
    NotFinite {
        /// Its place, from 0.
        index: usize,
    },
    #[error(
        "all numbers (or all differences) are equal, so that there is no spread to compare with"
    )]
    NoSpread,
    #[error("a ratio needs numbers above 0")]
    NotPositive,
    #[error("a confidence lies between 0 and 1, for example 0.95")]
    Confidence,
}

/// Refuses samples of fewer than `needed` numbers and numbers that are not finite.
pub(crate) fn check(sample: &[f64], needed: usize) -> Result<(), StatsError> {
    if let Some(index) = sample.iter().position(|x| !x.is_finite()) {
        return Err(StatsError::NotFinite { index });
    }
    if sample.len() < needed {
        return Err(StatsError::TooFew { needed, got: sample.len() });
    }
    Ok(())
}

/// As many numbers on either side.
pub(crate) fn check_pairs(a: &[f64], b: &[f64]) -> Result<(), StatsError> {
    if a.len() == b.len() {
        Ok(())
    } else {
        Err(StatsError::Unpaired { first: a.len(), second: b.len() })
    }
}
