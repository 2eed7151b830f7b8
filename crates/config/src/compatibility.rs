//! Whether the components fit together.

use crate::{Config, Diagnostic};

/// Refuses components that cannot work together, before anything is loaded.
///
/// # Errors
/// What does not fit, and what to change.
pub(crate) fn check(config: &Config) -> Result<(), Diagnostic> {
    let fail = |message: String| Err(Diagnostic::new(message));
    let provides = config.dataset.provides();
    let dataset = config.dataset.typetag_name();
    let batchers =
        [("batcher", &config.batcher), ("evaluation.batcher", &config.evaluation.batcher)];
    for (place, batcher) in batchers {
        if batcher.level() != provides.level {
            return fail(format!(
                "{place} \"{}\" works on {}, but dataset \"{dataset}\" holds {}; choose another of the two",
                batcher.typetag_name(),
                batcher.level(),
                provides.level
            ));
        }
    }
    let model = config.model.typetag_name();
    if !config.model.accepts(provides.level) {
        return fail(format!(
            "model \"{model}\" does not work on {}, which is what dataset \"{dataset}\" holds; choose another of the two",
            provides.level
        ));
    }
    if let Some(missing) = config.model.needs().missing_from(provides.fields) {
        return fail(format!(
            "model \"{model}\" needs {missing}, which dataset \"{dataset}\" does not have; choose another of the two"
        ));
    }
    if !provides.target {
        return fail(format!("dataset \"{dataset}\" has no target to train on"));
    }
    Ok(())
}
