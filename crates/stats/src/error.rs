//! Errors of the statistics.

use thiserror::Error;

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StatsError {
    #[error(
        "{needed} numbers are the minimum, but there are {got}; measure more pairs of blocks or seeds"
    )]
    TooFew { needed: usize, got: usize },
    #[error("there are not two strategies to compare")]
    NothingToCompare,
    #[error(
        "a row has {other} numbers, but the first has {first}: each needs one for every strategy"
    )]
    Ragged { first: usize, other: usize },
    #[error("the strategy to compare with is not among those that were measured")]
    NoSuchStrategy,
    #[error("number {index} of a sample is not finite; leave out runs that diverged before")]
    NotFinite {
        /// Index, from 0.
        index: usize,
    },
    #[error("all numbers are equal, so that there is no spread to compare with")]
    NoSpread,
    #[error("a level lies between 0 and 1, for example 0.05")]
    Level,
}

/// Rejects samples of fewer than `needed` numbers, and non-finite numbers.
pub(crate) fn check(sample: &[f64], needed: usize) -> Result<(), StatsError> {
    if let Some(index) = sample.iter().position(|x| !x.is_finite()) {
        return Err(StatsError::NotFinite { index });
    }
    if sample.len() < needed {
        return Err(StatsError::TooFew { needed, got: sample.len() });
    }
    Ok(())
}
