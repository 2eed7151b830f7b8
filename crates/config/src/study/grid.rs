//! What a study file has beyond the tables of a run.

use std::num::NonZeroU32;

use batchlab_core::padding::BatchSize;
use batchlab_core::registry::Kind;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use toml::{Table, Value};

use super::blocks::Blocks;
use crate::component::schema::{make_optional, one_of};

/// The lists of a study, the number of repeats, and how runs take turns.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Grid {
    // The lists are read with their places, in `lists`; here they are for the schema, and for errors.
    /// Data sets; each may have a table `with` of changes to its runs, and a list `batchers` of what is
    /// compared on it instead of the study's.
    #[serde(default)]
    #[schemars(schema_with = "datasets")]
    #[expect(dead_code, reason = "for the schema")]
    datasets: Vec<Table>,
    /// Models; each may have a table `with` of changes to its runs.
    #[serde(default)]
    #[schemars(schema_with = "models")]
    #[expect(dead_code, reason = "for the schema")]
    models: Vec<Table>,
    /// What is compared: labels such as "static-64", "static-2^N", "dynamic", or tables with or
    /// without a batch size.
    #[serde(default)]
    #[schemars(schema_with = "batchers")]
    #[expect(dead_code, reason = "for the schema")]
    batchers: Vec<Value>,
    /// Graphs per batch; every batcher that has a batch size is compared at each of them.
    #[serde(default)]
    #[expect(dead_code, reason = "for the schema, and for errors")]
    batch_sizes: Vec<BatchSize>,
    /// How often every combination is trained.
    #[serde(default = "once")]
    pub(super) repeats: NonZeroU32,
    /// Seeds that differ between repeats: the number of the repeat is added to each.
    #[serde(default = "order_and_init")]
    pub(super) vary_seeds: Vec<SeedName>,
    /// Changes of the configuration; every combination is trained once for each.
    #[serde(default)]
    #[schemars(with = "Vec<serde_json::Map<String, Json>>")]
    #[expect(dead_code, reason = "for the schema, and for errors")]
    variants: Vec<Table>,
    /// How the runs of a cell take turns.
    #[serde(default)]
    pub(super) blocks: Blocks,
}

pub(crate) const STUDY_KEYS: [&str; 8] = [
    "datasets",
    "models",
    "batchers",
    "batch_sizes",
    "repeats",
    "vary_seeds",
    "variants",
    "blocks",
];

/// One of the seeds of the training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum SeedName {
    /// Which graphs are held out for evaluation.
    Split,
    /// The order of the graphs.
    Order,
    /// The initial parameters.
    Init,
}

fn once() -> NonZeroU32 {
    NonZeroU32::MIN
}

/// The split stays the same, so that errors can be compared between repeats.
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
    let mut tables = one_of(Kind::Batcher);
    for option in tables["oneOf"].as_array_mut().into_iter().flatten() {
        make_optional(option, &["batch_size"]);
    }
    list(&json!({ "anyOf": [{ "type": "string" }, tables] }))
}

/// The components of a kind, each with changes of its runs.
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
