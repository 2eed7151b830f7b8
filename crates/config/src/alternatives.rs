//! Keys that stand in place of one another. A change replaces what it is an alternative to, so that
//! `training.epochs=5` needs no way to take `training.steps` out of a file.
//!
//! The schema says which keys these are: the forms of a value such as `{ multiple = 64 }` and
//! `{ power = 2 }`; keys that another one names in [`REPLACES`]; and keys that mean something with some
//! values of another key only, which they name in [`ONLY_WITH`].

use std::sync::LazyLock;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use crate::schema::study_schema;
use crate::source::Root;

/// `["epochs"]`: giving this key takes those out.
const REPLACES: &str = "x-replaces";
/// `{ "padding": ["constant"] }`: any other value of that key takes this key out.
const ONLY_WITH: &str = "x-only-with";

/// The schema of configurations.
pub(crate) fn schema() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(study_schema);
    &SCHEMA
}

/// All forms that a value can have.
pub(crate) fn forms(schema: &Value) -> Vec<&Value> {
    let choices = ["oneOf", "anyOf"].iter().find_map(|choice| schema.get(choice)?.as_array());
    choices.map_or_else(|| vec![schema], |choices| choices.iter().flat_map(forms).collect())
}

/// The form with this key; of components, that of the table's name.
fn form<'s>(schema: &'s Value, table: &DeTable<'_>, key: &str) -> Option<&'s Value> {
    let name = table.get("name").and_then(|name| name.get_ref().as_str());
    forms(schema).into_iter().find(|form| {
        let of_name = form["properties"]["name"].get("const").and_then(Value::as_str);
        form["properties"].get(key).is_some() && (of_name.is_none() || of_name == name)
    })
}

/// The schema of a key of a table; null if there is none.
pub(crate) fn within<'s>(schema: &'s Value, table: &DeTable<'_>, key: &str) -> &'s Value {
    form(schema, table, key).map_or(&Value::Null, |form| &form["properties"][key])
}

/// Takes out of a table what a change of one of its keys is an alternative to. What stands in the text from
/// `end` on is as new as the change, and stays: two changes can contradict each other.
pub(crate) fn make_way(
    table: &mut Root,
    key: &str,
    value: &DeValue<'_>,
    schema: &Value,
    end: usize,
) {
    let Some(form) = form(schema, table, key) else { return };
    // Components have a name; a key of another one is a mistake to be told of.
    let is_of_another = |other: &str| {
        let has_other = |form: &&Value| form["properties"].get(other).is_some();
        form["properties"].get("name").is_none() && forms(schema).iter().any(has_other)
    };
    let is_named = |list: &Value, name: &str| {
        list.as_array().is_some_and(|list| list.iter().any(|item| item == name))
    };
    let new = value.as_str().unwrap_or_default();
    let goes = |other: &str| {
        let only_with = &form["properties"][other][ONLY_WITH][key];
        is_named(&form["properties"][key][REPLACES], other)
            || !only_with.is_null() && !is_named(only_with, new)
            || form["properties"].get(other).is_none() && is_of_another(other)
    };
    let is_old = |other: &&Spanned<DeString<'static>>| other.span().start < end;
    let old: Vec<_> = table.keys().filter(is_old).map(|key| key.get_ref().clone()).collect();
    for other in old.iter().filter(|other| **other != key && goes(other)) {
        table.remove(other.as_ref());
    }
}

/// Takes out of a variant what the command line says anew.
pub(crate) fn give_up(table: &mut Root, change: &Root, schema: &Value) {
    for (key, value) in change {
        let key = key.get_ref().as_ref();
        make_way(table, key, value.get_ref(), schema, usize::MAX);
        let inner = within(schema, table, key);
        match (table.get_mut(key).map(Spanned::get_mut), value.get_ref()) {
            (Some(DeValue::Table(inner_table)), DeValue::Table(change)) => {
                give_up(inner_table, change, inner);
                if inner_table.is_empty() {
                    table.remove(key);
                }
            }
            _ => {
                table.remove(key);
            }
        }
    }
}
