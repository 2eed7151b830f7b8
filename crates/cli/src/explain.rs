//! `batchlab explain`: the keys of a component or a table.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::{Result, bail};
use batchlab_builtin::PRESETS;
use batchlab_config::schema::{component_schema, study_schema};
use batchlab_core::registry::{Kind, Registration, components, suggestion};
use serde_json::{Value, json};

use crate::exit::Usage;
use crate::output::print;

/// Explain a component, or a table of a configuration or study, with all its keys.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// `batcher.dynamic`, `dataset.qm9`, `training`, `blocks`, `repeats`, ...
    #[arg(value_name = "KIND.NAME")]
    what: String,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let text = explain(&arguments.what)?;
    print(&text)
}

fn explain(what: &str) -> Result<String> {
    let schema = study_schema();
    let tables: Vec<&str> = schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        // Components are explained individually.
        .filter(|(_, table)| component_names(table).is_none())
        .map(|(name, _)| name.as_str())
        .collect();
    if tables.contains(&what) {
        return Ok(of_table(what, &schema["properties"][what]));
    }
    let mut known: Vec<String> = tables.into_iter().map(str::to_owned).collect();
    // A bare name suffices if it is unique.
    let mut named = Vec::new();
    for (name, registration) in Kind::ALL.into_iter().flat_map(components) {
        let full = format!("{}.{name}", registration.kind);
        if full == what {
            return Ok(of_component(registration));
        }
        if name == what {
            named.push(registration);
        }
        known.push(full);
    }
    match named.as_slice() {
        [] => {}
        [one] => return Ok(of_component(one)),
        several => {
            let full = several.iter().map(|one| format!("{}.{what}", one.kind));
            bail!(Usage(format!("\"{what}\" is {}", full.collect::<Vec<_>>().join(" or "))));
        }
    }
    if let Some((label, table)) = PRESETS.iter().find(|(label, _)| *label == what) {
        let name = table.split('"').nth(1).unwrap_or_default();
        let explained = explain(&format!("batcher.{name}"))?;
        return Ok(format!("{label} is the batcher {table}\n\n{explained}"));
    }
    known.extend(PRESETS.iter().map(|(label, _)| (*label).to_owned()));
    bail!(Usage(format!(
        "there is no component or table \"{what}\"{}\nknown: {}",
        suggestion(what, &known),
        known.join(", ")
    )))
}

fn of_table(name: &str, schema: &Value) -> String {
    let description = description(schema);
    if schema.get("properties").is_some() {
        return format!("[{name}]\n{description}\n{}", keys(schema));
    }
    let default =
        schema.get("default").map_or_else(String::new, |value| format!(", default {value}"));
    format!("{name}: {}{default}\n\n{description}\n", type_of(schema))
}

fn of_component(registration: &Registration) -> String {
    let schema = component_schema(registration);
    let example = (registration.example)();
    let example = match registration.kind {
        Kind::Sink => json!({ "sink": [example] }),
        kind => json!({ kind.key(): example }),
    };
    let example = toml::to_string(&example).unwrap_or_default();
    format!(
        "{} {} ({})\n\n{}{}\nExample, with all defaults:\n\n{}",
        registration.kind,
        (registration.name)(),
        registration.package,
        indented(&description(&schema), ""),
        keys(&schema),
        indented(&example, "  "),
    )
}

fn keys(schema: &Value) -> String {
    let mut text = String::from("\nKeys:\n");
    let required =
        |key: &str| schema["required"].as_array().is_some_and(|keys| keys.iter().any(|k| k == key));
    for (key, value) in schema["properties"].as_object().into_iter().flatten() {
        if key == "name" {
            continue;
        }
        let default = match value.get("default") {
            _ if required(key) => "required".to_owned(),
            Some(Value::Null) | None => "optional".to_owned(),
            Some(default) => format!("default {default}"),
        };
        let _ = writeln!(text, "\n  {key}: {} ({default})", type_of(value));
        text.push_str(&indented(&description(value), "      "));
    }
    text
}

/// The names of the components that a table can select.
fn component_names(schema: &Value) -> Option<Vec<String>> {
    let options = schema.get("oneOf")?.as_array()?.iter();
    options.map(|option| Some(option["properties"]["name"].get("const")?.to_string())).collect()
}

/// The type of a value in words.
fn type_of(schema: &Value) -> String {
    if let Some(value) = schema.get("const") {
        return value.to_string();
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return values.iter().map(Value::to_string).collect::<Vec<_>>().join(" | ");
    }
    if let Some(names) = component_names(schema) {
        return format!("table with name = {}", names.join(" | "));
    }
    for choice in ["oneOf", "anyOf"] {
        if let Some(options) = schema.get(choice).and_then(Value::as_array) {
            let options = options.iter().map(type_of).filter(|option| option != "null");
            return options.collect::<Vec<_>>().join(" | ");
        }
    }
    let name = match &schema["type"] {
        Value::String(name) => name.clone(),
        Value::Array(names) => {
            let names = names.iter().filter_map(Value::as_str).filter(|&name| name != "null");
            names.collect::<Vec<_>>().join(" | ")
        }
        _ => "table".to_owned(),
    };
    match (name.as_str(), schema.get("properties").and_then(Value::as_object)) {
        ("object", Some(fields)) => {
            let fields = fields.iter().map(|(key, value)| format!("{key} = {}", type_of(value)));
            format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
        }
        ("array", _) => format!("list of {}", type_of(&schema["items"])),
        _ => name,
    }
}

fn description(schema: &Value) -> String {
    schema["description"].as_str().unwrap_or_default().to_owned()
}

fn indented(text: &str, indent: &str) -> String {
    text.lines().fold(String::new(), |mut all, line| {
        let _ = writeln!(all, "{}", format!("{indent}{line}").trim_end());
        all
    })
}
