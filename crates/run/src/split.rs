//! Splits a data set into training, validation and test sets.

use batchlab_config::{PerClass, Split, Subset};
use batchlab_core::graphs::{FixedSplit, Target, TargetKind};
use batchlab_core::{Graphs, random};

use crate::RunError;

/// Member identifiers of each subset, in a random but fixed order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subsets {
    pub train: Vec<u32>,
    pub validation: Vec<u32>,
    pub test: Vec<u32>,
}

impl Subsets {
    /// The published split, if it exists and is requested; otherwise a random one.
    ///
    /// # Errors
    /// A training set without members.
    pub fn new(graphs: &Graphs, split: Split, seed: u64) -> Result<Self, RunError> {
        if let Some(per_class) = split.per_class {
            if graphs.split.is_some() && split.published {
                return Err(RunError::config(
                    "the data set comes with a split; to draw another with split.per_class, set \
                     split.published = false",
                ));
            }
            return Self::draw_per_class(graphs, per_class, seed);
        }
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
                if train.is_empty() {
                    return Err(RunError::config(format!(
                        "none of the {} drawn for training has a class; draw others with another \
                         training.seeds.split, or ask for smaller shares",
                        graphs.level().outputs()
                    )));
                }
                Ok(Self { train, validation, test })
            }
        }
    }

    /// Draws this many members of each class for training and validation; the others with a class
    /// are for testing.
    fn draw_per_class(graphs: &Graphs, per_class: PerClass, seed: u64) -> Result<Self, RunError> {
        let Some(Target { kind: TargetKind::Classes { name }, value, .. }) = &graphs.target else {
            return Err(RunError::config("split.per_class needs a target of classes"));
        };
        let (n_train, n_validation) = (per_class.train.get(), per_class.validation.get());
        let mut taken = vec![0_u32; name.len()];
        let mut subsets = Self { train: Vec::new(), validation: Vec::new(), test: Vec::new() };
        for member in random::permutation(seed, "split", 0, graphs.n_member()) {
            let class = value[member as usize];
            if class < 0.0 {
                continue;
            }
            #[allow(clippy::cast_sign_loss, reason = "checked to be non-negative")]
            let taken = &mut taken[class as usize];
            *taken += 1;
            let subset = match *taken {
                n if n <= n_train => &mut subsets.train,
                n if n - n_train <= n_validation => &mut subsets.validation,
                _ => &mut subsets.test,
            };
            subset.push(member);
        }
        let wanted = n_train.saturating_add(n_validation);
        if let Some(class) = taken.iter().position(|&n| n > 0 && n < wanted) {
            return Err(RunError::config(format!(
                "class \"{}\" has {} members, but split.per_class asks for {n_train} and \
                 {n_validation}; ask for fewer",
                name[class], taken[class]
            )));
        }
        if subsets.test.is_empty() {
            return Err(RunError::config(
                "split.per_class leaves nothing for testing; ask for fewer of each class",
            ));
        }
        Ok(subsets)
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
            return Err(RunError::config(format!(
                "none of the {n} members is left for training; use smaller shares"
            )));
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
    use std::num::NonZeroU32;

    use batchlab_core::graphs::{Edges, ManyGraphs, Topology};

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
    fn classes_give_equal_numbers() {
        let n_node = vec![1; 30];
        let many = ManyGraphs::new(&n_node, Edges::FullyConnected).unwrap();
        let mut graphs = Graphs::new("test", Topology::Many(many)).unwrap();
        // Ten of class 0, nineteen of class 1, and one without a class.
        let value = (0..30)
            .map(|i| {
                if i < 10 {
                    0.0
                } else if i < 29 {
                    1.0
                } else {
                    -1.0
                }
            })
            .collect();
        graphs.target = Some(Target::classes("class", vec!["a".into(), "b".into()], value));
        let split = |train: u32, validation: u32| {
            let [train, validation] = [train, validation].map(|n| NonZeroU32::new(n).unwrap());
            let per_class = Some(PerClass { train, validation });
            Subsets::new(&graphs, Split { per_class, ..Split::default() }, 1)
        };
        let subsets = split(3, 2).unwrap();
        let count = |subset: &[u32]| subset.iter().filter(|&&member| member < 10).count();
        assert_eq!((count(&subsets.train), subsets.train.len()), (3, 6));
        assert_eq!((count(&subsets.validation), subsets.validation.len()), (2, 4));
        assert_eq!((count(&subsets.test), subsets.test.len()), (5, 19));
        let error = split(8, 3).unwrap_err().to_string();
        assert!(error.contains("class \"a\" has 10 members, but split.per_class asks for 8 and 3"));
        graphs.split = Some(FixedSplit { train: vec![0], validation: vec![1], test: vec![2] });
        let per_class = Some(PerClass { train: NonZeroU32::MIN, validation: NonZeroU32::MIN });
        let of = |published| {
            Subsets::new(&graphs, Split { per_class, published, ..Split::default() }, 1)
        };
        assert!(of(true).unwrap_err().to_string().contains("split.published = false"));
        assert_eq!(of(false).unwrap().train.len(), 2);
    }

    #[test]
    fn another_seed_gives_another_split() {
        let draw = |seed| Subsets::draw(100, Split::default(), seed).unwrap();
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
