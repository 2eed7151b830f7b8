//! What evaluations during training decide: the learning rate, and the end.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::number::{Fraction, NotNegative};

/// How long a model is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// So many steps.
    Steps(u64),
    /// So many epochs, each of as many steps as the batcher makes of it.
    Epochs(u64),
}

/// Reduces the learning rate when the loss on the validation set no longer falls; what counts are the
/// evaluations after the first step. (`ReduceLROnPlateau` of `PyTorch`, with a relative threshold.)
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Plateau {
    /// Factor on the learning rate.
    pub factor: Fraction,
    /// Evaluations without a lower loss that are borne; the next one reduces.
    pub patience: u32,
    /// Evaluations after a reduction that do not count.
    pub cooldown: u32,
    /// A loss is lower if it is below the lowest one by more than this share of it.
    pub threshold: Fraction,
    /// The learning rate is not reduced below this.
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

/// Ends training when the validation set is no longer predicted better, and keeps the state of the best
/// evaluation as a checkpoint, which `evaluate`, `predict` and `weights` then use.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EarlyStopping {
    /// So many evaluations without a better one end training.
    pub patience: NonZeroU32,
    /// Training does not end before so many epochs are complete.
    #[serde(default)]
    pub min_epochs: u64,
    /// What is compared. By default the accuracy for classes, the loss for numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Criterion>,
}

/// What makes one evaluation better than another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Criterion {
    /// A lower loss.
    Loss,
    /// A higher share of right classes.
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
    /// The learning rate after reductions by `factor` in all.
    #[must_use]
    pub fn reduced(&self, learning_rate: f64, factor: f64) -> f64 {
        (learning_rate * factor).max(self.min_learning_rate.get().min(learning_rate))
    }
}
