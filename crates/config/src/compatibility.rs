//! Whether the components fit together.

use batchlab_core::{Batcher, Dataset};

use crate::{Config, Diagnostic};

/// Refuses components that cannot work together, before anything is loaded.
///
/// # Errors
/// What does not fit, and what to change.
pub(crate) fn check(config: &Config) -> Result<(), Diagnostic> {
    let fail = |message: String| Err(Diagnostic::new(message));
    let provides = config.dataset.provides();
    let dataset = config.dataset.typetag_name();
    check_level("batcher", &*config.batcher, &*config.dataset)?;
    check_level("evaluation.batcher", &*config.evaluation.batcher, &*config.dataset)?;
    let model = config.model.typetag_name();
    if !config.model.accepts(provides.level) {
        return fail(format!(
            "model \"{model}\" does not work on {}, which is what dataset \"{dataset}\" holds; choose another model or dataset",
            provides.level
        ));
    }
    if let Some(missing) = config.model.needs().missing_from(provides.fields) {
        return fail(format!(
            "model \"{model}\" needs {missing}, which dataset \"{dataset}\" does not have; choose another model or dataset"
        ));
    }
    if !provides.target {
        return fail(format!(
            "dataset \"{dataset}\" has no target to train on; name one, dataset.target=NAME, if it has some"
        ));
    }
    Ok(())
}

/// Refuses a batcher of graphs for nodes, and the other way round.
pub(crate) fn check_level(
    place: &str,
    batcher: &dyn Batcher,
    dataset: &dyn Dataset,
) -> Result<(), Diagnostic> {
    let level = dataset.provides().level;
    if batcher.level() == level {
        return Ok(());
    }
    Err(Diagnostic::new(format!(
        "{place} \"{}\" works on {}, but dataset \"{}\" holds {level}; choose another {place} or dataset",
        batcher.typetag_name(),
        batcher.level(),
        dataset.typetag_name(),
    )))
}
