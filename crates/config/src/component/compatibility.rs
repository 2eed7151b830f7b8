//! Checks that components are compatible.

use batchlab_core::registry::{self, Kind, Selectable, components};
use batchlab_core::{BatchFields, Batcher, Dataset, Level, Model, Provides};
use serde::de::DeserializeOwned;

use crate::component;
use crate::config::Config;
use crate::text::diagnostic::Diagnostic;
use crate::text::{Source, Table};

/// An incompatibility: the component, by its path in a configuration, and the reason.
pub(crate) struct Misfit {
    place: [&'static str; 2],
    message: String,
    help: String,
}

impl Misfit {
    /// The error at its position in the text; a default has none.
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

/// Early checks by the names of model and batcher alone, before other mistakes are reported: a
/// missing name, with suggestions that fit, or a batcher of another level, so that users do not
/// complete its options in vain.
pub(crate) fn check_names(source: &Source, root: &Table<'_>, file: &str) -> Result<(), Diagnostic> {
    let dataset: Box<dyn Dataset> = component::required(source, root, "dataset")?;
    let provides = dataset.provides();
    if !root.contains_key("model") {
        let names = fitting(|model: Box<dyn Model>| fits(&*model, &provides));
        return Err(component::missing(source, "model", &names));
    }
    if !root.contains_key("batcher") {
        return Err(component::missing(source, "batcher", &batchers_of(provides.level)));
    }
    check_batcher_name(source, root, &*dataset).map_err(|misfit| misfit.at(source, root, file))
}

/// The batcher of a table, checked against the data set.
pub(crate) fn batcher_for(
    source: &Source,
    root: &Table<'_>,
    dataset: &dyn Dataset,
    file: &str,
) -> Result<Box<dyn Batcher>, Diagnostic> {
    let batcher: Result<Box<dyn Batcher>, _> = component::required(source, root, "batcher");
    let checked = match &batcher {
        Ok(batcher) => check_level("batcher", &**batcher, dataset),
        Err(_) => check_batcher_name(source, root, dataset),
    };
    checked.map_err(|misfit| misfit.at(source, root, file))?;
    batcher
}

fn check_batcher_name(
    source: &Source,
    root: &Table<'_>,
    dataset: &dyn Dataset,
) -> Result<(), Misfit> {
    let named = root.get("batcher");
    let named = named.and_then(|named| component::registration(source, Kind::Batcher, named).ok());
    let example = named.and_then(|(named, _)| serde_json::from_value((named.example)()).ok());
    let example: Option<Box<dyn Batcher>> = example;
    example.map_or(Ok(()), |example| check_level("batcher", &*example, dataset))
}

/// Rejects incompatible components before anything is loaded.
///
/// # Errors
/// If components do not fit together; the message says what to change.
pub(crate) fn check(config: &Config) -> Result<(), Misfit> {
    let provides = config.dataset.provides();
    let dataset = config.dataset.typetag_name();
    check_level("batcher", &*config.batcher, &*config.dataset)?;
    check_level("evaluation", &*config.evaluation.batcher, &*config.dataset)?;
    let model = config.model.typetag_name();
    let needs = config.model.needs();
    let missing = needs.missing_from(&provides.fields);
    let accepts = config.model.accepts(provides.level);
    let built_in = BatchFields { own: Vec::new(), ..needs };
    let is_own = accepts && built_in.missing_from(&provides.fields).is_none();
    if let Some(missing) = missing.as_ref().filter(|_| is_own) {
        return Err(no_field(missing, dataset, &provides.fields));
    }
    if !accepts || missing.is_some() {
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
        let help = match fitting(|model: Box<dyn Model>| fits(&*model, &provides)) {
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

/// The error for a missing custom field that other models do not need.
fn no_field(missing: &str, dataset: &str, provided: &BatchFields) -> Misfit {
    let registration = registry::find(Kind::Dataset, dataset);
    let has_key = registration.is_some_and(|of| (of.schema)()["properties"]["fields"].is_object());
    let more = if has_key { "; name more of what the data have in dataset.fields" } else { "" };
    let names: Vec<&str> = provided.names().collect();
    Misfit {
        place: ["model", "fields"],
        message: format!(
            "model.fields asks for {missing}, which dataset \"{dataset}\" does not have"
        ),
        help: format!("it has: {}{more}", names.join(", ")),
    }
}

/// Rejects a batcher of graphs for nodes, and vice versa. `table` is its location.
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
            + &batchers_of(level),
    })
}

fn batchers_of(level: Level) -> String {
    fitting(|batcher: Box<dyn Batcher>| batcher.level() == level)
}

fn fits(model: &dyn Model, provides: &Provides) -> bool {
    model.accepts(provides.level) && model.needs().missing_from(&provides.fields).is_none()
}

/// The names of all compatible components of a kind.
fn fitting<T: Selectable + ?Sized>(fits: impl Fn(Box<T>) -> bool) -> String
where
    Box<T>: DeserializeOwned,
{
    let fit = components(T::KIND).into_iter().filter(|(_, registration)| {
        serde_json::from_value::<Box<T>>((registration.example)()).is_ok_and(&fits)
    });
    fit.map(|(name, _)| name).collect::<Vec<_>>().join(", ")
}
