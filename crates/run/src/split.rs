//! Splits a data set into training, validation and test set.

use batchlab_config::{Split, Subset};
use batchlab_core::graphs::{FixedSplit, Target, TargetKind};
use batchlab_core::{Graphs, random};

use crate::RunError;

/// Identifiers of the members of each subset, in a random but fixed order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subsets {
    pub train: Vec<u32>,
    pub validation: Vec<u32>,
    pub test: Vec<u32>,
}

impl Subsets {
    /// The published split, where there is one and it is wanted, else a random one.
    ///
    /// # Errors
    /// A training set without members.
    pub fn new(graphs: &Graphs, split: Split, seed: u64) -> Result<Self, RunError> {
        match &graphs.split {
            Some(FixedSplit { train, .. }) if split.published && train.is_empty() => {
                Err(RunError::config("the published split has no training set"))
            }
            Some(FixedSplit { train, validation, test }) if split.published => Ok(Self {
                train: train.clone(),
                validation: validation.clone(),
                test: test.clone(),
            }),
            _ => {
                let Self { mut train, mut validation, mut test } =
                    Self::draw(graphs.n_member(), split, seed)?;
                // Nodes without a class cannot be outputs.
                let has_target = |&id: &u32| match &graphs.target {
                    Some(Target { kind: TargetKind::Classes { .. }, value, .. }) => {
                        value[id as usize] >= 0.0
                    }
                    _ => true,
                };
                for subset in [&mut train, &mut validation, &mut test] {
                    subset.retain(has_target);
                }
                Ok(Self { train, validation, test })
            }
        }
    }

    /// Draws the subsets from `n` members.
    ///
    /// # Errors
    /// A training set without members.
    pub fn draw(n: usize, split: Split, seed: u64) -> Result<Self, RunError> {
        let order = random::permutation(seed, "split", 0, n);
        #[allow(clippy::cast_sign_loss, reason = "shares are not negative")]
        let share = |fraction| (f64::from(fraction) * n as f64).floor() as usize;
        let (n_validation, n_test) = (share(split.validation), share(split.test));
        let n_train = n - n_validation - n_test;
        if n_train == 0 {
            return Err(RunError::config(format!("of {n} graphs none is left to train on")));
        }
        let (train, held_out) = order.split_at(n_train);
        let (validation, test) = held_out.split_at(n_validation);
        Ok(Self { train: train.to_vec(), validation: validation.to_vec(), test: test.to_vec() })
    }

    #[must_use]
    pub fn of(&self, subset: Subset) -> &[u32] {
        match subset {
            Subset::Train => &self.train,
            Subset::Validation => &self.validation,
            Subset::Test => &self.test,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_is_in_one_subset() {
        let subsets = Subsets::draw(1003, Split::default(), 1).unwrap();
        assert_eq!(
            (subsets.train.len(), subsets.validation.len(), subsets.test.len()),
            (803, 100, 100)
        );
        let mut all = [subsets.train, subsets.validation, subsets.test].concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..1003));
    }

    #[test]
    fn another_seed_gives_another_split() {
        let draw = |seed| Subsets::draw(100, Split::default(), seed).unwrap();
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
