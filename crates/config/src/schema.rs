//! JSON schemas of configurations and studies, for editors.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

pub use crate::component::schema::component_schema;
use crate::component::schema::{inlined, make_optional};
use crate::config::Config;
use crate::study::grid::Grid;

/// The schema of studies, and thus also of runs.
pub(crate) fn schema() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(study_schema);
    &SCHEMA
}

/// The schema of a configuration, including every registered component.
#[must_use]
pub fn config_schema() -> Value {
    let mut schema = inlined(schemars::schema_for!(Config).to_value());
    // These may be omitted in a file.
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

/// Adapts it for editors: a name, or the label of a strategy, may replace the table of a component.
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

/// Options that occur more than once (`padding` in most batchers, and all batcher options wherever
/// a batcher may occur), by name.
#[derive(Default)]
struct Definitions(Map<String, Value>);

impl Definitions {
    /// Replaces the options of all nested components by references.
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
