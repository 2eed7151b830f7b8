//! Batching strategies in configurations and on the command line: labels, or tables.

use batchlab_core::Batcher;
use batchlab_core::padding::BatchSize;
use batchlab_core::registry::{Kind, components, find, suggestion};
use toml::de::DeValue;
use toml::{Spanned, Table, Value};

use crate::component;
use crate::diagnostic::Diagnostic;
use crate::source::Source;

pub type Presets<'a> = &'a [(&'a str, &'a str)];

/// The table of a strategy in a list: a label or a table.
///
/// # Errors
/// The error, with the known names.
pub fn of_value(value: &Value, presets: Presets<'_>) -> Result<Table, Diagnostic> {
    match value {
        Value::String(label) => of_label(label, presets),
        Value::Table(table) => Ok(table.clone()),
        other => Err(Diagnostic::new(format!("a strategy is a label or a table, not {other}"))),
    }
}

/// The table of a strategy on the command line: a label, or a table with or without braces.
///
/// # Errors
/// As [`of_value`].
pub fn of_argument(text: &str, presets: Presets<'_>) -> Result<Table, Diagnostic> {
    if text.contains('=') { parse(text) } else { of_label(text, presets) }
}

/// A preset, or a batcher with its defaults.
///
/// # Errors
/// As [`of_value`].
pub fn of_label(label: &str, presets: Presets<'_>) -> Result<Table, Diagnostic> {
    if let Some((_, table)) = presets.iter().find(|(known, _)| *known == label) {
        return parse(table);
    }
    if find(Kind::Batcher, label).is_some() {
        return parse(&format!("name = \"{label}\""));
    }
    let mut known: Vec<&str> = presets.iter().map(|&(label, _)| label).collect();
    let batchers = components(Kind::Batcher).into_keys();
    known.extend(batchers.filter(|name| !presets.iter().any(|(label, _)| label == name)));
    let near = suggestion(label, &known);
    Err(Diagnostic::new(format!("unknown strategy \"{label}\"{near}"))
        .help(format!("known: {}", known.join(", ")))
        .help("or a table, such as { name = \"static\", padding = { multiple = 32 } }"))
}

/// A table in one line, with or without braces.
fn parse(text: &str) -> Result<Table, Diagnostic> {
    let inner = text.trim();
    let braced = if inner.starts_with('{') { inner.to_owned() } else { format!("{{ {inner} }}") };
    let mut outer: Table = toml::from_str(&format!("strategy = {braced}"))
        .map_err(|error| Diagnostic::new(format!("strategy {text}: {}", error.message())))?;
    match outer.remove("strategy") {
        Some(Value::Table(table)) => Ok(table),
        _ => Err(Diagnostic::new(format!("strategy {text} is not a table"))),
    }
}

/// Adds a batch size, unless the table has one or its batcher needs none.
///
/// # Errors
/// A table without a name, or with one that is not known.
pub fn with_batch_size(mut table: Table, size: BatchSize) -> Result<Table, Diagnostic> {
    if takes_batch_size(&table)? && !table.contains_key("batch_size") {
        table.insert("batch_size".to_owned(), i64::from(size.get()).into());
    }
    Ok(table)
}

/// The batcher of a table, with this batch size unless the table has one or its batcher needs none.
///
/// # Errors
/// The first error.
pub fn batcher(table: &Table, size: BatchSize) -> Result<Box<dyn Batcher>, Diagnostic> {
    let table = with_batch_size(table.clone(), size)?;
    let text = toml::to_string(&table).map_err(|error| Diagnostic::new(error.to_string()))?;
    let name = table.get("name").and_then(Value::as_str).unwrap_or_default();
    let source = Source::new(&format!("strategy \"{name}\""), &text, &[]);
    let root = source.parse("")?;
    let span = root.span();
    component::read(&source, &Spanned::new(span, DeValue::Table(root.into_inner())))
}

/// Whether the batcher of a table has a batch size.
///
/// # Errors
/// As [`with_batch_size`].
pub fn takes_batch_size(table: &Table) -> Result<bool, Diagnostic> {
    let names: Vec<&str> = components(Kind::Batcher).into_keys().collect();
    let known = || format!("known: {}", names.join(", "));
    let Some(Value::String(name)) = table.get("name") else {
        return Err(
            Diagnostic::new(format!("strategy {{ {} }} has no name", in_line(table))).help(known())
        );
    };
    let Some(registration) = find(Kind::Batcher, name) else {
        let near = suggestion(name, &names);
        return Err(Diagnostic::new(format!("unknown batcher \"{name}\"{near}")).help(known()));
    };
    Ok((registration.schema)()["properties"].get("batch_size").is_some())
}

fn in_line(table: &Table) -> String {
    table.iter().map(|(key, value)| format!("{key} = {value}")).collect::<Vec<_>>().join(", ")
}
