//! Merges tables: command-line overrides into a file, and those of a part of a study into the
//! whole.
//!
//! A key may be an alternative to another one, which it then replaces: `training.epochs=5` need not
//! remove `training.steps` from a file explicitly. The schema says which keys are alternatives: the
//! forms of a value such as `{ multiple = 64 }` and `{ power = 2 }`; keys that another one names in
//! [`REPLACES`]; and keys that are only meaningful with some values of another key, which they name
//! in [`ONLY_WITH`].

use serde_json::Value as Json;
use toml::Spanned;
use toml::de::{DeArray, DeValue};

use super::{Diagnostic, Source, Span, Table, Value, word};
use crate::forms::{form, forms, within};

/// `["epochs"]`: setting this key removes those.
const REPLACES: &str = "x-replaces";
/// `{ "padding": ["constant"] }`: any other value of that key removes this key.
const ONLY_WITH: &str = "x-only-with";
const BATCH_SIZE: &str = "batch_size";

/// What an inline table from the command line, such as `a={ b = 1 }`, does to the table `a`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inline {
    /// For overrides: whoever wants to change `b` alone writes `a.b=1`.
    Replaces,
    /// For `with` of a component, a table of changes.
    Merges,
}

impl Source {
    /// Merges `change` into `root`: tables are merged, anything else is replaced.
    pub(crate) fn merge<'t>(
        &self,
        root: &mut Table<'t>,
        change: Table<'t>,
        schema: &Json,
        inline: Inline,
    ) -> Result<(), Diagnostic> {
        for (key, value) in change {
            self.make_way(root, key.get_ref(), value.get_ref(), schema);
            let inner = within(schema, root, key.get_ref());
            let (span, place) = (key.span(), value.span());
            match value.into_inner() {
                DeValue::Table(change)
                    if inline == Inline::Merges
                        || !self.is_change(&span)
                        || is_dotted(&span, &change) =>
                {
                    let name = key.get_ref().clone();
                    let entry = root.entry(key).or_insert_with(|| empty(place));
                    // A word such as "none", where a table is also possible.
                    let is_key = |key: &str| !within(inner, &change, key).is_null();
                    if entry.get_ref().is_str() && change.keys().all(|key| is_key(key.get_ref())) {
                        *entry = empty(entry.span());
                    }
                    match entry.get_mut() {
                        DeValue::Table(table) => self.merge(table, change, inner, inline)?,
                        DeValue::Array(list) => {
                            self.merge_named(list, change, &inner["items"], inline)?;
                        }
                        other => {
                            let kind = other.type_str();
                            let message = format!("\"{name}\" is {kind} in the file, not a table");
                            return Err(self.at(&span, message));
                        }
                    }
                }
                mut value => {
                    let old = root.remove(key.get_ref().as_ref());
                    let is_batcher = key.get_ref() == "batcher";
                    if let (true, Some(old), DeValue::Table(new)) = (is_batcher, old, &mut value)
                        && let Some(size) = old.get_ref().get(BATCH_SIZE)
                    {
                        add_batch_size(new, size, inner);
                    }
                    root.insert(key, Spanned::new(place, value));
                }
            }
        }
        Ok(())
    }

    /// In a list of components, the next key is the name of a component:
    /// `sink.parquet.compression_level = 5`.
    fn merge_named<'t>(
        &self,
        list: &mut DeArray<'t>,
        change: Table<'t>,
        schema: &Json,
        inline: Inline,
    ) -> Result<(), Diagnostic> {
        for (key, value) in change {
            let name = key.get_ref();
            let tables = list.iter_mut().filter_map(|item| match item.get_mut() {
                DeValue::Table(table) => Some(table),
                _ => None,
            });
            let mut named = tables.filter(|table| word(table, "name") == Some(name));
            match (named.next(), value.into_inner()) {
                (Some(table), DeValue::Table(inner)) => self.merge(table, inner, schema, inline)?,
                (None, _) => {
                    return Err(self.at(&key.span(), format!("the list has no \"{name}\"")));
                }
                (Some(_), _) => {
                    return Err(self.at(&key.span(), format!("name a key of \"{name}\"")));
                }
            }
        }
        Ok(())
    }

    /// Removes the alternatives to an overridden key from a table. Keys from the command line are
    /// as new as the override and stay: two overrides can contradict each other.
    fn make_way(&self, table: &mut Table<'_>, key: &str, value: &DeValue<'_>, schema: &Json) {
        let Some(form) = form(schema, table, key) else { return };
        // Components have a name; a key of another component is an error to report.
        let is_of_another = |other: &str| {
            let has_other = |form: &&Json| form["properties"].get(other).is_some();
            form["properties"].get("name").is_none() && forms(schema).iter().any(has_other)
        };
        let names = |list: &Json, name: &str| {
            list.as_array().is_some_and(|list| list.iter().any(|item| item == name))
        };
        let new = value.as_str().unwrap_or_default();
        let goes = |other: &str| {
            let only_with = &form["properties"][other][ONLY_WITH][key];
            names(&form["properties"][key][REPLACES], other)
                || !only_with.is_null() && !names(only_with, new)
                || form["properties"].get(other).is_none() && is_of_another(other)
        };
        let old = table.keys().filter(|other| !self.is_change(&other.span()));
        let old: Vec<_> = old.map(|other| other.get_ref().clone()).collect();
        for other in old.iter().filter(|other| **other != key && goes(other)) {
            table.remove(other.as_ref());
        }
    }
}

/// Adds a batch size to the table of a batcher that needs one and has none. `schema` is that of
/// batchers.
pub(crate) fn add_batch_size<'t>(table: &mut Table<'t>, size: &Value<'t>, schema: &Json) {
    if !within(schema, table, BATCH_SIZE).is_null() && !table.contains_key(BATCH_SIZE) {
        table.insert(Spanned::new(size.span(), BATCH_SIZE.into()), size.clone());
    }
}

fn empty<'t>(span: Span) -> Value<'t> {
    Spanned::new(span, DeValue::Table(Table::new()))
}

/// In `a.b = 1` the key `b` directly follows `a`; in `a = { b = 1 }` it does not.
fn is_dotted(key: &Span, inner: &Table<'_>) -> bool {
    inner.keys().next().is_some_and(|first| first.span().start == key.end + 1)
}
