//! Keys that stand where they do not belong.

use batchlab_core::registry::nearest;
use serde_json::Value;

use crate::alternatives;

/// What other programs call a key, and where it is here.
const OTHER_NAMES: [(&str, &str); 29] = [
    ("lr", "training.learning_rate"),
    ("epoch", "training.epochs"),
    ("epochs", "training.epochs"),
    ("n_epoch", "training.epochs"),
    ("n_epochs", "training.epochs"),
    ("num_epochs", "training.epochs"),
    ("max_epochs", "training.epochs"),
    ("n_steps", "training.steps"),
    ("num_steps", "training.steps"),
    ("max_steps", "training.steps"),
    ("iterations", "training.steps"),
    ("batchsize", "batcher.batch_size"),
    ("bs", "batcher.batch_size"),
    ("data", "dataset"),
    ("dataloader", "batcher"),
    ("loader", "batcher"),
    ("sampler", "batcher"),
    ("network", "model"),
    ("num_workers", "training.prefetch"),
    ("workers", "training.prefetch"),
    ("trainer", "training"),
    ("train", "training"),
    ("eval", "evaluation"),
    ("cutoff", "dataset.edges = { radius = 5.0 }, in angstrom"),
    ("radius", "dataset.edges = { radius = 5.0 }, in angstrom"),
    ("r_max", "dataset.edges = { radius = 5.0 }, in angstrom"),
    ("val_split", "split.validation"),
    ("test_split", "split.test"),
    ("file", "dataset.path"),
];

/// Where a key belongs that is not known in the table `here`, in words; `None` if that is not clear.
pub(crate) fn right_place(key: &str, here: &str) -> Option<String> {
    match key {
        "optimizer" | "optim" | "optimiser" => {
            return Some(
                "the optimizer is Adam; its keys are training.learning_rate and training.weight_decay"
                    .to_owned(),
            );
        }
        "seed" | "seeds" => {
            return Some(
                "seeds are training.seeds.order, training.seeds.init and training.seeds.split"
                    .to_owned(),
            );
        }
        "batch_size" => {
            return Some(
                "the batch size of a run is batcher.batch_size; a study compares batch_sizes = [16, 32]"
                    .to_owned(),
            );
        }
        "out" | "output" | "threads" => return Some(format!("it is the option --{}", option(key))),
        _ => {}
    }
    let other = OTHER_NAMES.iter().find(|(other, _)| *other == key.to_ascii_lowercase());
    if let Some((_, place)) = other {
        return Some(format!("here it is {place}"));
    }
    let mut places = Vec::new();
    find(alternatives::schema(), "", key, &mut places);
    places.retain(|place| {
        place.strip_suffix(key).is_none_or(|table| table.trim_end_matches('.') != here)
    });
    match places.as_slice() {
        [] => None,
        places => Some(format!("it belongs to a table: {}", places.join(" or "))),
    }
}

fn option(key: &str) -> &str {
    if key == "threads" { "threads" } else { "out" }
}

/// As [`right_place`], and the nearest of the known names.
pub(crate) fn remedy(key: &str, known: &[&str]) -> Option<String> {
    right_place(key, "")
        .or_else(|| nearest(key, known).map(|name| format!("did you mean \"{name}\"?")))
}

/// All places of a key in the tables of a configuration, and in those of its components.
fn find(schema: &Value, path: &str, key: &str, places: &mut Vec<String>) {
    for (name, value) in schema["properties"].as_object().into_iter().flatten() {
        let place = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        if !path.is_empty() && name == key && !places.contains(&place) {
            places.push(place.clone());
        }
        find(value, &place, key, places);
    }
    // Those of lists of a study are those of its runs.
    if ["dataset", "model", "batcher"].contains(&path) {
        for component in schema["oneOf"].as_array().into_iter().flatten() {
            find(component, path, key, places);
        }
    }
}
