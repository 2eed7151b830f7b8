//! The part of a configuration that a forecast reads.

use std::path::Path;

use anyhow::Result;
use batchlab_config::{Parts, Seeds, Split, read_parts};
use batchlab_core::padding::BatchSize;
use batchlab_core::{BatchFields, LoadContext, View};
use batchlab_run::cache::Keep;
use batchlab_run::{Cache, RunError, Subsets, memory, search_folders};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// A configuration of a run, or one with a data set and strategies alone.
#[derive(Debug)]
pub(super) struct PlanConfig {
    /// The model decides which fields a batch holds; the batcher is planned first.
    pub(super) parts: Parts,
    pub(super) rest: Rest,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rest {
    // Read as components.
    #[serde(rename = "dataset")]
    _dataset: IgnoredAny,
    #[serde(rename = "model")]
    _model: Option<IgnoredAny>,
    #[serde(rename = "batcher")]
    _batcher: Option<IgnoredAny>,
    /// Strategies: labels, or batchers' tables, with or without `batch_size`.
    #[serde(default)]
    pub(super) batchers: Vec<toml::Value>,
    #[serde(default)]
    pub(super) batch_sizes: Vec<BatchSize>,
    #[serde(default)]
    split: Split,
    #[serde(default)]
    training: Training,
    // A run has them; a forecast does not depend on them.
    #[serde(rename = "study")]
    _study: Option<String>,
    #[serde(rename = "device")]
    _device: Option<String>,
    #[serde(rename = "evaluation")]
    _evaluation: Option<IgnoredAny>,
    #[serde(rename = "sink")]
    _sink: Option<IgnoredAny>,
}

/// The part of `[training]` that decides which graphs come, and in which order.
#[derive(Debug, Default, Deserialize)]
struct Training {
    #[serde(default)]
    seeds: Seeds,
}

impl PlanConfig {
    pub(super) fn read(path: &Path, overrides: &[String]) -> Result<Self> {
        let (parts, rest) = read_parts(path, overrides)?;
        Ok(Self { parts, rest })
    }

    pub(super) fn seeds(&self) -> Seeds {
        self.rest.training.seeds
    }

    /// The fields of a batch: the model's, or those that `SchNet` needs.
    pub(super) fn needs(&self) -> BatchFields {
        let schnet = BatchFields {
            node_class: true,
            distance: true,
            sender_order: true,
            ..BatchFields::default()
        };
        self.parts.model.as_ref().map_or(schnet, |model| model.needs())
    }

    /// Loads the data, and draws the training subset as a run does.
    pub(super) fn load(&self, path: &Path) -> Result<Planned> {
        let memory = memory::budget()?;
        let ctx = LoadContext { search: search_folders(path), memory, ..LoadContext::new() };
        let loaded = Cache::from_environment().load(&*self.parts.dataset, &ctx, Keep::WhenSlow);
        let graphs = loaded.map_err(RunError::Dataset)?.graphs;
        let train = Subsets::new(&graphs, self.rest.split, self.seeds().split)?.train;
        Ok(Planned {
            dataset: graphs.dataset.clone(),
            n_member: graphs.n_member(),
            n_train: train.len(),
            node_feature_width: graphs.batch_feature_width(self.needs()),
            view: graphs.view(&train),
        })
    }
}

pub(super) struct Planned {
    pub(super) dataset: String,
    /// Graphs, or nodes of one graph, before the split.
    pub(super) n_member: usize,
    pub(super) n_train: usize,
    pub(super) node_feature_width: usize,
    pub(super) view: View,
}
