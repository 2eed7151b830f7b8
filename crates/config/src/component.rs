//! Tables that select a component by name. Each is read only once, here.

pub(crate) mod compatibility;
pub(crate) mod explain;
pub(crate) mod names;
pub(crate) mod schema;

use batchlab_core::registry::{self, Kind, Registration, Selectable};
use batchlab_core::{Batcher, Sink};
use toml::Spanned;

use crate::forms::{Found, find};
use crate::text::diagnostic::Diagnostic;
use crate::text::{Source, Table, Value};
use explain::mistake;
use schema::component_schema;

/// The mandatory component of a kind, at the path `place` in the file.
pub(crate) fn required<T: Selectable + ?Sized>(
    source: &Source,
    table: &Table<'_>,
    place: &str,
) -> Result<Box<T>, Diagnostic> {
    optional(source, table)?.ok_or_else(|| missing(source, place, &names(T::KIND).join(", ")))
}

/// The error for a missing table; `names` lists the components that it could name.
pub(crate) fn missing(source: &Source, place: &str, names: &str) -> Diagnostic {
    source.whole(format!("there is no [{place}]")).help(format!(
        "add [{place}] with name = one of: {names}; or give {place}=NAME on the command line"
    ))
}

pub(crate) fn optional<T: Selectable + ?Sized>(
    source: &Source,
    table: &Table<'_>,
) -> Result<Option<Box<T>>, Diagnostic> {
    table.get(T::KIND.key()).map(|value| read(source, value)).transpose()
}

pub(crate) fn evaluation_batcher(
    source: &Source,
    root: &Table<'_>,
) -> Result<Box<dyn Batcher>, Diagnostic> {
    let none = Table::new();
    let table = match root.get("evaluation") {
        None => &none,
        Some(value) => value.get_ref().as_table().ok_or_else(|| {
            let kind = value.get_ref().type_str();
            source.at(&value.span(), format!("evaluation is a table, not {kind}"))
        })?,
    };
    required(source, table, "evaluation.batcher")
}

pub(crate) fn sinks(source: &Source, root: &Table<'_>) -> Result<Vec<Box<dyn Sink>>, Diagnostic> {
    let Some(value) = root.get("sink") else { return Ok(Vec::new()) };
    let Some(sinks) = value.get_ref().as_array() else {
        let message = "sinks are a list: write [[sink]] with double brackets";
        return Err(source.at(&value.span(), message));
    };
    sinks.iter().map(|sink| read(source, sink)).collect()
}

pub(crate) fn read<T: Selectable + ?Sized>(
    source: &Source,
    value: &Value<'_>,
) -> Result<Box<T>, Diagnostic> {
    let (kind, span) = (T::KIND, value.span());
    let (registration, table) = registration(source, kind, value)?;
    let name = (registration.name)();
    let component = registration.read_table(&Spanned::new(span.clone(), table.clone()));
    let component = component.map_err(|error| {
        let schema = component_schema(registration);
        let mut mistake = mistake(source, &error, kind.key(), table, &schema);
        if let Some(place) = error.span()
            && let Some(Found::UnknownKey(key, _)) = find(&schema, table, &place)
        {
            let has_key = |other: &&Registration| (other.schema)()["properties"].get(key).is_some();
            let others = registry::components(kind).into_values().filter(has_key);
            let others: Vec<&str> = others.map(|other| (other.name)()).collect();
            if !others.is_empty() {
                let others = others.join(", ");
                mistake =
                    mistake.help(format!("{key} is a key of {others}; this {kind} is \"{name}\""));
            }
        }
        mistake.help(format!("batchlab explain {kind}.{name} shows all its keys"))
    })?;
    T::of(component).ok_or_else(|| source.at(&span, format!("\"{name}\" is not a {kind}")))
}

/// The registration of the component that a table names, and the table.
pub(crate) fn registration<'v, 't>(
    source: &Source,
    kind: Kind,
    value: &'v Value<'t>,
) -> Result<(&'static Registration, &'v Table<'t>), Diagnostic> {
    let span = value.span();
    let known = names(kind);
    let Some(table) = value.get_ref().as_table() else {
        return Err(source
            .at(&span, format!("{kind} is a table, not {}", value.get_ref().type_str()))
            .help(format!("write [{kind}] and name = one of: {}", known.join(", "))));
    };
    let Some(name) = table.get("name") else {
        return Err(source
            .at(&span, format!("this {kind} has no name"))
            .help(format!("add name = one of: {}", known.join(", "))));
    };
    let Some(typed) = name.get_ref().as_str() else {
        let kind_of = name.get_ref().type_str();
        return Err(
            source.at(&name.span(), format!("the name of a {kind} is a string, not {kind_of}"))
        );
    };
    let Some(registration) = registry::find(kind, typed) else {
        let suggestion = registry::suggestion(typed, &known);
        return Err(source
            .at(&name.span(), format!("unknown {kind} \"{typed}\"{suggestion}"))
            .help(format!("known: {}", known.join(", "))));
    };
    Ok((registration, table))
}

fn names(kind: Kind) -> Vec<&'static str> {
    registry::components(kind).into_keys().collect()
}
