//! Names in place of tables: labels of batching strategies, and component names.

use batchlab_core::padding::BatchSize;
use batchlab_core::registry::{Kind, components, find, suggestion};
use batchlab_core::{Batcher, Dataset};
use toml::Spanned;
use toml::de::{DeArray, DeValue};

use super::compatibility;
use crate::schema::schema;
use crate::text::diagnostic::Diagnostic;
use crate::text::merge::add_batch_size;
use crate::text::{Source, Table, Value, placed};

/// Labels of batching strategies, each with a batcher's table in one line of TOML.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

/// Replaces component names by their tables, in the configuration of one run or in an override of
/// it.
pub(crate) fn expand(
    source: &Source,
    labels: Labels<'static>,
    root: &mut Table<'_>,
) -> Result<(), Diagnostic> {
    for key in ["dataset", "model"] {
        if let Some(value) = root.get_mut(key) {
            expand_name(value);
        }
    }
    if let Some(sink) = root.get_mut("sink")
        && sink.get_ref().is_str()
    {
        expand_name(sink);
        let mut list = DeArray::new();
        list.push(sink.clone());
        *sink.get_mut() = DeValue::Array(list);
    }
    if let Some(batcher) = root.get_mut("batcher") {
        expand_label(source, labels, batcher)?;
    }
    if let Some(DeValue::Table(table)) = root.get_mut("evaluation").map(Spanned::get_mut)
        && let Some(batcher) = table.get_mut("batcher")
    {
        expand_label(source, labels, batcher)?;
    }
    Ok(())
}

/// Replaces the name of a component by a table with its defaults, all at the position of the name.
pub(crate) fn expand_name(value: &mut Value<'_>) {
    if let DeValue::String(name) = value.get_ref() {
        let name = Spanned::new(value.span(), DeValue::String(name.clone()));
        let key = Spanned::new(value.span(), "name".into());
        *value.get_mut() = DeValue::Table(Table::from_iter([(key, name)]));
    }
}

/// Replaces a label by its table: a preset, or a batcher with its defaults.
pub(crate) fn expand_label(
    source: &Source,
    labels: Labels<'static>,
    value: &mut Value<'_>,
) -> Result<(), Diagnostic> {
    let (span, Some(label)) = (value.span(), value.get_ref().as_str()) else { return Ok(()) };
    if let Some((_, preset)) = labels.iter().find(|(known, _)| *known == label) {
        let preset = DeValue::parse(preset).map_err(|error| source.at(&span, error.message()))?;
        if let DeValue::Table(table) = preset.into_inner() {
            // Spans of another text are meaningless here.
            *value.get_mut() = DeValue::Table(placed(table, &|_| span.clone()));
        }
        return Ok(());
    }
    if find(Kind::Batcher, label).is_some() {
        expand_name(value);
        return Ok(());
    }
    let mut known: Vec<&str> = labels.iter().map(|&(label, _)| label).collect();
    let batchers = components(Kind::Batcher).into_keys();
    known.extend(batchers.filter(|name| !labels.iter().any(|(label, _)| label == name)));
    let near = suggestion(label, &known);
    Err(source
        .at(&span, format!("unknown strategy \"{label}\"{near}"))
        .help(format!("known: {}", known.join(", ")))
        .help("or a table, such as { name = \"static\", padding = { multiple = 32 } }"))
}

/// Sets the batch size of a batcher, unless it has its own or needs none.
pub(crate) fn with_batch_size<'t>(batcher: &mut Value<'t>, size: &Value<'t>) {
    if let DeValue::Table(table) = batcher.get_mut() {
        add_batch_size(table, size, &schema()["properties"]["batcher"]);
    }
}

/// The batcher given by a command-line option: a label, or a table with or without braces. It gets
/// this batch size unless it has its own or needs none, and is checked against the data set.
///
/// # Errors
/// The first error.
pub fn batcher_of_argument(
    option: &str,
    text: &str,
    labels: Labels<'static>,
    size: BatchSize,
    dataset: &dyn Dataset,
) -> Result<Box<dyn Batcher>, Diagnostic> {
    let text = text.trim();
    let value = match text {
        table if table.starts_with('{') => table.to_owned(),
        table if table.contains('=') => format!("{{ {table} }}"),
        label => toml::Value::String(label.to_owned()).to_string(),
    };
    let source = Source::new(option, &format!("batcher = {value}"));
    let size = size.get().to_string();
    let mut root = source.parse()?.into_inner();
    let Some(batcher) = root.get_mut("batcher") else {
        return Err(source.whole(format!("{text} is not a strategy")));
    };
    expand_label(&source, labels, batcher)?;
    with_batch_size(batcher, &integer(&source, &size)?);
    compatibility::batcher_for(&source, &root, dataset, option)
}

/// A number that does not come from any text.
pub(crate) fn integer<'t>(source: &Source, digits: &'t str) -> Result<Value<'t>, Diagnostic> {
    let value = DeValue::parse(digits).map_err(|error| source.whole(error.message()))?;
    Ok(Spanned::new(0..0, value.into_inner()))
}
