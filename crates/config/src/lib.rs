//! Configurations of runs and studies: TOML, read and checked before anything is loaded.
//!
//! Reading a run takes four steps, each with its own kind of mistake: the text must be
//! TOML (`source`), each component's table must fit the component of that name (`component`), the
//! rest must have the fields below, and the components must fit each other (`compatibility`).
//! A [`StudyFile`] is a run's configuration with lists in it.
//!
//! This crate knows neither plugins by name nor what a run does.

mod checkpointing;
mod compatibility;
mod component;
mod diagnostic;
mod load;
pub mod schema;
mod source;
pub mod strategy;
mod study;

use std::num::NonZeroU64;

use batchlab_core::model::{Loss, Precision};
use batchlab_core::weighting::Weighting;
use batchlab_core::{Batcher, Dataset, Model, Sink};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use checkpointing::Checkpointing;
pub use component::Parts;
pub use diagnostic::Diagnostic;
pub use load::{LoadedConfig, parts_of_text, read_parts};
pub use study::{Blocks, Choice, Setting, StudyFile};

/// Everything that defines a run. Serialising it gives the resolved configuration, all defaults
/// filled in.
// The parameters are there for the one moment of reading in which the components are already read.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Config", bound = "")]
pub struct Config<
    D = Box<dyn Dataset>,
    M = Box<dyn Model>,
    B = Box<dyn Batcher>,
    S = Vec<Box<dyn Sink>>,
> {
    /// Study that the run belongs to; results of one study lie in one folder.
    #[serde(default = "default_study")]
    pub study: String,
    /// Device of the engine: `cpu` or `cuda:0`.
    #[serde(default = "default_device")]
    pub device: String,
    /// Where graphs come from.
    #[schemars(schema_with = "crate::schema::datasets")]
    pub dataset: D,
    /// What is trained.
    #[schemars(schema_with = "crate::schema::models")]
    pub model: M,
    /// Who decides what a batch is.
    #[schemars(schema_with = "crate::schema::batchers")]
    pub batcher: B,
    /// Which graphs are held out.
    #[serde(default)]
    pub split: Split,
    /// How models are judged.
    pub evaluation: Evaluation<B>,
    /// How models are trained.
    pub training: Training,
    /// Who writes results.
    #[schemars(schema_with = "crate::schema::sinks")]
    pub sink: S,
}

fn default_study() -> String {
    "default".into()
}

fn default_device() -> String {
    "cpu".into()
}

/// Which graphs are held out: the split that was published with the data, or else a random one,
/// drawn with `training.seeds.split`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Split {
    /// Whether to use the split that comes with the data, where there is one.
    pub published: bool,
    /// Share of the graphs for validation, rounded down.
    pub validation: Fraction,
    /// Share of the graphs for testing, rounded down.
    pub test: Fraction,
}

impl Default for Split {
    fn default() -> Self {
        Self { published: true, validation: Fraction(0.1), test: Fraction(0.1) }
    }
}

/// A number from 0 up to, but not including, 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "f64", into = "f64")]
#[schemars(extend("minimum" = 0, "exclusiveMaximum" = 1))]
pub struct Fraction(f64);

impl TryFrom<f64> for Fraction {
    type Error = String;
    fn try_from(value: f64) -> Result<Self, String> {
        if (0.0..1.0).contains(&value) {
            Ok(Self(value))
        } else {
            Err(format!("{value} is not a share: give a number from 0 up to, but not including, 1"))
        }
    }
}

impl From<Fraction> for f64 {
    fn from(fraction: Fraction) -> Self {
        fraction.0
    }
}

/// How models are judged: always on all graphs of a subset, in batches that do not depend on the
/// batcher under study.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Evaluation", bound = "")]
pub struct Evaluation<B = Box<dyn Batcher>> {
    /// Who forms the batches; the same for all runs that are compared. It must not lose graphs.
    #[schemars(schema_with = "crate::schema::batchers")]
    pub batcher: B,
    /// Steps between evaluations; without it, only before the first step and after the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<NonZeroU64>,
    /// Subsets to evaluate: `train`, `validation`, `test`.
    #[serde(default = "default_subsets")]
    pub subsets: Vec<Subset>,
}

fn default_subsets() -> Vec<Subset> {
    vec![Subset::Validation, Subset::Test]
}

/// A part of the split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Subset {
    /// Graphs that the model is trained on.
    Train,
    /// Graphs for choices during training.
    Validation,
    /// Graphs for the final judgement.
    Test,
}

impl Subset {
    /// The name in configuration and results.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

/// How models are trained: Adam on the weighted mean loss of each batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Number of training steps.
    pub steps: NonZeroU64,
    /// Learning rate of the first step.
    #[serde(default = "default_learning_rate")]
    pub learning_rate: Positive,
    /// Factor on the learning rate after every `learning_rate_decay_steps` steps.
    #[serde(default = "default_decay")]
    pub learning_rate_decay: Positive,
    /// Steps between two changes of the learning rate.
    #[serde(default = "default_decay_steps")]
    pub learning_rate_decay_steps: NonZeroU64,
    /// What is minimised.
    #[serde(default)]
    pub loss: Loss,
    /// How matrices are multiplied; `tf32` on a GPU only.
    #[serde(default)]
    pub precision: Precision,
    /// How much each output counts in the gradient.
    #[serde(default)]
    pub weighting: Weighting,
    /// What a step's times mean.
    #[serde(default)]
    pub timing: Timing,
    /// Batches that another thread prepares ahead; 0 prepares each in turn. By default 1 with
    /// `timing = "combined"`; with `"stages"` it must be 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefetch: Option<u32>,
    /// Steps at the beginning that are marked as warm-up in the results; those after them too, for as
    /// long as each brings a padded shape that is new, up to ten times as many.
    #[serde(default = "default_warmup")]
    pub warmup_steps: u64,
    /// When the state of training is saved, so that the run can go on from there. An interrupted run
    /// saves it in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Checkpointing>,
    /// Where random numbers start.
    #[serde(default)]
    pub seeds: Seeds,
}

impl Training {
    /// Learning rate of a step, counted from 1: a staircase.
    #[must_use]
    pub fn learning_rate_at(&self, step: u64) -> f64 {
        let n_change = (step - 1) / self.learning_rate_decay_steps.get();
        let n_change = i32::try_from(n_change).unwrap_or(i32::MAX);
        self.learning_rate.0 * self.learning_rate_decay.0.powi(n_change)
    }

    /// Batches prepared ahead.
    #[must_use]
    pub fn prefetch_depth(&self) -> u32 {
        self.prefetch.unwrap_or(match self.timing {
            Timing::Combined => 1,
            Timing::Stages => 0,
        })
    }
}

fn default_learning_rate() -> Positive {
    Positive(1e-4)
}
fn default_decay() -> Positive {
    Positive(0.96)
}
fn default_decay_steps() -> NonZeroU64 {
    const STEPS: NonZeroU64 = NonZeroU64::new(100_000).expect("100,000 is not 0");
    STEPS
}
fn default_warmup() -> u64 {
    10
}

/// A finite number above 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "f64", into = "f64")]
#[schemars(extend("exclusiveMinimum" = 0))]
pub struct Positive(pub(crate) f64);

impl TryFrom<f64> for Positive {
    type Error = String;
    fn try_from(value: f64) -> Result<Self, String> {
        if value.is_finite() && value > 0.0 {
            Ok(Self(value))
        } else {
            Err(format!("{value} is not allowed: give a finite number above 0"))
        }
    }
}

impl From<Positive> for f64 {
    fn from(positive: Positive) -> Self {
        positive.0
    }
}

/// What a step's times mean. The two are never mixed in one figure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Timing {
    /// Synchronised once per step, the next batch prepared meanwhile: for comparisons.
    #[default]
    Combined,
    /// Synchronised at every boundary: to see which stage takes the time.
    Stages,
}

impl Timing {
    /// The name in configuration and results.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Combined => "combined",
            Self::Stages => "stages",
        }
    }
}

/// Where random numbers start, each purpose on its own, so that a repeat can vary one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Seeds {
    /// Which graphs are held out.
    pub split: u64,
    /// The order of the graphs.
    pub order: u64,
    /// The initial parameters.
    pub init: u64,
}

impl Default for Seeds {
    fn default() -> Self {
        Self { split: 42, order: 42, init: 42 }
    }
}
