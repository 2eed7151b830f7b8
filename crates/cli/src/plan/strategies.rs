//! From labels and tables to batchers.

use anyhow::{Result, bail};
use batchlab_core::padding::BatchSize;
use batchlab_core::registry::{Kind, components, find, suggestion};
use batchlab_core::{Batcher, Dataset};
use toml::{Table, Value};

use super::config::PlanConfig;
use crate::exit::Usage;

/// Where neither the configuration nor the command line names a batch size: those of arXiv
/// 2502.00944.
const BATCH_SIZES: [u32; 4] = [16, 32, 64, 128];

/// What the command line says of strategies; it is stronger than the configuration.
pub(super) struct Choice<'a> {
    /// Labels, or batchers' tables as TOML.
    pub(super) batchers: &'a [String],
    pub(super) batch_sizes: &'a [u32],
}

/// Every strategy at every batch size, batch size by batch size.
pub(super) fn expand(config: &PlanConfig, choice: &Choice<'_>) -> Result<Vec<Box<dyn Batcher>>> {
    let tables = tables(config, choice)?;
    let sizes = batch_sizes(config, choice)?;
    let mut all: Vec<Box<dyn Batcher>> = Vec::new();
    let mut texts = Vec::new();
    for &size in &sizes {
        for table in &tables {
            let batcher = instantiate(table, size)?;
            let text = serde_json::to_string(&batcher)?;
            // A batcher with a batch size of its own, or without any, comes up once.
            if !texts.contains(&text) {
                check_level(&*batcher, &*config.dataset)?;
                texts.push(text);
                all.push(batcher);
            }
        }
    }
    Ok(all)
}

fn tables(config: &PlanConfig, choice: &Choice<'_>) -> Result<Vec<Table>> {
    if !choice.batchers.is_empty() {
        return choice.batchers.iter().map(|text| of_argument(text)).collect();
    }
    let of_run = config.batcher.as_ref().map(|batcher| {
        let mut table = Table::try_from(batcher)?;
        // The run's own batch size is the default of all strategies, this one included.
        table.remove("batch_size");
        Ok(table)
    });
    let listed: Vec<Result<Table>> = if config.batchers.is_empty() {
        let level = config.dataset.provides().level;
        let presets = batchlab_builtin::PRESETS.iter().map(|(label, _)| of_label(label));
        match level {
            batchlab_core::Level::Graphs => presets.collect(),
            // The presets work on many graphs.
            batchlab_core::Level::Nodes => Vec::new(),
        }
    } else {
        config.batchers.iter().map(of_value).collect()
    };
    let all: Vec<Table> = of_run.into_iter().chain(listed).collect::<Result<_>>()?;
    if all.is_empty() {
        bail!(Usage(
            "there is no strategy to plan: add [batcher], batchers = [...] or --batcher".into()
        ));
    }
    Ok(all)
}

fn batch_sizes(config: &PlanConfig, choice: &Choice<'_>) -> Result<Vec<BatchSize>> {
    if !choice.batch_sizes.is_empty() {
        let sizes = choice.batch_sizes.iter().map(|&size| BatchSize::try_from(size));
        return Ok(sizes.collect::<Result<_, _>>().map_err(|error| Usage(error.to_string()))?);
    }
    if !config.batch_sizes.is_empty() {
        return Ok(config.batch_sizes.clone());
    }
    let of_run = config.batcher.as_ref().and_then(|batcher| batcher.batch_size());
    let sizes = of_run.map_or_else(|| BATCH_SIZES.to_vec(), |size| vec![size]);
    Ok(sizes.into_iter().map(BatchSize::try_from).collect::<Result<_, _>>()?)
}

/// The batcher of an argument, with this batch size unless it has its own or needs none.
pub(crate) fn of_text(text: &str, size: BatchSize) -> Result<Box<dyn Batcher>> {
    instantiate(&of_argument(text)?, size)
}

/// An argument: a label, or a table with or without braces.
fn of_argument(text: &str) -> Result<Table> {
    if !text.contains('=') {
        return of_label(text);
    }
    parse(text)
}

fn of_value(value: &Value) -> Result<Table> {
    match value {
        Value::String(label) => of_label(label),
        Value::Table(table) => Ok(table.clone()),
        other => bail!(Usage(format!("a strategy is a label or a table, not {other}"))),
    }
}

/// A preset, or a batcher with its defaults.
fn of_label(label: &str) -> Result<Table> {
    let presets = batchlab_builtin::PRESETS;
    if let Some((_, table)) = presets.iter().find(|(known, _)| *known == label) {
        return parse(table);
    }
    if find(Kind::Batcher, label).is_some() {
        return parse(&format!("name = \"{label}\""));
    }
    let mut known: Vec<&str> = presets.iter().map(|&(label, _)| label).collect();
    let batchers = components(Kind::Batcher).into_keys();
    known.extend(batchers.filter(|name| !presets.iter().any(|(label, _)| label == name)));
    bail!(Usage(format!(
        "unknown strategy \"{label}\"{}\nknown: {}; or a table, such as {{ name = \"static\", padding = {{ multiple = 32 }} }}",
        suggestion(label, &known),
        known.join(", ")
    )))
}

/// A table in one line, with or without braces.
fn parse(text: &str) -> Result<Table> {
    let inner = text.trim();
    let braced = if inner.starts_with('{') { inner.to_owned() } else { format!("{{ {inner} }}") };
    let mut outer: Table = toml::from_str(&format!("strategy = {braced}"))
        .map_err(|error| Usage(format!("strategy {text}: {}", error.message())))?;
    match outer.remove("strategy") {
        Some(Value::Table(table)) => Ok(table),
        _ => bail!(Usage(format!("strategy {text} is not a table"))),
    }
}

/// The batcher of a table, with this batch size unless the table has one or needs none.
fn instantiate(table: &Table, size: BatchSize) -> Result<Box<dyn Batcher>> {
    let names: Vec<&str> = components(Kind::Batcher).into_keys().collect();
    let known = || names.join(", ");
    let Some(Value::String(name)) = table.get("name") else {
        bail!(Usage(format!("strategy {table:?} has no name; known: {}", known())));
    };
    let Some(registration) = find(Kind::Batcher, name) else {
        let near = suggestion(name, &names);
        bail!(Usage(format!("unknown batcher \"{name}\"{near}\nknown: {}", known())));
    };
    let mut table = table.clone();
    let takes_size = (registration.schema)()["properties"].get("batch_size").is_some();
    if takes_size && !table.contains_key("batch_size") {
        table.insert("batch_size".to_owned(), i64::from(size.get()).into());
    }
    // Through text: the registration checks what was parsed, and serde's own messages from behind
    // a trait object are worse.
    let text = toml::to_string(&table)?;
    let parsed = toml::de::DeTable::parse(&text)?;
    registration.check_table(&parsed).map_err(|error| {
        let message = error.message().trim().to_owned();
        Usage(format!(
            "strategy \"{name}\": {message}\nbatchlab explain batcher.{name} shows all its keys"
        ))
    })?;
    Ok(toml::from_str(&text)?)
}

fn check_level(batcher: &dyn Batcher, dataset: &dyn Dataset) -> Result<()> {
    let level = dataset.provides().level;
    if batcher.level() == level {
        return Ok(());
    }
    bail!(Usage(format!(
        "batcher \"{}\" works on {}, but dataset \"{}\" holds {level}; choose another of the two",
        batcher.typetag_name(),
        batcher.level(),
        dataset.typetag_name(),
    )))
}
