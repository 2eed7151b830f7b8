//! Whether the components fit each other.

use batchlab_core::Dataset;

use super::Config;

/// Refuses components that cannot work together, before anything is loaded.
///
/// # Errors
/// What does not fit, and what to change.
pub(crate) fn check(config: &Config) -> Result<(), String> {
    let provides = config.dataset.provides();
    let dataset = name(&*config.dataset);
    let batchers =
        [("batcher", &config.batcher), ("evaluation.batcher", &config.evaluation.batcher)];
    for (place, batcher) in batchers {
        if batcher.level() != provides.level {
            return Err(format!(
                "{place} \"{}\" works on {}, but dataset \"{dataset}\" holds {}; choose another of the two",
                batcher.typetag_name(),
                batcher.level(),
                provides.level
            ));
        }
    }
    let model = config.model.typetag_name();
    if !config.model.accepts(provides.level) {
        return Err(format!(
            "model \"{model}\" does not work on {}, which is what dataset \"{dataset}\" holds; choose another of the two",
            provides.level
        ));
    }
    if let Some(missing) = config.model.needs().missing_from(provides.fields) {
        return Err(format!(
            "model \"{model}\" needs {missing}, which dataset \"{dataset}\" does not have; choose another of the two"
        ));
    }
    if !provides.target {
        return Err(format!("dataset \"{dataset}\" has no target to train on"));
    }
    Ok(())
}

fn name(dataset: &dyn Dataset) -> &'static str {
    dataset.typetag_name()
}
