//! Names of data sets and models in a study, made unique.

use std::collections::{BTreeSet, HashMap};

use batchlab_config::Config;
use serde_json::Value;

use super::{Cell, CellInfo};

/// Adds to each name the options that distinguish it from others of the same name: `qm9
/// target=gap`.
pub(super) fn tell_apart(cells: &mut [Cell]) {
    tell(cells, "dataset", |config| config.dataset.typetag_name(), |info| &mut info.dataset);
    tell(cells, "model", |config| config.model.typetag_name(), |info| &mut info.model);
}

fn tell(
    cells: &mut [Cell],
    key: &str,
    component: fn(&Config) -> &str,
    name: fn(&mut CellInfo) -> &mut String,
) {
    let mut all = Vec::with_capacity(cells.len());
    let mut common: HashMap<(String, String), BTreeSet<String>> = HashMap::new();
    for Cell { info, runs, .. } in &mut *cells {
        let config = &runs[0].config;
        if name(info).is_empty() {
            // Given on the command line.
            component(config).clone_into(name(info));
        }
        let options = serde_json::to_value(config).map(|mut config| config[key].take());
        let options = options.map(|options| leaves("", &options)).unwrap_or_default();
        // A variant already states its differences.
        let namesakes = (name(info).clone(), info.variant.clone());
        common
            .entry(namesakes.clone())
            .and_modify(|common| common.retain(|option| options.contains(option)))
            .or_insert_with(|| options.clone());
        all.push((namesakes, options));
    }
    for (cell, (namesakes, options)) in cells.iter_mut().zip(&all) {
        for option in options.difference(&common[namesakes]) {
            let name = name(&mut cell.info);
            name.push(' ');
            name.push_str(option);
        }
    }
}

/// `a.b=1` for every leaf value.
fn leaves(prefix: &str, value: &Value) -> BTreeSet<String> {
    let leaf = |text: &str| BTreeSet::from([format!("{prefix}={text}")]);
    match value {
        Value::Null => BTreeSet::new(),
        Value::Object(table) => {
            let dot = if prefix.is_empty() { "" } else { "." };
            table
                .iter()
                .flat_map(|(key, value)| leaves(&format!("{prefix}{dot}{key}"), value))
                .collect()
        }
        Value::String(text) => leaf(text),
        other => leaf(&other.to_string()),
    }
}
