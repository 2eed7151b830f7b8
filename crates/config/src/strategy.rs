//! Names in the place of tables: labels of batching strategies, and components by their names.

use std::ops::Range;

use batchlab_core::padding::BatchSize;
use batchlab_core::registry::{Kind, components, find, suggestion};
use batchlab_core::{Batcher, Dataset};
use toml::Spanned;
use toml::de::{DeArray, DeValue};

use crate::compatibility;
use crate::diagnostic::Diagnostic;
use crate::source::{Root, Source, kept};

/// Batching strategies by label, each a batcher's table in one line of TOML.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

/// Replaces the names of components by their tables, in a configuration of one run. A batcher that
/// has no batch size of its own has that of the batcher that it replaces.
pub(crate) struct Names<'a> {
    source: &'a Source,
    labels: Labels<'static>,
    sizes: [Option<Spanned<DeValue<'static>>>; 2],
}

const BATCHER: &str = "batcher";

impl<'a> Names<'a> {
    /// To be called before a change; `root` is the configuration until then.
    pub(crate) fn before(source: &'a Source, labels: Labels<'static>, root: &Root) -> Self {
        let size = |table: Option<&Root>| {
            table?.get(BATCHER)?.get_ref().as_table()?.get("batch_size").cloned()
        };
        let evaluation = root.get("evaluation").and_then(|table| table.get_ref().as_table());
        Self { source, labels, sizes: [size(Some(root)), size(evaluation)] }
    }

    pub(crate) fn replace(self, root: &mut Root) -> Result<(), Diagnostic> {
        for key in ["dataset", "model"] {
            if let Some(value) = root.get_mut(key)
                && let DeValue::String(name) = value.get_ref()
            {
                let table = named(name, value);
                *value.get_mut() = DeValue::Table(table);
            }
        }
        if let Some(value) = root.get_mut("sink")
            && let DeValue::String(name) = value.get_ref()
        {
            let mut list = DeArray::new();
            list.push(Spanned::new(value.span(), DeValue::Table(named(name, value))));
            *value.get_mut() = DeValue::Array(list);
        }
        let Self { source, labels, sizes: [own, of_evaluation] } = self;
        if let Some(batcher) = root.get_mut(BATCHER) {
            strategy(source, labels, batcher, own)?;
        }
        let evaluation = root.get_mut("evaluation").map(Spanned::get_mut);
        if let Some(DeValue::Table(evaluation)) = evaluation
            && let Some(batcher) = evaluation.get_mut(BATCHER)
        {
            strategy(source, labels, batcher, of_evaluation)?;
        }
        Ok(())
    }
}

/// Replaces a label by its table, and adds a batch size where there is none.
pub(crate) fn strategy(
    source: &Source,
    labels: Labels<'static>,
    value: &mut Spanned<DeValue<'static>>,
    size: Option<Spanned<DeValue<'static>>>,
) -> Result<(), Diagnostic> {
    let span = value.span();
    if let DeValue::String(label) = value.get_ref() {
        let table = of_label(label, value, labels).map_err(|error| source.locate(error, &span))?;
        *value.get_mut() = DeValue::Table(table);
    }
    if let (Some(size), DeValue::Table(table)) = (size, value.get_mut())
        && takes_batch_size(table)
        && !table.contains_key("batch_size")
    {
        let key = Spanned::new(size.span(), "batch_size".into());
        table.insert(key, size);
    }
    Ok(())
}

/// A preset, or a batcher with its defaults.
fn of_label(
    label: &str,
    place: &Spanned<DeValue<'static>>,
    labels: Labels<'static>,
) -> Result<Root, Diagnostic> {
    if let Some((_, table)) = labels.iter().find(|(known, _)| *known == label) {
        let parsed = DeValue::parse(table).map_err(|error| Diagnostic::new(error.message()))?;
        if let DeValue::Table(table) = parsed.into_inner() {
            return Ok(moved(table, &place.span()));
        }
    }
    if find(Kind::Batcher, label).is_some() {
        return Ok(named(label, place));
    }
    let mut known: Vec<&str> = labels.iter().map(|&(label, _)| label).collect();
    let batchers = components(Kind::Batcher).into_keys();
    known.extend(batchers.filter(|name| !labels.iter().any(|(label, _)| label == name)));
    let near = suggestion(label, &known);
    Err(Diagnostic::new(format!("unknown strategy \"{label}\"{near}"))
        .help(format!("known: {}", known.join(", ")))
        .help("or a table, such as { name = \"static\", padding = { multiple = 32 } }"))
}

/// A component of this name with its defaults, all of it at the place of the name.
pub(crate) fn named(name: &str, place: &Spanned<DeValue<'static>>) -> Root {
    let name = Spanned::new(place.span(), DeValue::String(name.to_owned().into()));
    Root::from_iter([(Spanned::new(place.span(), "name".into()), name)])
}

/// The same table, all of it at one place: spans of another text mean nothing in a file.
pub(crate) fn moved(table: Root, place: &Range<usize>) -> Root {
    let moved = |(key, value): (Spanned<_>, Spanned<DeValue<'static>>)| {
        let value = match value.into_inner() {
            DeValue::Table(inner) => DeValue::Table(moved(inner, place)),
            value => value,
        };
        (Spanned::new(place.clone(), key.into_inner()), Spanned::new(place.clone(), value))
    };
    table.into_iter().map(moved).collect()
}

/// Whether the batcher of a table has a batch size; not if the table names no batcher.
pub(crate) fn takes_batch_size(table: &Root) -> bool {
    let name = table.get("name").and_then(|name| name.get_ref().as_str());
    let registration = name.and_then(|name| find(Kind::Batcher, name));
    registration.is_some_and(|r| (r.schema)()["properties"].get("batch_size").is_some())
}

/// The batcher that an option of the command line names: a label, or a table with or without braces;
/// with this batch size unless it has its own or needs none. It fits the data set.
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
    let source = Source::new(option, &format!("batcher = {value}"), []);
    let mut root = source.parse()?.into_inner();
    let Some(batcher) = root.get_mut(BATCHER) else {
        return Err(source.whole(format!("{text} is no strategy")));
    };
    strategy(&source, labels, batcher, Some(integer(size)))?;
    compatibility::batcher_for(&source, &root, dataset, option)
}

/// A batch size as a value without a place.
pub(crate) fn integer(size: BatchSize) -> Spanned<DeValue<'static>> {
    let text = kept(size.get().to_string());
    DeValue::parse(text).unwrap_or_else(|_| Spanned::new(0..0, DeValue::String(text.into())))
}
