//! The JSON schemas of configurations and studies, for editors.

use batchlab_core::registry::{Kind, Registration, components};
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::Config;
use crate::study::Grid;

/// The schema of a configuration, with every registered component.
#[must_use]
pub fn config_schema() -> Value {
    let mut schema = inlined(schemars::schema_for!(Config).to_value());
    // A file may omit these.
    make_optional(&mut schema, &["evaluation", "sink"]);
    make_optional(&mut schema["properties"]["evaluation"], &["batcher"]);
    if let Some(object) = schema.as_object_mut() {
        let draft = json!("https://json-schema.org/draft/2020-12/schema");
        object.shift_insert(0, "$schema".into(), draft);
    }
    schema
}

/// The schema of a study: a configuration in which components may be lists.
#[must_use]
pub fn study_schema() -> Value {
    let mut schema = config_schema();
    make_optional(&mut schema, &["dataset", "model", "batcher"]);
    let mut grid = inlined(schemars::schema_for!(Grid).to_value());
    if let (Some(properties), Some(lists)) =
        (schema["properties"].as_object_mut(), grid["properties"].as_object_mut())
    {
        properties.append(lists);
    }
    schema["title"] = json!("Study");
    schema["description"] =
        json!("A study: a configuration in which data set, model and batcher may be lists.");
    schema
}

/// As editors need it: a name, or the label of a strategy, may stand in the place of a component.
#[must_use]
pub fn for_editors(mut schema: Value) -> Value {
    let with_name =
        |table: &mut Value| *table = json!({ "anyOf": [{ "type": "string" }, table.take()] });
    for key in ["dataset", "model", "batcher"] {
        with_name(&mut schema["properties"][key]);
    }
    with_name(&mut schema["properties"]["evaluation"]["properties"]["batcher"]);
    let mut definitions = Definitions::default();
    definitions.share(&mut schema);
    schema["$defs"] = Value::Object(definitions.0);
    schema
}

/// Options that stand in several places (`padding` in most batchers, and all of these wherever a batcher may
/// stand), by name.
#[derive(Default)]
struct Definitions(Map<String, Value>);

impl Definitions {
    /// Replaces the options of all components below by references.
    fn share(&mut self, value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.share(item)),
            Value::Object(object) => {
                object.values_mut().for_each(|value| self.share(value));
                let Some(options) = object.get_mut("properties").and_then(Value::as_object_mut)
                else {
                    return;
                };
                let name = options.get("name").and_then(|name| name["const"].as_str());
                let Some(component) = name.map(str::to_owned) else { return };
                for (key, option) in options.iter_mut().filter(|(key, _)| *key != "name") {
                    self.refer(&component, key, option);
                }
            }
            _ => {}
        }
    }

    fn refer(&mut self, component: &str, key: &str, option: &mut Value) {
        for name in [key.to_owned(), format!("{component}.{key}")] {
            if self.0.entry(&name).or_insert_with(|| option.clone()) == option {
                *option = json!({ "$ref": format!("#/$defs/{name}") });
                return;
            }
        }
    }
}

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
