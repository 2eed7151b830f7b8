//! What a JSON schema says about a value: its possible forms, their keys, words and types.

use serde_json::Value as Json;
use toml::de::DeValue;

use crate::text::{Span, Table, Value, word};

/// All forms that a value can have.
pub(crate) fn forms(schema: &Json) -> Vec<&Json> {
    let choices = ["oneOf", "anyOf"].iter().find_map(|choice| schema.get(choice)?.as_array());
    choices.map_or_else(|| vec![schema], |choices| choices.iter().flat_map(forms).collect())
}

/// The possible forms of a table; for components, only the one with its name.
fn of_name<'s>(schema: &'s Json, table: &Table<'_>) -> impl Iterator<Item = &'s Json> {
    let name = word(table, "name").map(str::to_owned);
    forms(schema).into_iter().filter(move |form| {
        let own = form["properties"]["name"].get("const").and_then(Json::as_str);
        own.is_none() || own == name.as_deref()
    })
}

/// The form of a table that has this key.
pub(crate) fn form<'s>(schema: &'s Json, table: &Table<'_>, key: &str) -> Option<&'s Json> {
    of_name(schema, table).find(|form| form["properties"].get(key).is_some())
}

/// The schema of a key of a table; null if unknown.
pub(crate) fn within<'s>(schema: &'s Json, table: &Table<'_>, key: &str) -> &'s Json {
    form(schema, table, key).map_or(&Json::Null, |form| &form["properties"][key])
}

/// The item at a position in a table.
pub(crate) enum Found<'a, 't> {
    /// An unknown key, and the keys that are known there.
    UnknownKey(&'a str, Vec<&'a str>),
    /// A value, and its schema.
    Value(&'a Value<'t>, &'a Json),
}

pub(crate) fn find<'a, 't>(
    schema: &'a Json,
    table: &'a Table<'t>,
    span: &Span,
) -> Option<Found<'a, 't>> {
    table.iter().find_map(|(key, value)| {
        let inner = within(schema, table, key.get_ref());
        if key.span() == *span && inner.is_null() {
            let known = of_name(schema, table).filter_map(|form| form["properties"].as_object());
            let known = known.flat_map(|keys| keys.keys().map(String::as_str)).collect();
            return Some(Found::UnknownKey(key.get_ref(), known));
        }
        find_value(inner, value, span)
    })
}

fn find_value<'a, 't>(
    schema: &'a Json,
    value: &'a Value<'t>,
    span: &Span,
) -> Option<Found<'a, 't>> {
    if value.span() == *span {
        return Some(Found::Value(value, schema));
    }
    match value.get_ref() {
        DeValue::Table(table) => find(schema, table, span),
        DeValue::Array(items) => {
            items.iter().find_map(|item| find_value(&schema["items"], item, span))
        }
        _ => None,
    }
}

fn type_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::Integer(_) => "integer",
        DeValue::Float(_) => "number",
        DeValue::Boolean(_) => "boolean",
        DeValue::Array(_) => "array",
        DeValue::Table(_) => "object",
        DeValue::String(_) | DeValue::Datetime(_) => "string",
    }
}

/// The possible types of a value.
fn types(schema: &Json) -> Vec<&str> {
    let mut all = Vec::new();
    for form in forms(schema) {
        match &form["type"] {
            Json::String(one) => all.push(one.as_str()),
            Json::Array(several) => all.extend(several.iter().filter_map(Json::as_str)),
            _ if form.get("const").is_some() || form.get("enum").is_some() => all.push("string"),
            _ => {}
        }
    }
    let mut seen = Vec::new();
    all.retain(|one| {
        let is_new = *one != "null" && !seen.contains(one);
        seen.push(*one);
        is_new
    });
    all
}

/// Whether a value has one of its possible types; true if nothing is known.
pub(crate) fn has_type(schema: &Json, value: &DeValue<'_>) -> bool {
    fits(&types(schema), type_of(value)) || types(schema).is_empty()
}

fn fits(types: &[&str], own: &str) -> bool {
    types.contains(&own) || own == "integer" && types.contains(&"number")
}

/// The possible forms of a value, in words.
pub(crate) fn in_words(schema: &Json) -> String {
    let minimum = forms(schema).into_iter().find_map(|form| form["minimum"].as_u64());
    let words: Vec<String> = words(schema).iter().map(|word| format!("\"{word}\"")).collect();
    let word = |name: &&str| match (*name, minimum) {
        ("integer", Some(minimum)) => format!("a whole number, {minimum} or more"),
        ("integer", None) => "a whole number".to_owned(),
        ("number", _) => "a number".to_owned(),
        ("boolean", _) => "true or false".to_owned(),
        ("array", _) => "a list".to_owned(),
        ("object", _) => "a table".to_owned(),
        _ if !words.is_empty() => words.join(" or "),
        _ => "text".to_owned(),
    };
    types(schema).iter().map(word).collect::<Vec<_>>().join(" or ")
}

/// The possible string values.
pub(crate) fn words(schema: &Json) -> Vec<&str> {
    let mut all = Vec::new();
    for form in forms(schema) {
        let several = form["enum"].as_array().into_iter().flatten();
        all.extend(form.get("const").into_iter().chain(several).filter_map(Json::as_str));
    }
    all
}

/// Suggested replacements for a value: tables that contain it, or else all words and tables.
pub(crate) fn instead(schema: &Json, value: &DeValue<'_>, typed: &str) -> Option<String> {
    let (mut with_typed, mut all) = (Vec::new(), Vec::new());
    for form in forms(schema) {
        if let Some(word) = form["const"].as_str() {
            all.push(format!("\"{word}\""));
        } else if form["properties"].is_object() {
            let (text, is_with_typed) = table(form, type_of(value), typed);
            with_typed.extend(is_with_typed.then(|| text.clone()));
            all.push(text);
        }
    }
    let mut list = if with_typed.is_empty() { all } else { with_typed };
    let last = list.pop()?;
    Some(if list.is_empty() { last } else { format!("{} or {last}", list.join(", ")) })
}

/// A table with its required keys, and whether `typed` is the value of one of them.
fn table(form: &Json, own: &str, typed: &str) -> (String, bool) {
    let required = form["required"].as_array().into_iter().flatten().filter_map(Json::as_str);
    let mut keys: Vec<&str> = required.collect();
    if keys.is_empty() {
        keys.extend(
            form["properties"].as_object().and_then(|keys| Some(keys.keys().next()?.as_str())),
        );
    }
    let mut has_typed = false;
    let pair = |key: &&str| {
        let types = types(&form["properties"][*key]);
        // Several numbers may be equal; several names hardly ever are.
        if fits(&types, own) && !(own == "string" && has_typed) {
            has_typed = true;
            return format!("{key} = {typed}");
        }
        let examples = [("integer", "2"), ("number", "0.5"), ("boolean", "true"), ("array", "[]")];
        let example = examples.iter().find(|(name, _)| types.contains(name));
        format!("{key} = {}", example.map_or("\"...\"", |(_, example)| example))
    };
    let pairs: Vec<String> = keys.iter().map(pair).collect();
    (format!("{{ {} }}", pairs.join(", ")), has_typed)
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
        let check = |schema: &Json, typed: &str, expected: Option<&str>| {
            let value = DeValue::parse(typed).unwrap();
            assert_eq!(instead(schema, value.get_ref(), typed).as_deref(), expected);
        };
        check(&rule, "5.0", Some("{ radius = 5.0 }"));
        check(&rule, "5", Some("{ radius = 5 } or { nearest = 5 }"));
        check(&rule, "\"al\"", Some("\"all\", { radius = 0.5 } or { nearest = 2 }"));
        let text = json!({ "type": "string" });
        let table = json!({ "anyOf": [{ "type": "null" }, { "type": "object",
            "properties": { "path": text, "id": text }, "required": ["path", "id"] }]});
        check(&table, "\"x.csv\"", Some("{ path = \"x.csv\", id = \"...\" }"));
        check(&text, "3", None);
    }
}
