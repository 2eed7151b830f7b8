//! The JSON schema of a configuration file, for editors.

use batchlab_core::registry::{Kind, Registration, components};
use serde_json::{Value, json};

use crate::config::{Split, Subset, Training};

/// The schema of the whole file, with every registered component.
#[must_use]
pub fn config_schema() -> Value {
    let batcher = one_of(Kind::Batcher);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "batchlab configuration",
        "type": "object",
        "additionalProperties": false,
        "required": ["dataset", "model", "batcher", "training"],
        "properties": {
            "study": { "type": "string", "description": "Study that the run belongs to." },
            "device": { "type": "string", "description": "`cpu` or `cuda:0`." },
            "dataset": one_of(Kind::Dataset),
            "model": one_of(Kind::Model),
            "batcher": batcher,
            "split": of::<Split>(),
            "evaluation": {
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "batcher": batcher,
                    "every": { "type": "integer", "minimum": 1, "description": "Steps between evaluations." },
                    "subsets": { "type": "array", "items": of::<Subset>() },
                },
            },
            "training": of::<Training>(),
            "sink": { "type": "array", "items": one_of(Kind::Sink) },
        },
    })
}

fn one_of(kind: Kind) -> Value {
    let options: Vec<Value> = components(kind).into_values().map(component_schema).collect();
    json!({ "oneOf": options })
}

/// The schema of one component's table, with its name.
#[must_use]
pub fn component_schema(registration: &Registration) -> Value {
    let mut schema = inlined((registration.schema)());
    let name = json!({ "const": (registration.name)() });
    if let Some(object) = schema.as_object_mut() {
        let properties = object.entry("properties").or_insert_with(|| json!({}));
        if let Some(properties) = properties.as_object_mut() {
            properties.insert("name".into(), name);
        }
        let required = object.entry("required").or_insert_with(|| json!([]));
        if let Some(required) = required.as_array_mut() {
            required.insert(0, json!("name"));
        }
    }
    schema
}

fn of<T: schemars::JsonSchema>() -> Value {
    inlined(schemars::schema_for!(T).to_value())
}

/// Replaces references by what they refer to, so that schemas can be nested.
fn inlined(mut schema: Value) -> Value {
    let definitions = schema.as_object_mut().and_then(|object| {
        object.remove("$schema");
        object.remove("$defs")
    });
    resolve(&mut schema, &definitions.unwrap_or_default());
    schema
}

fn resolve(value: &mut Value, definitions: &Value) {
    if let Some(object) = value.as_object_mut() {
        let name =
            object.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix("#/$defs/"));
        if let Some(definition) = name.and_then(|name| definitions.get(name)).cloned() {
            object.remove("$ref");
            for (key, value) in definition.as_object().cloned().unwrap_or_default() {
                object.entry(key).or_insert(value);
            }
        }
        for value in object.values_mut() {
            resolve(value, definitions);
        }
    } else if let Some(items) = value.as_array_mut() {
        for item in items {
            resolve(item, definitions);
        }
    }
}
