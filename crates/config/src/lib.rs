//! Configurations of runs and studies: TOML, read and checked before anything is loaded.
//!
//! There is one language and one reader, [`StudyFile`]: a run's configuration is a study of one run.
//! Reading a run takes four steps, each with its own kind of error: the text must be
//! TOML (`source`), each component's table must fit the component of that name (`component`), the
//! rest must have the fields below, and the components must fit each other (`compatibility`).
//!
//! This crate names no plugin and does not know what a run does.

mod alternatives;
mod checkpointing;
mod compatibility;
mod component;
mod diagnostic;
mod evaluation;
mod forms;
mod load;
mod misplaced;
mod number;
mod registry;
mod schedule;
pub mod schema;
mod source;
mod strategy;
mod study;
mod training;

use batchlab_core::{Batcher, Dataset, Model, Sink};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use checkpointing::{Checkpointing, Saving};
pub use diagnostic::Diagnostic;
pub use evaluation::{Evaluation, PerClass, Split, Subset};
pub use load::LoadedConfig;
pub use number::{Fraction, Positive};
pub use schedule::{Criterion, EarlyStopping, Length, Plateau};
pub use strategy::{Labels, batcher_of_argument};
pub use study::{Blocks, Setting, StudyFile, ToForecast};
pub use training::{Seeds, Timing, Training};

/// What a program adds to every configuration.
#[derive(Debug, Clone, Copy)]
pub struct Defaults {
    /// TOML with tables for those that a configuration lacks.
    pub tables: &'static str,
    /// The same, where the data set holds many graphs.
    pub of_graphs: &'static str,
    /// The same, where it holds the nodes of one.
    pub of_nodes: &'static str,
    /// Batching strategies by label.
    pub labels: Labels<'static>,
}

/// Everything that defines a run. Serialising it gives the resolved configuration, all defaults
/// filled in.
// With other type parameters, it is read without its components, which are read before.
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
    /// The data set.
    #[schemars(schema_with = "crate::schema::datasets")]
    pub dataset: D,
    /// The model.
    #[schemars(schema_with = "crate::schema::models")]
    pub model: M,
    /// The batching strategy.
    #[schemars(schema_with = "crate::schema::batchers")]
    pub batcher: B,
    /// Which graphs are held out for evaluation.
    #[serde(default)]
    pub split: Split,
    /// How models are evaluated.
    pub evaluation: Evaluation<B>,
    /// How models are trained.
    pub training: Training,
    /// The formats in which results are written.
    #[schemars(schema_with = "crate::schema::sinks")]
    pub sink: S,
}

fn default_study() -> String {
    "default".into()
}

fn default_device() -> String {
    "cpu".into()
}
