//! What cannot be computed.

use thiserror::Error;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StatsError {
    /// A test or interval needs more numbers.
    #[error(
        "{needed} numbers are needed at least, but there are {got}; measure more blocks or seeds"
    )]
    TooFew {
        /// How many are needed.
        needed: usize,
        /// How many there are.
        got: usize,
    },
    /// Pairs need as many numbers on either side.
    #[error("pairs need equally many numbers, but there are {first} and {second}")]
    Unpaired {
        /// Numbers of the first sample.
        first: usize,
        /// Numbers of the second.
        second: usize,
    },
    /// A number that is infinite or not a number.
    #[error("number {index} of a sample is not finite; leave out runs that diverged before")]
    NotFinite {
        /// Its place, from 0.
        index: usize,
    },
    /// All numbers are equal, so that nothing can be said about chance.
    #[error(
        "all numbers (or all differences) are equal, so that there is no spread to compare with"
    )]
    NoSpread,
    /// A ratio to numbers that are not above 0.
    #[error("a ratio needs numbers above 0")]
    NotPositive,
    /// A probability outside of its range.
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
