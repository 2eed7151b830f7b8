//! The target and its scale.

use serde::{Deserialize, Serialize};

use crate::DatasetError;

/// The prediction target.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Name in the configuration.
    pub name: String,
    /// A number or a class.
    pub kind: TargetKind,
    /// True values in the target's unit, or class numbers; one per graph, or one per node of one
    /// graph. NaN or a negative class marks a missing value.
    pub value: Vec<f64>,
    /// Training values: standardised values, or class numbers. Same length.
    pub training: Vec<f32>,
    /// How `training` is derived from `value`.
    pub standardisation: Standardisation,
}

/// Whether a target is a number or a class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    /// A number.
    Regression {
        /// For example `eV`; `None` for dimensionless numbers.
        unit: Option<String>,
    },
    /// One of several classes.
    Classes {
        /// Name of each class.
        name: Vec<String>,
    },
}

/// `training = (value - mean) / deviation`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Standardisation {
    /// Mean over the training set, in the target's unit.
    pub mean: f64,
    /// Standard deviation over the training set (division by n), in the target's unit.
    pub deviation: f64,
}

impl Default for Standardisation {
    fn default() -> Self {
        Self { mean: 0.0, deviation: 1.0 }
    }
}

impl TargetKind {
    /// The unit of a numeric target, if it has one.
    #[must_use]
    pub fn unit(&self) -> Option<&str> {
        match self {
            Self::Regression { unit } => unit.as_deref(),
            Self::Classes { .. } => None,
        }
    }
}

impl Target {
    /// A numeric target, not standardised yet.
    #[must_use]
    pub fn regression<'a>(name: &str, unit: impl Into<Option<&'a str>>, value: Vec<f64>) -> Self {
        let unit = unit.into().map(str::to_owned);
        Self::new(name, TargetKind::Regression { unit }, value)
    }

    /// A class per graph or node.
    #[must_use]
    pub fn classes(name: &str, classes: Vec<String>, value: Vec<f64>) -> Self {
        Self::new(name, TargetKind::Classes { name: classes }, value)
    }

    /// The true value of a graph or node, unless it is missing.
    #[must_use]
    pub fn known(&self, member: u32) -> Option<f64> {
        let value = self.value[member as usize];
        let has_none = match self.kind {
            TargetKind::Regression { .. } => value.is_nan(),
            TargetKind::Classes { .. } => value.is_nan() || value < 0.0,
        };
        (!has_none).then_some(value)
    }

    fn new(name: &str, kind: TargetKind, value: Vec<f64>) -> Self {
        let training = value.iter().map(|&v| v as f32).collect();
        let standardisation = Standardisation::default();
        Self { name: name.to_owned(), kind, value, training, standardisation }
    }

    /// Standardises a numeric target by mean and deviation over `members`; class targets are
    /// unchanged. A constant target keeps its scale.
    pub fn standardise(&mut self, members: &[u32]) {
        if matches!(self.kind, TargetKind::Classes { .. }) || members.is_empty() {
            return;
        }
        let (mean, deviation) = self.moments(members);
        let deviation = if deviation == 0.0 { 1.0 } else { deviation };
        self.scale(Standardisation { mean, deviation });
    }

    /// Whether all of `members` have the same value or class.
    #[must_use]
    pub fn is_constant(&self, members: &[u32]) -> bool {
        !members.is_empty() && self.moments(members).1 == 0.0
    }

    /// Mean and standard deviation over `members`; a deviation within rounding error is returned as
    /// 0.
    fn moments(&self, members: &[u32]) -> (f64, f64) {
        let n = members.len() as f64;
        let values = || members.iter().map(|&id| self.value[id as usize]);
        let mean = values().sum::<f64>() / n;
        let variance = values().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        let deviation = variance.sqrt();
        (mean, if deviation <= 1e-12 * mean.abs() { 0.0 } else { deviation })
    }

    /// Scales a numeric target; class targets are unchanged.
    pub fn scale(&mut self, standardisation: Standardisation) {
        self.standardisation = standardisation;
        if matches!(self.kind, TargetKind::Regression { .. }) {
            let Standardisation { mean, deviation } = standardisation;
            self.training = self.value.iter().map(|v| ((v - mean) / deviation) as f32).collect();
        }
    }

    /// Checks that errors can be computed: values and their squares must stay finite, including
    /// standardised values in single precision. Call after [`Target::standardise`].
    ///
    /// # Errors
    /// The first value that is too large.
    pub fn check_range(&self) -> Result<(), DatasetError> {
        // Squared differences are summed over as many graphs as a data set may have.
        let is_wide = |value: f64| value.abs() > f64::MAX.sqrt() / 1e9;
        let is_lost = |value: f32| value.is_infinite();
        let mut pairs = self.value.iter().zip(&self.training);
        match pairs.position(|(&value, &training)| is_wide(value) || is_lost(training)) {
            None => Ok(()),
            Some(at) => Err(DatasetError::Target {
                name: self.name.clone(),
                at,
                value: self.value[at],
                reason: "its square, or its ratio to the deviation of the training set, is beyond \
                         what numbers can hold; correct it, or choose another unit",
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standardised_targets_have_mean_0_and_deviation_1_over_the_training_set() {
        let mut target = Target::regression("U0", "eV", vec![1.0, 3.0, 100.0]);
        target.standardise(&[0, 1]);
        assert_eq!(target.standardisation, Standardisation { mean: 2.0, deviation: 1.0 });
        assert_eq!(target.training, [-1.0, 1.0, 98.0]);
    }

    #[test]
    fn values_beyond_their_squares_are_refused() {
        for (values, wrong) in [
            (vec![1.0, 1e308, 2.0], Some(1)),
            (vec![1.0, 2.0, -1e200], Some(2)),
            // Only the training set determines the scale.
            (vec![1.0, 2.0, 1e60], Some(2)),
            (vec![1e100, 2e100, 3e100], None),
        ] {
            let mut target = Target::regression("U0", "eV", values);
            target.standardise(&[0, 1]);
            match (target.check_range(), wrong) {
                (Ok(()), None) => {}
                (Err(DatasetError::Target { at, .. }), Some(wrong)) => assert_eq!(at, wrong),
                (other, wrong) => panic!("{other:?}, expected {wrong:?}"),
            }
        }
    }

    #[test]
    fn a_constant_target_keeps_its_scale() {
        for value in [0.0, 0.1, -0.2543] {
            let mut target = Target::regression("mu", "D", vec![value; 1601]);
            target.standardise(&(0..1601).collect::<Vec<_>>());
            assert!((target.standardisation.deviation - 1.0).abs() < f64::EPSILON);
            assert!(target.is_constant(&[3, 4]));
        }
    }
}
