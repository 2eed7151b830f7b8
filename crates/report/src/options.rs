//! Options in the configuration of a run, besides the names of its components.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

pub type Options = BTreeMap<String, String>;

/// Keys of `training` that may differ between comparable runs, or that have columns of their own.
const NOT_OF_A_SETTING: [&str; 6] = ["seeds", "checkpoint", "steps", "timing", "prefetch", "tuned"];

/// The part of a configuration that must be equal for times and errors to be comparable: model,
/// split and training.
pub(crate) fn of_setting(config: &Value) -> Options {
    let mut options = Options::new();
    flatten("model", &config["model"], &mut options);
    flatten("split", &config["split"], &mut options);
    for (key, value) in config["training"].as_object().into_iter().flatten() {
        if !NOT_OF_A_SETTING.contains(&key.as_str()) && !is_tuned(config, key) {
            flatten(&format!("training.{key}"), value, &mut options);
        }
    }
    options
}

/// The options of the data set, without its name.
pub(crate) fn of_dataset(config: &Value) -> Options {
    let mut options = Options::new();
    flatten("dataset", &config["dataset"], &mut options);
    options.remove("dataset.name");
    options
}

/// The options of the training that were chosen for each strategy.
pub(crate) fn tuned(config: &Value) -> Options {
    let mut options = Options::new();
    for (key, value) in config["training"].as_object().into_iter().flatten() {
        if is_tuned(config, key) {
            flatten(key, value, &mut options);
        }
    }
    options
}

fn is_tuned(config: &Value, key: &str) -> bool {
    let tuned = config["training"]["tuned"].as_array();
    tuned.is_some_and(|tuned| tuned.iter().any(|of| of == key))
}

/// The options of a strategy, without the batch size.
pub(crate) fn of_strategy(config: &Value) -> Options {
    let mut options = tuned(config);
    for (key, value) in config["batcher"].as_object().into_iter().flatten() {
        if key != "batch_size" {
            flatten(key, value, &mut options);
        }
    }
    options
}

fn flatten(key: &str, value: &Value, into: &mut Options) {
    match value {
        Value::Null => {}
        Value::Object(entries) => {
            for (name, value) in entries {
                flatten(&format!("{key}.{name}"), value, into);
            }
        }
        Value::String(text) => drop(into.insert(key.to_owned(), text.clone())),
        other => drop(into.insert(key.to_owned(), other.to_string())),
    }
}

/// Up to three options that distinguish `own` from the others, as text. Options that `own` lacks
/// are named only as far as needed to tell it apart.
pub(crate) fn difference(own: &Options, others: &[&Options]) -> String {
    let is_other = |other: &&Options, key: &String| other.get(key) != own.get(key);
    let all = own.keys().chain(others.iter().flat_map(|other| other.keys()));
    let all: BTreeSet<&String> = all.collect();
    let differing = all.into_iter().filter(|key| others.iter().any(|other| is_other(other, key)));
    let (mut keys, absent): (Vec<&String>, Vec<&String>) =
        differing.partition(|key| own.contains_key(*key));
    for key in absent {
        let is_told = |other: &&&Options| keys.iter().any(|key| is_other(other, key));
        let mut untold = others.iter().filter(|other| **other != own && !is_told(other));
        if untold.any(|other| is_other(other, key)) {
            keys.push(key);
        }
    }
    let value = |key: &&String| match own.get(*key) {
        None => format!("no {key}"),
        Some(value) => format!("{key} = {}", short(key, value, others)),
    };
    let mut words: Vec<String> = keys.iter().take(3).map(value).collect();
    if keys.len() > 3 {
        words.push("...".into());
    }
    words.join(", ")
}

/// Only the last component of a path, if that is enough to tell it apart.
fn short<'a>(key: &str, value: &'a str, others: &[&Options]) -> &'a str {
    let last = |path: &'a str| path.rsplit(['/', '\\']).next().unwrap_or(path);
    let is_told = |other: &&Options| {
        let other = other.get(key).map(String::as_str);
        other.is_none_or(|other| other == value || !other.ends_with(last(value)))
    };
    let is_path = key.rsplit('.').next() == Some("path");
    if is_path && others.iter().all(is_told) { last(value) } else { value }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn seeds_and_checkpoints_are_no_part_of_a_setting_and_widths_are() {
        let config = |seed: u32, width: u32| {
            json!({ "model": { "name": "schnet", "latent_size": width }, "batcher": {},
                    "training": { "loss": "mse", "seeds": { "order": seed }, "checkpoint": seed } })
        };
        assert_eq!(of_setting(&config(1, 8)), of_setting(&config(2, 8)));
        let [narrow, wide] = [8, 32].map(|width| of_setting(&config(1, width)));
        assert_eq!(difference(&narrow, &[&wide]), "model.latent_size = 8");
        assert_eq!(difference(&narrow, &[&narrow.clone()]), "");
    }

    #[test]
    fn a_strategy_is_all_of_its_options_without_its_size() {
        let config = |n: u32, batch_size: u32| json!({ "batcher": { "batch_size": batch_size, "budget": { "n_node": n } } });
        assert_eq!(of_strategy(&config(200, 8)), of_strategy(&config(200, 16)));
        let [few, none] = [of_strategy(&config(200, 8)), Options::new()];
        assert_eq!(difference(&none, &[&few]), "no budget.n_node");
    }

    #[test]
    fn what_was_chosen_for_each_strategy_is_one_of_its_options() {
        let config = |rate: f64| {
            json!({ "batcher": { "n_part": 4 }, "training": { "learning_rate": rate, "loss": "mse",
                    "tuned": ["learning_rate", "plateau"] } })
        };
        assert_eq!(of_setting(&config(0.1)), of_setting(&config(0.2)));
        let [low, high] = [0.1, 0.2].map(|rate| of_strategy(&config(rate)));
        assert_eq!(difference(&low, &[&high]), "learning_rate = 0.1");
        assert_eq!(tuned(&config(0.1)).len(), 1);
    }

    #[test]
    fn what_is_not_there_is_named_where_nothing_else_tells() {
        let of = |dataset: Value| of_dataset(&json!({ "dataset": dataset }));
        let [cora, physics, limited] = [
            of(json!({ "self_loops": true })),
            of(json!({ "self_loops": true, "path": "physics.npz" })),
            of(json!({ "self_loops": true, "path": "physics.npz", "limit": 9 })),
        ];
        let all = [&cora, &physics, &limited];
        assert_eq!(difference(&cora, &all), "no dataset.limit, no dataset.path");
        assert_eq!(difference(&cora, &all[..2]), "no dataset.path");
        assert_eq!(difference(&physics, &all[..2]), "dataset.path = physics.npz");
        assert_eq!(difference(&physics, &all), "dataset.path = physics.npz, no dataset.limit");
    }

    #[test]
    fn of_paths_the_last_part_is_said_if_that_is_enough() {
        let of = |path: &str| of_dataset(&json!({ "dataset": { "path": path } }));
        let [a, b, c] = [of("../x/a.npz"), of("../x/b.npz"), of("../y/a.npz")];
        assert_eq!(difference(&a, &[&a, &b]), "dataset.path = a.npz");
        assert_eq!(difference(&a, &[&a, &b, &c]), "dataset.path = ../x/a.npz");
    }
}
