//! The tables that select a component by name.

use std::ops::Range;

use batchlab_core::registry::{self, Kind};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::Diagnostic;
use crate::source::Source;

/// Checks the tables of components that a file gives, of which `required` must be there. Other tables
/// of a run, such as its sinks, are not looked at.
pub(super) fn check_parts(
    source: &Source,
    root: &Spanned<DeTable<'_>>,
    required: &[Kind],
) -> Result<(), Diagnostic> {
    for kind in [Kind::Dataset, Kind::Model, Kind::Batcher] {
        match get(root.get_ref(), kind.key()) {
            Some(value) => check(source, kind, &value.span(), value.get_ref())?,
            None if required.contains(&kind) => {
                return Err(source
                    .whole(format!("there is no [{kind}]"))
                    .help(format!("add [{kind}] with name = one of: {}", names(kind).join(", "))));
            }
            None => {}
        }
    }
    Ok(())
}

/// Checks every component's table against the component of that name.
///
/// Serde alone would find the same mistakes, but behind a trait object it loses their place.
pub(super) fn check_all(source: &Source, root: &Spanned<DeTable<'_>>) -> Result<(), Diagnostic> {
    check_parts(source, root, &[Kind::Dataset, Kind::Model, Kind::Batcher])?;
    let evaluation = get(root.get_ref(), "evaluation").and_then(|e| e.get_ref().as_table());
    if let Some(value) = evaluation.and_then(|table| get(table, "batcher")) {
        check(source, Kind::Batcher, &value.span(), value.get_ref())?;
    }
    if let Some(value) = get(root.get_ref(), "sink") {
        let Some(sinks) = value.get_ref().as_array() else {
            let message = "sinks are a list: write [[sink]] with double brackets";
            return Err(source.at(&value.span(), message));
        };
        for sink in sinks {
            check(source, Kind::Sink, &sink.span(), sink.get_ref())?;
        }
    }
    Ok(())
}

pub(crate) fn check(
    source: &Source,
    kind: Kind,
    span: &Range<usize>,
    value: &DeValue<'_>,
) -> Result<(), Diagnostic> {
    let known = names(kind);
    let Some(table) = value.as_table() else {
        return Err(source
            .at(span, format!("{kind} is a table, not {}", value.type_str()))
            .help(format!("write [{kind}] and name = one of: {}", known.join(", "))));
    };
    let Some(name) = get(table, "name") else {
        return Err(source
            .at(span, format!("this {kind} has no name"))
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
    let table = Spanned::new(span.clone(), table.clone());
    registration.check_table(&table).map_err(|error| {
        source.toml(&error).help(format!("batchlab explain {kind}.{typed} shows all its keys"))
    })
}

fn names(kind: Kind) -> Vec<&'static str> {
    registry::components(kind).into_keys().collect()
}

pub(crate) fn get<'t, 'i>(table: &'t DeTable<'i>, key: &str) -> Option<&'t Spanned<DeValue<'i>>> {
    table.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value)
}
