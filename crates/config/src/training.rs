//! The table `[training]`.

use std::num::NonZeroU64;

use batchlab_core::model::{Loss, Precision};
use batchlab_core::weighting::Weighting;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::checkpointing::Saving;
use crate::number::{NotNegative, Positive, recordable, recordable_option};
use crate::schedule::{Criterion, EarlyStopping, Length, Plateau};

/// How to train models: Adam on the weighted mean loss of each batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Number of training steps. Give either this or `epochs`.
    #[schemars(extend("x-replaces" = ["epochs"]))]
    #[schemars(extend("x-known-as" = ["n_steps", "num_steps", "max_steps", "iterations"]))]
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "recordable_option"
    )]
    pub steps: Option<NonZeroU64>,
    /// Number of epochs. An epoch ends with the last batch completed in it; graphs that a batcher
    /// carries over belong to the next one.
    #[schemars(extend("x-replaces" = ["steps"]))]
    #[schemars(extend("x-known-as" = ["epoch", "n_epoch", "n_epochs", "num_epochs", "max_epochs"]))]
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "recordable_option"
    )]
    pub epochs: Option<NonZeroU64>,
    /// Learning rate of the first step.
    #[schemars(extend("x-known-as" = ["lr"]))]
    #[serde(default = "default_learning_rate")]
    pub learning_rate: Positive,
    /// Factor by which the learning rate is multiplied every `learning_rate_decay_steps` steps.
    #[serde(default = "default_decay")]
    pub learning_rate_decay: Positive,
    /// Steps between two changes of the learning rate.
    #[serde(default = "default_decay_steps")]
    pub learning_rate_decay_steps: NonZeroU64,
    /// L2 regularisation: this multiple of each parameter is added to its gradient, and thus enters
    /// both moments of Adam. A model may exempt parameters; see its page.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub weight_decay: NotNegative,
    /// Reduces the learning rate when the validation loss stops falling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plateau: Option<Plateau>,
    /// Options of this table that count as options of the strategy, so that a report compares
    /// strategies that differ in them. A study adds those that a batcher's `with` changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tuned: Vec<Tunable>,
    /// Ends training early, and keeps the best state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<EarlyStopping>,
    /// The loss to minimise. Defaults to `"mse"`, and to `"cross-entropy"` if the target is a
    /// class.
    #[serde(default)]
    pub loss: Loss,
    /// Precision of matrix products in layers; `tf32` and `bf16` on a GPU only.
    #[serde(default)]
    pub precision: Precision,
    /// Weight of each output in the gradient.
    #[serde(default)]
    pub weighting: Weighting,
    /// How to time a step.
    #[serde(default)]
    pub timing: Timing,
    /// Number of batches prepared ahead by another thread; 0 prepares each batch when it is needed.
    /// Defaults to 1 with `timing = "combined"`; must be 0 with `"stages"`.
    #[schemars(extend("x-known-as" = ["num_workers", "workers"]))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefetch: Option<u32>,
    /// MiB of device memory for caching batches: recurring batches, such as those with a fixed
    /// composition, are copied only once while there is room; the least recently used are evicted
    /// first. Default 1024; 0 copies every batch every time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resident_mib: Option<u32>,
    /// Whether to record the training step of a padded shape on a GPU when the shape has occurred a
    /// few times, and to replay it with one call from then on (CUDA graphs). Like compilation in
    /// other engines, it favours strategies with few shapes. On by default; no effect on a CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cuda_graphs: Option<bool>,
    /// Number of initial steps marked as warm-up in the results. The warm-up continues as long as
    /// each step has a new padded shape, up to ten times this number. In a cell of a study the
    /// warm-up is block 0, which has at least this many steps.
    #[serde(default = "default_warmup")]
    pub warmup_steps: u64,
    /// When to save the training state, so that the run can be resumed and its model used. Defaults
    /// to after the last step, and in a sweep to never; `"none"` switches it off. An interrupted
    /// run always saves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Saving>,
    /// Random seeds.
    #[serde(default)]
    pub seeds: Seeds,
}

impl Training {
    /// Length of the training; its presence was checked when the configuration was read.
    #[must_use]
    pub fn length(&self) -> Length {
        match (self.epochs, self.steps) {
            (Some(epochs), _) => Length::Epochs(epochs.get()),
            (None, steps) => Length::Steps(steps.map_or(0, NonZeroU64::get)),
        }
    }

    /// The criterion for the best evaluation.
    #[must_use]
    pub fn criterion(&self) -> Criterion {
        let by_default = match self.loss {
            Loss::CrossEntropy => Criterion::Accuracy,
            Loss::Mse | Loss::Mae => Criterion::Loss,
        };
        self.early_stopping.and_then(|stopping| stopping.by).unwrap_or(by_default)
    }

    /// Learning rate of a step, counted from 1; it decays stepwise.
    #[must_use]
    pub fn learning_rate_at(&self, step: u64) -> f64 {
        let n_change = (step - 1) / self.learning_rate_decay_steps.get();
        let n_change = i32::try_from(n_change).unwrap_or(i32::MAX);
        self.learning_rate.get() * self.learning_rate_decay.get().powi(n_change)
    }

    /// Size of the device's batch cache in bytes.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        u64::from(self.resident_mib.unwrap_or(1024)) << 20
    }

    #[must_use]
    pub fn prefetch_depth(&self) -> u32 {
        self.prefetch.unwrap_or(match self.timing {
            Timing::Combined => 1,
            Timing::Stages => 0,
        })
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(number: &NotNegative) -> bool {
    number.get() == 0.0
}
fn default_learning_rate() -> Positive {
    Positive::new(1e-4)
}
fn default_decay() -> Positive {
    Positive::new(0.96)
}
fn default_decay_steps() -> NonZeroU64 {
    const STEPS: NonZeroU64 = NonZeroU64::new(100_000).expect("100,000 is not 0");
    STEPS
}
fn default_warmup() -> u64 {
    10
}

/// An option that may be chosen for each strategy: it changes what is learned, but hardly the time
/// of a step.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Tunable {
    LearningRate,
    LearningRateDecay,
    LearningRateDecaySteps,
    WeightDecay,
    Plateau,
}

/// How to time a step. The two modes are never mixed in one figure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Timing {
    /// Synchronise once per step while the next batch is prepared: for comparisons.
    #[default]
    Combined,
    /// Synchronise after every stage: to see where the time goes.
    Stages,
}

impl Timing {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Combined => "combined",
            Self::Stages => "stages",
        }
    }
}

/// Random seeds, one per purpose, so that a repeat can vary one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Seeds {
    /// Seed of the split into subsets.
    #[serde(deserialize_with = "recordable")]
    pub split: u64,
    /// Seed of the order of the graphs.
    #[serde(deserialize_with = "recordable")]
    pub order: u64,
    /// Seed of the initial parameters.
    #[serde(deserialize_with = "recordable")]
    pub init: u64,
}

impl Default for Seeds {
    fn default() -> Self {
        Self { split: 42, order: 42, init: 42 }
    }
}
