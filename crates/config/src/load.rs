//! Reads and checks a configuration.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use batchlab_core::Dataset;
use batchlab_core::error::nearest_path;
use batchlab_core::hash::sha256;
use batchlab_core::model::Loss;
use batchlab_files::{MAX_TEXT, read_named_text};
use serde::Deserialize;
use serde::de::{IgnoredAny, IntoDeserializer};
use toml::Spanned;
use toml::de::DeTable;

use crate::alternatives;
use crate::component::{evaluation_batcher, required, sinks};
use crate::diagnostic::Diagnostic;
use crate::source::{Root, Source};
use crate::{Config, Criterion, Defaults, Evaluation, StudyFile, Subset, Timing};

/// A configuration that has passed every check that needs no data.
#[derive(Debug)]
pub struct LoadedConfig {
    pub config: Config,
    pub path: PathBuf,
}

impl LoadedConfig {
    /// Reads the configuration of one run, applies overrides of the form `key=value`, and checks
    /// everything that can be checked before data are loaded.
    ///
    /// # Errors
    /// The first error; a study of several runs.
    pub fn read(path: &Path, overrides: &[String], defaults: Defaults) -> Result<Self, Diagnostic> {
        StudyFile::read(Some(path), overrides, defaults)?.only_run()
    }

    /// The file, for messages; without one, everything is from the command line.
    #[must_use]
    pub fn name_of_file(&self) -> String {
        if self.path.as_os_str().is_empty() {
            return "the command line".to_owned();
        }
        self.path.display().to_string()
    }

    /// Hash of the resolved configuration. Two runs with the same hash differ only in the machine,
    /// the code and the data.
    #[must_use]
    pub fn hash(&self) -> String {
        sha256(self.to_json().as_bytes())
    }

    /// The resolved configuration as JSON.
    ///
    /// # Panics
    /// If a plugin's description is not a tree of plain values.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.config).expect("a configuration is a tree of plain values")
    }

    /// The resolved configuration as TOML, which can be run again.
    ///
    /// # Panics
    /// As [`LoadedConfig::to_json`].
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

/// A configuration without its components, which are read separately for the places of errors.
type WithoutComponents = Config<IgnoredAny, IgnoredAny, IgnoredAny, IgnoredAny>;

/// The configuration of one run from its tables.
pub(crate) fn config(source: &Source, root: &Spanned<Root>) -> Result<Config, Diagnostic> {
    let tables = root.get_ref();
    let dataset: Box<dyn Dataset> = required(source, tables, "dataset")?;
    let model = required(source, tables, "model")?;
    let batcher = required(source, tables, "batcher")?;
    let evaluation_batcher = evaluation_batcher(source, tables)?;
    let sink = sinks(source, tables)?;
    let rest = WithoutComponents::deserialize(root.clone().into_deserializer())
        .map_err(|error| source.mistake(&error, "", tables, alternatives::schema()))?;
    let Config { study, device, split, mut training, evaluation, .. } = rest;
    let says = |table: &str, key: &str| {
        let table = tables.get(table).and_then(|table| table.get_ref().as_table());
        table.is_some_and(|table| table.contains_key(key))
    };
    if dataset.has_classes() && !says("training", "loss") {
        training.loss = Loss::CrossEntropy;
    }
    let has_share = says("split", "validation") || says("split", "test");
    if split.per_class.is_some() && has_share {
        let span = tables.get("split").map_or(0..0, Spanned::span);
        let message = "give either split.per_class, or the shares split.validation and split.test";
        return Err(source.at(&span, message));
    }
    let Evaluation { every, own_batches, subsets, .. } = evaluation;
    let evaluation = Evaluation { batcher: evaluation_batcher, every, own_batches, subsets };
    let config =
        Config { study, device, dataset, model, batcher, split, evaluation, training, sink };
    check_values(source, &config, tables)?;
    Ok(config)
}

/// Checks rules that serde cannot.
fn check_values(source: &Source, config: &Config, root: &DeTable<'_>) -> Result<(), Diagnostic> {
    let place = |path: &[&str]| {
        let mut table = root;
        let mut span = 0..0;
        for key in path {
            let Some(value) = table.get(*key) else { break };
            span = value.span();
            let Some(inner) = value.get_ref().as_table() else { break };
            table = inner;
        }
        span
    };
    let held_out = f64::from(config.split.validation) + f64::from(config.split.test);
    if held_out >= 1.0 {
        let message = format!(
            "validation and test together hold out {held_out} of the data; nothing is left to train on"
        );
        return Err(source.at(&place(&["split"]), message));
    }
    if config.training.timing == Timing::Stages && config.training.prefetch_depth() > 0 {
        let message = "timing = \"stages\" needs prefetch = 0, so that the stages do not overlap";
        return Err(source.at(&place(&["training", "prefetch"]), message));
    }
    check_schedule(config, source, &place)?;
    if config.training.prefetch_depth() > 1024 {
        let message = "more than 1024 prefetched batches only cost memory; 1 to 4 are enough";
        return Err(source.at(&place(&["training", "prefetch"]), message));
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if config.study.is_empty()
        || config.study.starts_with('.')
        || config.study.len() > 100
        || !config.study.chars().all(is_plain)
    {
        let message = "study is used as the name of a folder: use up to 100 letters, digits, '-', '_' and '.'";
        return Err(source.at(&place(&["study"]), message));
    }
    if config.sink.is_empty() {
        return Err(source
            .at(&place(&["sink"]), "there is no sink, so no results would be written")
            .help("add [[sink]]"));
    }
    let subsets = &config.evaluation.subsets;
    if let Some(twice) = (1..subsets.len()).find(|&i| subsets[..i].contains(&subsets[i])) {
        let message = format!("subset \"{}\" is given twice", subsets[twice].name());
        return Err(source.at(&place(&["evaluation", "subsets"]), message));
    }
    if let Err(error) = config.dataset.check() {
        return Err(source.at(&place(&["dataset", "target"]), error.to_string()));
    }
    if let Err(error) = config.model.check_device(&config.device) {
        return Err(source.at(&place(&["device"]), error.to_string()));
    }
    if let Err(error) = config.training.precision.check(&config.device) {
        return Err(source.at(&place(&["training", "precision"]), error.to_string()));
    }
    let mut sinks: Vec<&str> = config.sink.iter().map(|sink| sink.typetag_name()).collect();
    sinks.sort_unstable();
    if let Some(twice) = sinks.iter().zip(&sinks[1..]).find_map(|(a, b)| (a == b).then_some(a)) {
        return Err(source.at(&place(&["sink"]), format!("sink \"{twice}\" is given twice")));
    }
    Ok(())
}

/// Checks how long a model is trained, and what evaluations decide about it.
fn check_schedule(
    config: &Config,
    source: &Source,
    place: &dyn Fn(&[&str]) -> std::ops::Range<usize>,
) -> Result<(), Diagnostic> {
    let training = &config.training;
    let fail = |key: &str, message: &str| Err(source.at(&place(&["training", key]), message));
    match (training.steps, training.epochs) {
        (Some(_), Some(_)) => {
            return fail("epochs", "give either steps or epochs, not both; remove one of them");
        }
        (None, None) => {
            return fail("steps", "training needs steps or epochs, as in steps = 1000");
        }
        _ => {}
    }
    if let Some(fault) = training.plateau.and_then(|plateau| plateau.fault()) {
        return fail("plateau", &fault);
    }
    let is_classes = training.loss == Loss::CrossEntropy;
    if training.early_stopping.is_some() && training.criterion() != Criterion::Loss && !is_classes {
        return fail("early_stopping", "numbers have no accuracy; use by = \"loss\"");
    }
    let key = match (training.plateau, training.early_stopping) {
        (Some(_), _) => "plateau",
        (None, Some(_)) => "early_stopping",
        (None, None) => return Ok(()),
    };
    if config.evaluation.every.is_none() {
        return fail(key, "it needs evaluations during training; set evaluation.every");
    }
    if !config.evaluation.subsets.contains(&Subset::Validation) {
        return fail(key, "it needs the validation set; add \"validation\" to evaluation.subsets");
    }
    Ok(())
}
