//! The configuration given to a command, in the same way for all commands: a run or study file, a
//! data set by name or file, and overrides.

mod like;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use batchlab_config::{Defaults, StudyFile};
use batchlab_core::error::nearest_path;
use batchlab_core::registry::{Kind, Registration, components, find, suggestion};
use batchlab_core::{Dataset, LoadContext};
use serde_json::Value;

use crate::exit::Usage;
pub(crate) use like::DataLike;
use like::inherited;

/// Defaults for keys that a configuration may omit, and the labels it may use.
pub const DEFAULTS: Defaults = Defaults {
    tables: batchlab_builtin::DEFAULTS,
    of_graphs: batchlab_builtin::DEFAULTS_OF_GRAPHS,
    of_nodes: batchlab_builtin::DEFAULTS_OF_NODES,
    labels: batchlab_builtin::PRESETS,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Configuration {
    /// Configuration file of a run or a study, and overrides such as `batcher=static-64` or
    /// `training.steps=500`. Values are TOML or plain text. Several values make a study:
    /// `batchers=static-64,dynamic`, `batch_sizes=16,32`, `models=schnet,mpeu`,
    /// `training.prefetch=0,1`.
    #[arg(value_name = "CONFIG|KEY=VALUE")]
    inputs: Vec<String>,
    /// Data set to use instead of the one in the file: its name, or a data file. Its keys follow:
    /// `--dataset structures path=mine.extxyz target=energy`. This makes the configuration file
    /// optional.
    #[arg(long, value_name = "NAME|FILE")]
    dataset: Option<String>,
}

impl Configuration {
    pub(crate) fn of(inputs: Vec<String>, dataset: Option<String>) -> Self {
        Self { inputs, dataset }
    }

    pub(crate) fn is_given(&self) -> bool {
        !self.inputs.is_empty() || self.dataset.is_some()
    }

    /// The arguments of this type for another process.
    pub(crate) fn words(&self) -> Vec<String> {
        let dataset = self.dataset.iter().flat_map(|name| ["--dataset".to_owned(), name.clone()]);
        self.inputs.iter().cloned().chain(dataset).collect()
    }

    /// The overrides, if there is no file.
    pub(crate) fn changes_alone(&self) -> Option<&[String]> {
        let is_change = |input: &String| is_change(input);
        (self.dataset.is_none() && self.inputs.iter().all(is_change)).then_some(&self.inputs)
    }

    /// The only file, and the overrides.
    pub(crate) fn parts(&self) -> Result<(Option<PathBuf>, Vec<String>)> {
        let (mut files, changes) = divide(&self.inputs);
        let path = if files.is_empty() { None } else { Some(PathBuf::from(files.remove(0))) };
        if path.is_none() && self.dataset.is_none() {
            bail!(Usage(
                "name a configuration file, for example configs/smoke.toml, or a data set with --dataset"
                    .into()
            ));
        }
        let mut changes = with_dataset(self.dataset.as_deref(), changes)?;
        // Anything but an override or the first file is rejected when overrides are parsed.
        changes.extend(files);
        Ok((path, changes))
    }

    /// Like [`Configuration::parts`], but reads the file; `more` are additional overrides.
    pub(crate) fn read(&self, more: &[String]) -> Result<StudyFile> {
        let (path, mut changes) = self.parts()?;
        changes.extend_from_slice(more);
        Ok(StudyFile::read(path.as_deref(), &changes, DEFAULTS)?)
    }

    /// Every file, data set name or data file, each with the same overrides.
    pub(crate) fn read_all(&self) -> Result<Vec<(String, StudyFile)>> {
        let (mut names, changes) = divide(&self.inputs);
        names.extend(self.dataset.clone().filter(|_| names.is_empty()));
        if names.is_empty() {
            bail!(Usage(
                "name a configuration file, a data set or a data file, for example qm9".into()
            ));
        }
        let of_file = self.dataset.as_deref().filter(|name| !names.iter().any(|n| n == name));
        let read = |name: String| {
            let is_config = is_configuration(&name);
            let (path, dataset) =
                if is_config { (Some(&name), of_file) } else { (None, Some(&*name)) };
            let changes = with_dataset(dataset, changes.clone())?;
            let file = StudyFile::read(path.map(Path::new), &changes, DEFAULTS)?;
            Ok((name, file))
        };
        names.into_iter().map(read).collect()
    }
}

fn is_change(input: &str) -> bool {
    input.contains('=') && !Path::new(input).is_file()
}

fn divide(inputs: &[String]) -> (Vec<String>, Vec<String>) {
    let (changes, files) = inputs.iter().cloned().partition(|input| is_change(input));
    (files, changes)
}

/// Whether a name is a configuration rather than data.
fn is_configuration(name: &str) -> bool {
    let extension = Path::new(name).extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| ["toml", "yaml", "yml"].contains(&extension))
}

/// Overrides that select the data set; its own keys need no `dataset.` prefix.
fn with_dataset(dataset: Option<&str>, changes: Vec<String>) -> Result<Vec<String>> {
    let Some(dataset) = dataset else { return Ok(changes) };
    let (registration, file) = chosen(dataset, &changes, None)?;
    let mut all = of_dataset(registration, file, &changes);
    if file.is_some() {
        all.extend(without_target(registration, &all));
    }
    Ok(all)
}

/// The data set that a name or file refers to, and the file. For a model `trained` on another data
/// set, prefers the same kind if possible.
fn chosen<'a>(
    dataset: &'a str,
    changes: &[String],
    trained: Option<&dyn Dataset>,
) -> Result<(&'static Registration, Option<&'a str>)> {
    if let Some(registration) = find(Kind::Dataset, dataset) {
        return Ok((registration, None));
    }
    if !Path::new(dataset).exists() {
        let known: Vec<&str> = components(Kind::Dataset).into_keys().collect();
        let near = match suggestion(dataset, &known) {
            near if near.is_empty() => nearest_path(Path::new(dataset)),
            near => near,
        };
        bail!(Usage(format!(
            "\"{dataset}\" is neither a file nor a data set{near}\nknown data sets: {}",
            known.join(", ")
        )));
    }
    Ok((reader_of(dataset, changes, trained)?, Some(dataset)))
}

fn of_dataset(registration: &Registration, file: Option<&str>, changes: &[String]) -> Vec<String> {
    let path = file.map(|file| format!("dataset.path={}", Value::from(file)));
    let first = format!("datasets={}", (registration.name)());
    std::iter::once(first).chain(path).chain(prefixed(registration, changes)).collect()
}

/// Overrides, with `dataset.` before the keys of a data set.
fn prefixed(registration: &Registration, changes: &[String]) -> Vec<String> {
    let is_own = |key: &str| has_key(registration, key.split('.').next().unwrap_or_default());
    let own = |change: &String| match change.split_once('=') {
        Some((key, _)) if is_own(key) => format!("dataset.{change}"),
        _ => change.clone(),
    };
    changes.iter().map(own).collect()
}

fn has_key(registration: &Registration, key: &str) -> bool {
    (registration.schema)()["properties"].get(key.trim()).is_some()
}

/// The override that reads geometries only, if a target is required and none is given.
fn without_target(registration: &Registration, changes: &[String]) -> Option<String> {
    let schema = (registration.schema)();
    let is_required =
        schema["required"].as_array().is_some_and(|keys| keys.iter().any(|k| k == "target"));
    let is_given = changes.iter().any(|change| change.starts_with("dataset.target"));
    (is_required && !is_given).then(|| "dataset.target=none".to_owned())
}

/// The only kind of data set that can read a file, found by trying its first graph.
fn reader_of(
    file: &str,
    changes: &[String],
    trained: Option<&dyn Dataset>,
) -> Result<&'static Registration> {
    let all = components(Kind::Dataset).into_values();
    let mut all: Vec<_> = all.filter(|registration| has_key(registration, "path")).collect();
    all.sort_by_key(|registration| {
        trained.is_none_or(|trained| trained.typetag_name() != (registration.name)())
    });
    let mut readers = Vec::new();
    let mut refusals = Vec::new();
    for registration in all {
        match try_to_read(registration, file, changes, trained) {
            // Prefer the kind of data that the model was trained on.
            Ok(()) if trained.is_some() => return Ok(registration),
            Ok(()) => readers.push(registration),
            Err(reason) => refusals.push(((registration.name)(), reason)),
        }
    }
    match readers.as_slice() {
        [one] => Ok(one),
        [] => {
            // For a mistake in the overrides: the mistake, and what to write instead.
            let short = |reason: &str| {
                let Some(mistake) = reason.strip_prefix("error: ") else {
                    return reason.to_owned();
                };
                let first = mistake.lines().next().unwrap_or_default();
                let help = mistake.lines().find_map(|line| line.split_once("= help: write "));
                help.map_or(first.to_owned(), |(_, form)| format!("{first}; write {form}"))
            };
            let reasons =
                refusals.iter().map(|(name, reason)| format!("\n  {name}: {}", short(reason)));
            bail!(Usage(format!("no data set reads {file}:{}", reasons.collect::<String>())))
        }
        several => {
            let names: Vec<&str> = several.iter().map(|reader| (reader.name)()).collect();
            bail!(Usage(format!(
                "{file} can be read as {}; say which: --dataset {} path={file}",
                names.join(" or "),
                names[0]
            )))
        }
    }
}

fn try_to_read(
    registration: &Registration,
    file: &str,
    changes: &[String],
    trained: Option<&dyn Dataset>,
) -> Result<(), String> {
    let mut changes = of_dataset(registration, Some(file), changes);
    if trained.is_none() {
        changes.extend(without_target(registration, &changes));
    }
    changes.extend(has_key(registration, "limit").then(|| "dataset.limit=1".to_owned()));
    let datasets = StudyFile::read(None, &changes, DEFAULTS).and_then(|study| match trained {
        None => study.datasets(),
        Some(trained) => study.datasets_like(&inherited(trained, true)),
    });
    let dataset = datasets.map_err(|error| error.to_string())?.pop().ok_or("nothing to read")?;
    let ctx = LoadContext { needs_target: trained.is_none(), ..LoadContext::new() };
    dataset.load(&ctx).map(drop).map_err(|error| error.to_string())
}
