//! The table `[training]`.

use std::num::NonZeroU64;

use batchlab_core::model::{Loss, Precision};
use batchlab_core::weighting::Weighting;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::checkpointing::Saving;
use crate::number::{NotNegative, Positive, recordable, recordable_option};
use crate::schedule::{Criterion, EarlyStopping, Length, Plateau};

/// How models are trained: Adam on the weighted mean loss of each batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Number of training steps. Give either these or `epochs`.
    #[schemars(extend("x-replaces" = ["epochs"]))]
    #[schemars(extend("x-known-as" = ["n_steps", "num_steps", "max_steps", "iterations"]))]
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "recordable_option"
    )]
    pub steps: Option<NonZeroU64>,
    /// Number of epochs. One ends with the last batch that was completed in it; what a batcher carries
    /// over belongs to the next.
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
    /// Factor on the learning rate after every `learning_rate_decay_steps` steps.
    #[serde(default = "default_decay")]
    pub learning_rate_decay: Positive,
    /// Steps between two changes of the learning rate.
    #[serde(default = "default_decay_steps")]
    pub learning_rate_decay_steps: NonZeroU64,
    /// L2 regularisation: so many times each parameter is added to its gradient, and so goes into both
    /// moments of Adam. A model may exempt parameters; its page says which.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub weight_decay: NotNegative,
    /// Reduces the learning rate when the loss on the validation set no longer falls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plateau: Option<Plateau>,
    /// Ends training early, and keeps the best state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<EarlyStopping>,
    /// What is minimised: by default `"mse"`, and `"cross-entropy"` where the target is a class.
    #[serde(default)]
    pub loss: Loss,
    /// How layers multiply; `tf32` and `bf16` on a GPU only.
    #[serde(default)]
    pub precision: Precision,
    /// How much each output counts in the gradient.
    #[serde(default)]
    pub weighting: Weighting,
    /// How a step is timed.
    #[serde(default)]
    pub timing: Timing,
    /// Batches that another thread prepares ahead; 0 prepares each when it is needed. By default 1 with
    /// `timing = "combined"`; with `"stages"` it must be 0.
    #[schemars(extend("x-known-as" = ["num_workers", "workers"]))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefetch: Option<u32>,
    /// MiB of batches that stay on the device: batches that come again, such as those of a fixed
    /// composition, are copied once as long as there is room, and the least recently used goes first.
    /// 1024 by default; 0 copies each batch each time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resident_mib: Option<u32>,
    /// Number of first steps that are marked as warm-up in the results. The warm-up continues as long as
    /// each step has a new padded shape, up to ten times this number. In a cell of a study the warm-up is
    /// block 0, which has at least so many steps.
    #[serde(default = "default_warmup")]
    pub warmup_steps: u64,
    /// When the state of training is saved, so that the run can be resumed and its model used. By default
    /// after the last step, and in a sweep never; `"none"` switches it off. An interrupted run always saves
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Saving>,
    /// Seeds of the random numbers.
    #[serde(default)]
    pub seeds: Seeds,
}

impl Training {
    /// How long the model is trained; checked to be given when the configuration was read.
    #[must_use]
    pub fn length(&self) -> Length {
        match (self.epochs, self.steps) {
            (Some(epochs), _) => Length::Epochs(epochs.get()),
            (None, steps) => Length::Steps(steps.map_or(0, NonZeroU64::get)),
        }
    }

    /// What makes an evaluation the best.
    #[must_use]
    pub fn criterion(&self) -> Criterion {
        let by_default = match self.loss {
            Loss::CrossEntropy => Criterion::Accuracy,
            Loss::Mse | Loss::Mae => Criterion::Loss,
        };
        self.early_stopping.and_then(|stopping| stopping.by).unwrap_or(by_default)
    }

    /// Learning rate of a step, counted from 1; it decays in steps.
    #[must_use]
    pub fn learning_rate_at(&self, step: u64) -> f64 {
        let n_change = (step - 1) / self.learning_rate_decay_steps.get();
        let n_change = i32::try_from(n_change).unwrap_or(i32::MAX);
        self.learning_rate.get() * self.learning_rate_decay.get().powi(n_change)
    }

    /// Bytes of batches that stay on the device.
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

/// How a step is timed. The two are never mixed in one figure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Timing {
    /// Synchronised once per step, while the next batch is prepared: for comparisons.
    #[default]
    Combined,
    /// Synchronised after every stage: to see which stage takes the time.
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

/// Seeds of the random numbers, one per purpose, so that a repeat can vary one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Seeds {
    /// Which graphs are held out for evaluation.
    #[serde(deserialize_with = "recordable")]
    pub split: u64,
    /// The order of the graphs.
    #[serde(deserialize_with = "recordable")]
    pub order: u64,
    /// The initial parameters.
    #[serde(deserialize_with = "recordable")]
    pub init: u64,
}

impl Default for Seeds {
    fn default() -> Self {
        Self { split: 42, order: 42, init: 42 }
    }
}
