//! Data for a trained model: like its training data, except for what is given.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use batchlab_config::StudyFile;
use batchlab_core::Dataset;
use batchlab_core::registry::{Kind, find};
use serde_json::Value;

use super::{Configuration, DEFAULTS, chosen, divide, is_configuration, of_dataset, prefixed};
use crate::exit::Usage;

/// A data set that resembles the training data of a model.
pub(crate) struct DataLike {
    /// The name as given.
    pub(crate) name: String,
    /// The configuration file that names it; empty without one.
    pub(crate) path: PathBuf,
    pub(crate) dataset: Box<dyn Dataset>,
}

impl Configuration {
    /// The data set for a model trained on another one: every key that is not given is as in
    /// training, except keys that select which data to read. `None` if nothing is given.
    pub(crate) fn like(&self, trained: &dyn Dataset) -> Result<Option<DataLike>> {
        let (mut names, mut changes) = divide(&self.inputs);
        names.extend(self.dataset.clone());
        if names.len() > 1 {
            bail!(Usage(format!("{} are several data sets; give one", names.join(" and "))));
        }
        let name = names.pop();
        let config = name.as_deref().filter(|name| is_configuration(name));
        let mut kind = trained.typetag_name();
        match name.as_deref() {
            Some(name) if config.is_none() => {
                let (registration, file) = chosen(name, &changes, Some(trained))?;
                changes = of_dataset(registration, file, &changes);
                kind = (registration.name)();
            }
            _ => {
                if let Some(own) = find(Kind::Dataset, kind) {
                    changes = prefixed(own, &changes);
                }
            }
        }
        if changes.is_empty() && name.is_none() {
            return Ok(None);
        }
        let keys = changes.iter().filter_map(|change| change.split_once('='));
        let keys: Vec<&str> = keys.map(|(key, _)| key.trim()).collect();
        let is_of_data =
            |key: &str| key.starts_with("dataset.") || ["dataset", "datasets"].contains(&key);
        if let Some(other) = keys.iter().find(|key| !is_of_data(key)) {
            bail!(Usage(format!(
                "\"{other}\" is not a key of data set \"{kind}\"; for a trained model only the data can be changed, \
                 besides --batcher, --subset and --device"
            )));
        }
        let is_other_source =
            name.is_some() || keys.iter().any(|key| ["dataset", "dataset.path"].contains(key));
        let study = StudyFile::read(config.map(Path::new), &changes, DEFAULTS)?;
        let like = inherited(trained, is_other_source);
        let is_another = kind != trained.typetag_name() && !keys.contains(&"dataset.target");
        let datasets = study.datasets_like(&like).map_err(|error| {
            let note = "keys that are not given are as in training, including the target";
            if is_another { error.help(note) } else { error }
        });
        let mut datasets = datasets?;
        let path = PathBuf::from(config.unwrap_or_default());
        let name = name.unwrap_or_else(|| self.inputs.join(" "));
        let (Some(dataset), true) = (datasets.pop(), datasets.is_empty()) else {
            bail!(Usage(format!("{name} names several data sets; give one")));
        };
        dataset.check().map_err(batchlab_run::RunError::Dataset)?;
        Ok(Some(DataLike { name, path, dataset }))
    }
}

/// The keys used in training; for data from another source without those that select which data to
/// read.
pub(super) fn inherited(trained: &dyn Dataset, is_other_source: bool) -> toml::Table {
    let mut table = serde_json::to_value(trained).unwrap_or_default();
    if let Value::Object(table) = &mut table {
        let is_source = |key: &str| trained.source_keys().contains(&key);
        table.retain(|key, value| !(value.is_null() || is_other_source && is_source(key)));
    }
    // It was parsed from TOML.
    toml::Table::try_from(table).unwrap_or_default()
}
