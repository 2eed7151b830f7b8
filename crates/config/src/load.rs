//! Parses and checks a configuration.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use batchlab_core::error::nearest_path;
use batchlab_core::hash::sha256;
use batchlab_core::model::Loss;
use batchlab_core::{Dataset, Level};
use batchlab_files::{MAX_TEXT, read_named_text};
use serde::Deserialize;
use serde::de::{IgnoredAny, IntoDeserializer};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use crate::Defaults;
use crate::component;
use crate::component::explain::mistake;
use crate::component::names::with_batch_size;
use crate::config::Config;
use crate::evaluation::{Evaluation, Subset};
use crate::schedule::Criterion;
use crate::schema::schema;
use crate::text::diagnostic::Diagnostic;
use crate::text::{Source, Span, Table, Value, inner, placed};
use crate::training::Timing;

/// A configuration that has passed every check possible without data.
#[derive(Debug)]
pub struct LoadedConfig {
    pub config: Config,
    pub path: PathBuf,
}

impl LoadedConfig {
    /// The file name for messages. Without a file, everything came from the command line.
    #[must_use]
    pub fn name_of_file(&self) -> String {
        if self.path.as_os_str().is_empty() {
            return "the command line".to_owned();
        }
        self.path.display().to_string()
    }

    /// Hash of the resolved configuration. Runs with the same hash differ only in machine, code and
    /// data.
    #[must_use]
    pub fn hash(&self) -> String {
        sha256(self.to_json().as_bytes())
    }

    /// The resolved configuration as JSON.
    ///
    /// # Panics
    /// If a plugin's options do not serialise to a tree of plain values.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.config).expect("a configuration is a tree of plain values")
    }

    /// The resolved configuration as TOML, which can be run again.
    ///
    /// # Panics
    /// See [`LoadedConfig::to_json`].
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(&self.config).expect("what was read from TOML can be written as TOML")
    }
}

pub(crate) fn read_text(path: &Path) -> Result<String, Diagnostic> {
    read_named_text(path, MAX_TEXT).map_err(|error| {
        let near =
            if error.kind() == ErrorKind::NotFound { nearest_path(path) } else { String::new() };
        Diagnostic::new(format!("cannot read the configuration {}: {error}{near}", path.display()))
    })
}

/// A configuration without its components, which are parsed separately to get positions for errors.
type WithoutComponents = Config<IgnoredAny, IgnoredAny, IgnoredAny, IgnoredAny>;

/// The configuration of one run from its tables. The default evaluation is added to the tables.
pub(crate) fn config(
    source: &Source,
    root: &mut Spanned<Table<'_>>,
    defaults: Defaults,
) -> Result<Config, Diagnostic> {
    let dataset: Box<dyn Dataset> = component::required(source, root.get_ref(), "dataset")?;
    fill_evaluation(source, root.get_mut(), &*dataset, defaults)?;
    let tables = root.get_ref();
    let model = component::required(source, tables, "model")?;
    let batcher = component::required(source, tables, "batcher")?;
    let evaluation_batcher = component::evaluation_batcher(source, tables)?;
    let sink = component::sinks(source, tables)?;
    let rest = WithoutComponents::deserialize(root.clone().into_deserializer())
        .map_err(|error| mistake(source, &error, "", tables, schema()))?;
    let Config { study, device, ranks, split, mut training, evaluation, .. } = rest;
    let says =
        |table: &str, key: &str| inner(tables, table).is_some_and(|table| table.contains_key(key));
    if dataset.has_classes() && !says("training", "loss") {
        training.loss = Loss::CrossEntropy;
    }
    if split.per_class.is_some() && (says("split", "validation") || says("split", "test")) {
        let span = tables.get("split").map_or(0..0, Spanned::span);
        let message = "give either split.per_class, or the shares split.validation and split.test";
        return Err(source.at(&span, message));
    }
    let Evaluation { every, own_batches, subsets, .. } = evaluation;
    let evaluation = Evaluation { batcher: evaluation_batcher, every, own_batches, subsets };
    let config =
        Config { study, device, ranks, dataset, model, batcher, split, evaluation, training, sink };
    match broken_rule(&config) {
        None => Ok(config),
        Some((key, message)) => Err(source.at(&place(tables, key), message)),
    }
}

/// Completes the evaluation batcher.
fn fill_evaluation<'t>(
    source: &Source,
    root: &mut Table<'t>,
    dataset: &dyn Dataset,
    defaults: Defaults,
) -> Result<(), Diagnostic> {
    let default = match dataset.provides().level {
        Level::Graphs => defaults.of_graphs,
        Level::Nodes => defaults.of_nodes,
    };
    let default = DeTable::parse(default).map_err(|error| source.whole(error.message()))?;
    // Spans of another text are meaningless here.
    let default: Table<'t> = placed(default.into_inner(), &|_| 0..0);
    if default.is_empty() {
        return Ok(());
    }
    let DeValue::Table(evaluation) = entry(root, "evaluation").get_mut() else { return Ok(()) };
    let batcher = entry(evaluation, "batcher");
    match batcher.get_mut() {
        DeValue::Table(table) if !table.contains_key("name") => {
            for (key, value) in default {
                table.entry(key).or_insert(value);
            }
        }
        _ => {
            if let Some(size) = default.get("batch_size") {
                with_batch_size(batcher, size);
            }
        }
    }
    Ok(())
}

/// The value of a key; inserts an empty table if it is missing.
fn entry<'a, 't>(table: &'a mut Table<'t>, key: &'static str) -> &'a mut Value<'t> {
    let key: Spanned<DeString<'t>> = Spanned::new(0..0, key.into());
    table.entry(key).or_insert_with(|| Spanned::new(0..0, DeValue::Table(Table::new())))
}

/// The position of the last existing key of a path.
fn place(root: &Table<'_>, path: &str) -> Span {
    let (mut table, mut span) = (root, 0..0);
    for key in path.split('.') {
        let Some(value) = table.get(key) else { break };
        span = value.span();
        let Some(inner) = value.get_ref().as_table() else { break };
        table = inner;
    }
    span
}

/// The first violated rule that serde cannot check, with its key.
fn broken_rule(config: &Config) -> Option<(&'static str, String)> {
    let Config { split, training, evaluation, .. } = config;
    let held_out = f64::from(split.validation) + f64::from(split.test);
    let is_stages = training.timing == Timing::Stages;
    let has_length = [training.steps.is_some(), training.epochs.is_some()];
    let decider = match (training.plateau, training.early_stopping) {
        (Some(_), _) => Some("training.plateau"),
        (None, Some(_)) => Some("training.early_stopping"),
        (None, None) => None,
    };
    let decides = decider.unwrap_or_default();
    let wants_accuracy = training.early_stopping.is_some()
        && training.criterion() != Criterion::Loss
        && training.loss != Loss::CrossEntropy;
    let study = &config.study;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let is_folder =
        (1..=100).contains(&study.len()) && !study.starts_with('.') && study.chars().all(is_plain);
    let subsets: Vec<&str> = evaluation.subsets.iter().map(|subset| subset.name()).collect();
    let sinks: Vec<&str> = config.sink.iter().map(|sink| sink.typetag_name()).collect();
    let rule = |key, is_broken: bool, message: &str| (key, is_broken.then(|| message.to_owned()));
    let rules = [
        rule(
            "split",
            held_out >= 1.0,
            &format!(
                "validation and test together hold out {held_out} of the data; nothing is left to train on"
            ),
        ),
        rule(
            "training.prefetch",
            is_stages && training.prefetch_depth() > 0,
            "timing = \"stages\" needs prefetch = 0, so that the stages do not overlap",
        ),
        rule(
            "training.prefetch",
            training.prefetch_depth() > 1024,
            "more than 1024 prefetched batches only cost memory; 1 to 4 are enough",
        ),
        rule(
            "training.epochs",
            has_length == [true; 2],
            "give either steps or epochs, not both; remove one of them",
        ),
        rule(
            "training.steps",
            has_length == [false; 2],
            "training needs steps or epochs, as in steps = 1000",
        ),
        rule(
            "training.early_stopping",
            wants_accuracy,
            "numbers have no accuracy; use by = \"loss\"",
        ),
        rule(
            decides,
            decider.is_some() && evaluation.every.is_none(),
            "it needs evaluations during training; set evaluation.every",
        ),
        rule(
            decides,
            decider.is_some() && !evaluation.subsets.contains(&Subset::Validation),
            "it needs the validation set; add \"validation\" to evaluation.subsets",
        ),
        rule(
            "study",
            !is_folder,
            "study is used as the name of a folder: use up to 100 letters, digits, '-', '_' and '.'",
        ),
        rule(
            "sink",
            sinks.is_empty(),
            "there is no sink, so no results would be written; add [[sink]]",
        ),
        ("evaluation.subsets", twice("subset", &subsets)),
        ("sink", twice("sink", &sinks)),
        ("dataset.target", config.dataset.check().err().map(|error| error.to_string())),
        ("device", config.model.check_device(&config.device).err().map(|error| error.to_string())),
        (
            "training.precision",
            training.precision.check(&config.device).err().map(|error| error.to_string()),
        ),
    ];
    rules.into_iter().find_map(|(key, message)| Some((key, message?)))
}

fn twice(what: &str, names: &[&str]) -> Option<String> {
    let twice = (1..names.len()).find(|&i| names[..i].contains(&names[i]))?;
    Some(format!("{what} \"{}\" is given twice", names[twice]))
}
