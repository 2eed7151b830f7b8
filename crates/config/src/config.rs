//! The tables of a run.

use batchlab_core::{Batcher, Dataset, Model, Sink};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::evaluation::{Evaluation, Split};
use crate::ranks::Ranks;
use crate::training::Training;

/// Everything that defines a run. Serialising it gives the resolved configuration with all defaults
/// filled in.
// Other type parameters allow parsing it without its components, which are parsed first.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Config", bound = "")]
pub struct Config<
    D = Box<dyn Dataset>,
    M = Box<dyn Model>,
    B = Box<dyn Batcher>,
    S = Vec<Box<dyn Sink>>,
> {
    /// Name of the study that the run belongs to; the results of a study share one directory.
    #[serde(default = "default_study")]
    pub study: String,
    /// Device of the engine: `cpu` or `cuda:0`.
    #[serde(default = "default_device")]
    pub device: String,
    /// Number of ranks that train together, or a table that says more; without it one process
    /// trains alone. `{ local = 2 }` starts two ranks on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-known-as" = ["n_rank", "n_ranks", "world_size", "nproc", "num_nodes"]))]
    pub ranks: Option<Ranks>,
    /// The data set.
    #[schemars(schema_with = "crate::component::schema::datasets")]
    #[schemars(extend("x-known-as" = ["data"]))]
    pub dataset: D,
    /// The model.
    #[schemars(schema_with = "crate::component::schema::models")]
    #[schemars(extend("x-known-as" = ["network"]))]
    pub model: M,
    /// The batching strategy.
    #[schemars(schema_with = "crate::component::schema::batchers")]
    #[schemars(extend("x-known-as" = ["dataloader", "loader", "sampler"]))]
    pub batcher: B,
    /// Which graphs to hold out for evaluation.
    #[serde(default)]
    pub split: Split,
    /// How to evaluate models.
    #[schemars(extend("x-known-as" = ["eval"]))]
    pub evaluation: Evaluation<B>,
    /// How to train models.
    #[schemars(extend("x-known-as" = ["trainer", "train"]))]
    pub training: Training,
    /// Output formats for results.
    #[schemars(schema_with = "crate::component::schema::sinks")]
    pub sink: S,
}

fn default_study() -> String {
    "default".into()
}

fn default_device() -> String {
    "cpu".into()
}
