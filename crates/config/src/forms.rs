//! What a value may be according to the schema, for messages about one that it may not be.

use std::ops::Range;

use serde_json::Value;
use toml::de::{DeTable, DeValue};

use crate::alternatives::{forms, within};

/// The schema of the value at a place of a table.
pub(crate) fn at<'s>(
    schema: &'s Value,
    table: &DeTable<'_>,
    span: &Range<usize>,
) -> Option<&'s Value> {
    table.iter().find_map(|(key, value)| {
        let schema = within(schema, table, key.get_ref());
        if value.span() == *span { Some(schema) } else { inside(schema, value.get_ref(), span) }
    })
}

fn inside<'s>(schema: &'s Value, value: &DeValue<'_>, span: &Range<usize>) -> Option<&'s Value> {
    match value {
        DeValue::Table(table) => at(schema, table, span),
        DeValue::Array(items) => items.iter().find_map(|item| {
            let schema = &schema["items"];
            if item.span() == *span { Some(schema) } else { inside(schema, item.get_ref(), span) }
        }),
        _ => None,
    }
}

/// What may be written in the place of `typed`: tables with this value in them, or else all words and
/// tables.
pub(crate) fn instead(schema: &Value, typed: &str) -> Option<String> {
    let (mut with_typed, mut all) = (Vec::new(), Vec::new());
    for form in forms(schema) {
        if let Some(word) = form["const"].as_str() {
            all.push(format!("\"{word}\""));
        } else if form["properties"].is_object() {
            let (text, is_with_typed) = table(form, typed);
            if is_with_typed {
                with_typed.push(text.clone());
            }
            all.push(text);
        }
    }
    let mut list = if with_typed.is_empty() { all } else { with_typed };
    let last = list.pop()?;
    Some(if list.is_empty() { last } else { format!("{} or {last}", list.join(", ")) })
}

/// A table with the keys that it has to have, and whether `typed` is the value of one.
fn table(form: &Value, typed: &str) -> (String, bool) {
    let required = form["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let mut keys: Vec<&str> = required.collect();
    let first = form["properties"].as_object().and_then(|keys| keys.keys().next());
    keys.extend(first.map(String::as_str).filter(|_| keys.is_empty()));
    let mut has_typed = false;
    let pair = |key: &&str| {
        let types: Vec<&str> =
            forms(&form["properties"][*key]).into_iter().flat_map(types).collect();
        let is_word = matches!(kind(typed), Some("string"));
        let fits = match kind(typed) {
            Some("integer") => types.contains(&"integer") || types.contains(&"number"),
            Some(kind) => types.contains(&kind),
            None => false,
        };
        // Several numbers may be equal; several names hardly are.
        let value = if fits && !(is_word && has_typed) {
            has_typed = true;
            typed.to_owned()
        } else {
            let examples =
                [("integer", "2"), ("number", "0.5"), ("boolean", "true"), ("array", "[]")];
            let example = examples.iter().find(|(kind, _)| types.contains(kind));
            example.map_or("\"...\"", |(_, example)| example).to_owned()
        };
        format!("{key} = {value}")
    };
    let pairs: Vec<String> = keys.iter().map(pair).collect();
    (format!("{{ {} }}", pairs.join(", ")), has_typed)
}

fn kind(typed: &str) -> Option<&'static str> {
    match DeValue::parse(typed).ok()?.get_ref() {
        DeValue::Integer(_) => Some("integer"),
        DeValue::Float(_) => Some("number"),
        DeValue::String(_) => Some("string"),
        DeValue::Boolean(_) => Some("boolean"),
        _ => None,
    }
}

fn types(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The smallest whole number that a value may be.
pub(crate) fn minimum(schema: &Value) -> Option<u64> {
    forms(schema).into_iter().find_map(|form| form["minimum"].as_u64())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_put_where_it_fits() {
        let rule = json!({ "oneOf": [
            { "const": "all" },
            { "type": "object", "properties": { "radius": { "type": "number" } }, "required": ["radius"] },
            { "type": "object", "properties": { "nearest": { "type": "integer" } }, "required": ["nearest"] },
        ]});
        let check = |schema: &Value, typed: &str, expected: &str| {
            assert_eq!(instead(schema, typed).as_deref(), Some(expected));
        };
        check(&rule, "5.0", "{ radius = 5.0 }");
        check(&rule, "5", "{ radius = 5 } or { nearest = 5 }");
        check(&rule, "\"al\"", "\"all\", { radius = 0.5 } or { nearest = 2 }");
        let text = json!({ "type": "string" });
        let table = json!({ "anyOf": [{ "type": "null" }, { "type": "object",
            "properties": { "path": text, "id": text }, "required": ["path", "id"] }]});
        check(&table, "\"x.csv\"", "{ path = \"x.csv\", id = \"...\" }");
        assert_eq!(instead(&text, "3"), None);
    }
}
