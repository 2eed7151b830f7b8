//! The name of a strategy in results.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::batching::padding::Padding;
use crate::contract::batcher::Batcher;
use crate::contract::registry::{Kind, components};

/// Shared options shown in the label by value only: `64`, `2^N`, `exact`, `fixed`, `emit-partial`.
const WITHOUT_KEY: [&str; 3] = ["padding", "composition", "epoch_boundary"];

/// The label of a strategy: its name, and every option that differs from its default.
///
/// ```text
/// NAME [-WORD ...] [-PADDING] [-COMPOSITION] [-EPOCH_BOUNDARY] [-KEY=VALUE ...]
/// ```
///
/// The words are the values of [`Batcher::always_in_label`]; the keys are those of the
/// configuration, in the order of `batchlab explain`; options without a default are always
/// included. `batch_size` is omitted if the strategy has one, because it has its own column in the
/// results. Labels of one batcher are equal only if all these options are:
///
/// ```text
/// static-64   dynamic-emit-partial   quantile-exact-fixed-probability=0.5   dynamic-budget.n_node=640
/// ```
///
/// A strategy that has a name of its own ([`NamedStrategies`]) is called by it.
#[must_use]
pub fn label<B: Batcher + ?Sized>(batcher: &B) -> String {
    let name = batcher.typetag_name();
    let mut parts = vec![name.to_owned()];
    let options = erased_serde::serialize(batcher, serde_json::value::Serializer);
    let Ok(Value::Object(options)) = options else { return parts.remove(0) };
    let has_column = batcher.batch_size().is_some();
    if let Some((label, ..)) =
        NAMED.iter().find(|(_, of, named)| *of == name && alike(named, &options))
    {
        let size = options.get(BATCH_SIZE).filter(|_| !has_column);
        return size.map_or((*label).into(), |size| format!("{label}-{BATCH_SIZE}={size}"));
    }
    let default = |key: &str| DEFAULTS.get(name)?.get(key);
    let always = batcher.always_in_label();
    for (key, value) in always.iter().filter_map(|&key| options.get_key_value(key)) {
        parts.push(word(key, value));
    }
    let words = WITHOUT_KEY.iter().filter(|key| !always.contains(key));
    for (key, value) in words.filter_map(|&key| options.get_key_value(key)) {
        if default(key) != Some(value) {
            parts.push(word(key, value));
        }
    }
    for (key, value) in &options {
        let has_column = key == BATCH_SIZE && has_column;
        let mut said = WITHOUT_KEY.iter().chain(always);
        if !has_column && !said.any(|said| said == key) {
            add_differences(key, value, default(key), &mut parts);
        }
    }
    parts.join("-")
}

/// Short names of strategies: the label, and the batcher's table in TOML without `batch_size`. They
/// are submitted to [`inventory`] by the program that links the batchers.
pub struct NamedStrategies(pub &'static [(&'static str, &'static str)]);

inventory::collect!(NamedStrategies);

const BATCH_SIZE: &str = "batch_size";

type Named = (&'static str, &'static str, Map<String, Value>);

/// Label, batcher and all options of each named strategy of which the batcher is linked.
static NAMED: LazyLock<Vec<Named>> = LazyLock::new(|| {
    let read = |table: &str| {
        let table: toml::Table = toml::from_str(&format!("batcher = {table}")).ok()?;
        let mut table = serde_json::to_value(&table["batcher"]).ok()?;
        table[BATCH_SIZE] = 2.into();
        let batcher: Box<dyn Batcher> = serde_json::from_value(table).ok()?;
        let options = erased_serde::serialize(&*batcher, serde_json::value::Serializer).ok()?;
        let Value::Object(options) = options else { return None };
        Some((batcher.typetag_name(), options))
    };
    let all = inventory::iter::<NamedStrategies>().flat_map(|named| named.0);
    all.filter_map(|&(label, table)| read(table).map(|(of, options)| (label, of, options)))
        .collect()
});

/// Whether options are equal but for the batch size.
fn alike(one: &Map<String, Value>, other: &Map<String, Value>) -> bool {
    let equal =
        |(key, value): (&String, &Value)| key == BATCH_SIZE || other.get(key) == Some(value);
    one.len() == other.len() && one.iter().all(equal)
}

/// The defaults of all registered batchers, by name and key. Options without a default are absent.
static DEFAULTS: LazyLock<BTreeMap<&str, Map<String, Value>>> = LazyLock::new(|| {
    let of_schema = |mut schema: Value| -> Map<String, Value> {
        let Value::Object(properties) = schema["properties"].take() else { return Map::new() };
        let default = |(key, mut property): (String, Value)| {
            let default = property.as_object_mut()?.remove("default")?;
            Some((key, default))
        };
        properties.into_iter().filter_map(default).collect()
    };
    let batchers = components(Kind::Batcher).into_iter();
    batchers.map(|(name, batcher)| (name, of_schema((batcher.schema)()))).collect()
});

/// Appends `key=value` for every nested value that differs from the default.
fn add_differences(key: &str, value: &Value, default: Option<&Value>, parts: &mut Vec<String>) {
    match value {
        _ if value == default.unwrap_or(&Value::Null) => {}
        Value::Object(table) if !table.is_empty() => {
            for (inner, value) in table {
                let default = default.and_then(|default| default.get(inner));
                add_differences(&format!("{key}.{inner}"), value, default, parts);
            }
        }
        _ => parts.push(format!("{key}={}", plain(value))),
    }
}

/// A value as shown in the label without its key.
fn word(key: &str, value: &Value) -> String {
    match Padding::deserialize(value) {
        Ok(padding) if key == "padding" => padding.label(),
        _ => plain(value),
    }
}

/// A value without quotes and spaces.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => {
            format!("[{}]", list.iter().map(plain).collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    }
}
