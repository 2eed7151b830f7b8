//! Decisions based on evaluations during training: the learning rate, and when to stop.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::number::{Fraction, NotNegative};

/// How long a model is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// This many steps.
    Steps(u64),
    /// This many epochs, each with as many steps as the batcher makes of it.
    Epochs(u64),
}

/// Reduces the learning rate when the validation loss stops falling; only evaluations after the
/// first step count. (`ReduceLROnPlateau` of `PyTorch`, with a relative threshold.)
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Plateau {
    /// Factor by which the learning rate is multiplied.
    pub factor: Fraction,
    /// Number of evaluations without a lower loss to tolerate; the next one triggers a reduction.
    pub patience: u32,
    /// Number of evaluations to ignore after a reduction.
    pub cooldown: u32,
    /// A loss counts as lower if it is below the lowest so far by more than this share of it.
    pub threshold: Fraction,
    /// Lower bound of the learning rate.
    pub min_learning_rate: NotNegative,
}

impl Default for Plateau {
    fn default() -> Self {
        Self {
            factor: Fraction::new(0.1),
            patience: 10,
            cooldown: 0,
            threshold: Fraction::new(1e-4),
            min_learning_rate: NotNegative::default(),
        }
    }
}

/// Ends training when validation no longer improves, and keeps the state of the best evaluation as
/// a checkpoint, which `evaluate`, `predict` and `weights` then use.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EarlyStopping {
    /// Ends training after this many evaluations without an improvement.
    pub patience: NonZeroU32,
    /// Minimum number of complete epochs before training may end.
    #[serde(default)]
    pub min_epochs: u64,
    /// The criterion. Defaults to accuracy for classes and loss for numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Criterion>,
}

/// The criterion by which one evaluation is better than another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Criterion {
    /// A lower loss.
    Loss,
    /// A higher accuracy.
    Accuracy,
    /// A higher macro-F1.
    MacroF1,
}

impl Criterion {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Accuracy => "accuracy",
            Self::MacroF1 => "macro-F1",
        }
    }
}

impl Plateau {
    /// The learning rate after reductions by a total of `factor`.
    #[must_use]
    pub fn reduced(&self, learning_rate: f64, factor: f64) -> f64 {
        (learning_rate * factor).max(self.min_learning_rate.get().min(learning_rate))
    }
}
