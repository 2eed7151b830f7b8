//! The schemas of components, including their names.

use batchlab_core::registry::{Kind, Registration, components};
use schemars::{Schema, SchemaGenerator};
use serde_json::{Value, json};

/// Makes keys optional.
pub(crate) fn make_optional(schema: &mut Value, keys: &[&str]) {
    if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|key| !keys.iter().any(|optional| key == optional));
    }
}

macro_rules! components_schema {
    ($($name:ident: $kind:ident),*) => {$(
        pub(crate) fn $name(_: &mut SchemaGenerator) -> Schema {
            Schema::try_from(one_of(Kind::$kind)).expect("an object is a schema")
        }
    )*};
}
components_schema!(datasets: Dataset, models: Model, batchers: Batcher);

pub(crate) fn sinks(_: &mut SchemaGenerator) -> Schema {
    let list = json!({ "type": "array", "minItems": 1, "items": one_of(Kind::Sink) });
    Schema::try_from(list).expect("an object is a schema")
}

pub(crate) fn one_of(kind: Kind) -> Value {
    let options: Vec<Value> = components(kind).into_values().map(component_schema).collect();
    json!({ "oneOf": options })
}

/// The schema of the table that selects a component.
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

/// Inlines references, so that schemas can be nested.
pub(crate) fn inlined(mut schema: Value) -> Value {
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
                // The description of the type is usually the longer one.
                let is_longer = |old: &Value| {
                    let length = |text: &Value| text.as_str().map_or(0, str::len);
                    key == "description" && length(&value) > length(old)
                };
                if object.get(&key).is_none_or(is_longer) {
                    object.insert(key, value);
                }
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
