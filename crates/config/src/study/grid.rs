//! Keys of a study file beyond those of a run.

use std::num::NonZeroU32;

use batchlab_core::padding::BatchSize;
use batchlab_core::registry::Kind;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use toml::{Table, Value};

use super::blocks::Blocks;
use super::launcher::Launcher;
use crate::component::schema::{make_optional, one_of};

/// The lists of a study, the number of repeats, and how runs are interleaved.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Grid {
    // The lists are parsed with positions in `lists`; here they serve the schema and error
    // messages.
    /// Data sets. Each may have a table `with` of overrides for its runs, and a list `batchers` to
    /// compare on it instead of the study's.
    #[serde(default)]
    #[schemars(schema_with = "datasets")]
    #[expect(dead_code, reason = "for the schema")]
    datasets: Vec<Table>,
    /// Models. Each may have a table `with` of overrides for its runs.
    #[serde(default)]
    #[schemars(schema_with = "models")]
    #[expect(dead_code, reason = "for the schema")]
    models: Vec<Table>,
    /// Strategies to compare: labels such as "static-64", "static-2^N", "dynamic", or tables with
    /// or without a batch size. A table may have a table `with` of options of the training that
    /// were chosen for it, such as its learning rate.
    #[serde(default)]
    #[schemars(schema_with = "batchers")]
    #[expect(dead_code, reason = "for the schema")]
    batchers: Vec<Value>,
    /// Graphs per batch. Every batcher that has a batch size is compared at each of these.
    #[serde(default)]
    #[expect(dead_code, reason = "for the schema, and for errors")]
    batch_sizes: Vec<BatchSize>,
    /// How often to train every combination.
    #[serde(default = "once")]
    pub(super) repeats: NonZeroU32,
    /// Seeds that differ between repeats: the number of the repeat is added to each.
    #[serde(default = "order_and_init")]
    pub(super) vary_seeds: Vec<SeedName>,
    /// Overrides of the configuration; every combination is trained once for each.
    #[serde(default)]
    #[schemars(with = "Vec<serde_json::Map<String, Json>>")]
    #[expect(dead_code, reason = "for the schema, and for errors")]
    variants: Vec<Table>,
    /// How the runs of a cell are interleaved.
    #[serde(default)]
    pub(super) blocks: Blocks,
    /// How workers are submitted to a scheduler.
    #[serde(default)]
    pub(super) launcher: Launcher,
}

pub(crate) const STUDY_KEYS: [&str; 9] = [
    "datasets",
    "models",
    "batchers",
    "batch_sizes",
    "repeats",
    "vary_seeds",
    "variants",
    "blocks",
    "launcher",
];

/// One of the training seeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum SeedName {
    /// Seed of the split into subsets.
    Split,
    /// Seed of the order of the graphs.
    Order,
    /// Seed of the initial parameters.
    Init,
}

fn once() -> NonZeroU32 {
    NonZeroU32::MIN
}

/// The split stays fixed, so that errors are comparable between repeats.
fn order_and_init() -> Vec<SeedName> {
    vec![SeedName::Order, SeedName::Init]
}

fn datasets(generator: &mut SchemaGenerator) -> Schema {
    let mut components = with_changes(Kind::Dataset);
    let batchers = batchers(generator);
    for option in components["oneOf"].as_array_mut().into_iter().flatten() {
        option["properties"]["batchers"] = batchers.clone().to_value();
    }
    list(&components)
}

fn models(_: &mut SchemaGenerator) -> Schema {
    list(&with_changes(Kind::Model))
}

fn batchers(_: &mut SchemaGenerator) -> Schema {
    let mut tables = with_changes(Kind::Batcher);
    for option in tables["oneOf"].as_array_mut().into_iter().flatten() {
        make_optional(option, &["batch_size"]);
    }
    list(&json!({ "anyOf": [{ "type": "string" }, tables] }))
}

/// The schema of a list of components of a kind, each with overrides for its runs.
fn with_changes(kind: Kind) -> Json {
    let mut components = one_of(kind);
    for option in components["oneOf"].as_array_mut().into_iter().flatten() {
        option["properties"]["with"] = json!({
            "type": "object",
            "description": "Changes of the configuration for its runs only.",
        });
    }
    components
}

fn list(items: &Json) -> Schema {
    Schema::try_from(json!({ "type": "array", "items": items })).expect("an object is a schema")
}
