//! Whether the components fit together.

use batchlab_core::registry::{Selectable, components};
use batchlab_core::{Batcher, Dataset, Level, Model};
use serde::de::DeserializeOwned;

use crate::config::Config;
use crate::text::diagnostic::Diagnostic;
use crate::text::{Source, Table};

/// What does not fit: the component, by its place in a configuration, and why.
pub(crate) struct Misfit {
    place: [&'static str; 2],
    message: String,
    help: String,
}

impl Misfit {
    /// The mistake at its place in the text; a default has none.
    pub(crate) fn at(self, source: &Source, root: &Table<'_>, file: &str) -> Diagnostic {
        let diagnostic = Diagnostic::new(self.message).help(self.help);
        let [table, key] = self.place;
        let span = root.get(table).filter(|table| !table.span().is_empty()).and_then(|table| {
            let value = table.get_ref().as_table()?.get(key)?;
            Some(value.span()).filter(|span| !span.is_empty())
        });
        match span {
            Some(span) => source.locate(diagnostic, &span),
            None => diagnostic.within(file),
        }
    }
}

/// Refuses components that cannot work together, before anything is loaded.
///
/// # Errors
/// What does not fit, and what to change.
pub(crate) fn check(config: &Config) -> Result<(), Misfit> {
    let provides = config.dataset.provides();
    let dataset = config.dataset.typetag_name();
    check_level("batcher", &*config.batcher, &*config.dataset)?;
    check_level("evaluation", &*config.evaluation.batcher, &*config.dataset)?;
    let model = config.model.typetag_name();
    let missing = config.model.needs().missing_from(provides.fields);
    let accepts = config.model.accepts(provides.level);
    if !accepts || missing.is_some() {
        let fits = |model: Box<dyn Model>| {
            model.accepts(provides.level) && model.needs().missing_from(provides.fields).is_none()
        };
        let message = match missing {
            Some(missing) if accepts => {
                format!(
                    "model \"{model}\" needs {missing}, which dataset \"{dataset}\" does not have"
                )
            }
            _ => format!(
                "model \"{model}\" does not work on {}, which is what dataset \"{dataset}\" holds",
                provides.level
            ),
        };
        let help = match fitting(fits) {
            models if models.is_empty() => "choose another dataset".to_owned(),
            models => format!("models that work on it: {models}"),
        };
        return Err(Misfit { place: ["model", "name"], message, help });
    }
    if !provides.target {
        return Err(Misfit {
            place: ["dataset", "name"],
            message: format!("dataset \"{dataset}\" has no target to train on"),
            help: "name one, dataset.target=NAME, if it has some".to_owned(),
        });
    }
    Ok(())
}

/// Refuses a batcher of graphs for nodes, and the other way round. `table` is where it stands.
pub(crate) fn check_level(
    table: &'static str,
    batcher: &dyn Batcher,
    dataset: &dyn Dataset,
) -> Result<(), Misfit> {
    let level = dataset.provides().level;
    if batcher.level() == level {
        return Ok(());
    }
    let (place, what) = match table {
        "batcher" => (["batcher", "name"], "batcher"),
        table => ([table, "batcher"], "evaluation.batcher"),
    };
    Err(Misfit {
        place,
        message: format!(
            "{what} \"{}\" works on {}, but dataset \"{}\" holds {level}",
            batcher.typetag_name(),
            batcher.level(),
            dataset.typetag_name(),
        ),
        help: match level {
            Level::Graphs => "batchers of graphs: ",
            Level::Nodes => "batchers of the nodes of one graph: ",
        }
        .to_owned()
            + &fitting(|batcher: Box<dyn Batcher>| batcher.level() == level),
    })
}

/// The names of all components of a kind that fit.
fn fitting<T: Selectable + ?Sized>(fits: impl Fn(Box<T>) -> bool) -> String
where
    Box<T>: DeserializeOwned,
{
    let fit = components(T::KIND).into_iter().filter(|(_, registration)| {
        serde_json::from_value::<Box<T>>((registration.example)()).is_ok_and(&fits)
    });
    fit.map(|(name, _)| name).collect::<Vec<_>>().join(", ")
}
