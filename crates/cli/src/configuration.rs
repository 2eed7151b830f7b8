//! The configuration that a command is given, the same for all: a file of a run or a study, a data set
//! by name or file, and changes.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use batchlab_config::{Defaults, StudyFile};
use batchlab_core::LoadContext;
use batchlab_core::error::nearest_path;
use batchlab_core::registry::{Kind, Registration, components, find, suggestion};
use serde_json::Value;

use crate::exit::Usage;

/// What every configuration may leave out, and the labels that it may use.
pub(crate) const DEFAULTS: Defaults = Defaults {
    tables: batchlab_builtin::DEFAULTS,
    of_graphs: batchlab_builtin::DEFAULTS_OF_GRAPHS,
    of_nodes: batchlab_builtin::DEFAULTS_OF_NODES,
    labels: batchlab_builtin::PRESETS,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Configuration {
    /// Configuration file of a run or a study, and changes such as `batcher=static-64` or
    /// `training.steps=500`; values are TOML, or plain text. Several values make a study:
    /// `batchers=static-64,dynamic`, `batch_sizes=16,32`, `models=schnet,mpeu`, `training.prefetch=0,1`.
    #[arg(value_name = "CONFIG|KEY=VALUE")]
    inputs: Vec<String>,
    /// Data set instead of that of the file: its name, or a data file. Its keys follow:
    /// `--dataset structures path=mine.extxyz target=energy`. No configuration file is needed then.
    #[arg(long, value_name = "NAME|FILE")]
    dataset: Option<String>,
}

impl Configuration {
    pub(crate) fn of(input: &str) -> Self {
        Self { inputs: vec![input.to_owned()], dataset: None }
    }

    pub(crate) fn is_given(&self) -> bool {
        !self.inputs.is_empty() || self.dataset.is_some()
    }

    /// The changes alone, where there must be no file.
    pub(crate) fn changes_alone(&self) -> Option<&[String]> {
        let is_change = |input: &String| is_change(input);
        (self.dataset.is_none() && self.inputs.iter().all(is_change)).then_some(&self.inputs)
    }

    /// The one file, and the changes.
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
        // What is neither a change nor the first file is refused where changes are read.
        changes.extend(files);
        Ok((path, changes))
    }

    /// As [`Configuration::parts`], read; `more` are further changes.
    pub(crate) fn read(&self, more: &[String]) -> Result<StudyFile> {
        let (path, mut changes) = self.parts()?;
        changes.extend_from_slice(more);
        Ok(StudyFile::read(path.as_deref(), &changes, DEFAULTS)?)
    }

    /// Every file, name of a data set or data file, each with the same changes.
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

/// Whether a name is that of a configuration, and not of data.
fn is_configuration(name: &str) -> bool {
    let extension = Path::new(name).extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| ["toml", "yaml", "yml"].contains(&extension))
}

/// Changes with a data set chosen: its own keys need no `dataset.` before them.
fn with_dataset(dataset: Option<&str>, changes: Vec<String>) -> Result<Vec<String>> {
    let Some(dataset) = dataset else { return Ok(changes) };
    if let Some(registration) = find(Kind::Dataset, dataset) {
        return Ok(of_dataset(registration, None, &changes));
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
    let registration = reader_of(dataset, &changes)?;
    Ok(of_dataset(registration, Some(dataset), &changes))
}

fn of_dataset(registration: &Registration, file: Option<&str>, changes: &[String]) -> Vec<String> {
    let schema = (registration.schema)();
    let is_own = |key: &str| {
        let first = key.split('.').next().unwrap_or_default().trim();
        schema["properties"].get(first).is_some()
    };
    let own = |change: &String| match change.split_once('=') {
        Some((key, _)) if is_own(key) => format!("dataset.{change}"),
        _ => change.clone(),
    };
    let path = file.map(|file| format!("dataset.path={}", Value::from(file)));
    let first = format!("datasets={}", (registration.name)());
    let mut all: Vec<String> = std::iter::once(first).chain(path).collect();
    all.extend(changes.iter().map(own));
    let is_required =
        schema["required"].as_array().is_some_and(|keys| keys.iter().any(|k| k == "target"));
    if file.is_some()
        && is_required
        && !all.iter().any(|change| change.starts_with("dataset.target"))
    {
        all.push("dataset.target=none".to_owned());
    }
    all
}

/// The one kind of data set that reads a file, by trying its first graph.
fn reader_of(file: &str, changes: &[String]) -> Result<&'static Registration> {
    let mut readers = Vec::new();
    let mut refusals = Vec::new();
    for registration in components(Kind::Dataset).into_values() {
        let schema = (registration.schema)();
        let has = |key: &str| schema["properties"].get(key).is_some();
        if !has("path") {
            continue;
        }
        let mut tried = of_dataset(registration, Some(file), changes);
        tried.extend(has("limit").then(|| "dataset.limit=1".to_owned()));
        let graphs = StudyFile::read(None, &tried, DEFAULTS)
            .and_then(|study| study.datasets())
            .map_err(|error| error.to_string())
            .and_then(|mut datasets| {
                let dataset = datasets.pop().ok_or_else(|| "nothing to read".to_owned())?;
                dataset.load(&LoadContext::new()).map_err(|error| error.to_string())
            });
        match graphs {
            Ok(_) => readers.push(registration),
            Err(reason) => refusals.push(((registration.name)(), reason)),
        }
    }
    match readers.as_slice() {
        [one] => Ok(one),
        [] => {
            // Of a mistake in the changes, what it is, and what to write.
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
