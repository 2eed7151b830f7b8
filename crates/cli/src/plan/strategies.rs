//! From labels and tables to batchers.

use anyhow::{Error, Result, bail};
use batchlab_builtin::{PLANNED, PRESETS};
use batchlab_config::strategy;
use batchlab_core::padding::BatchSize;
use batchlab_core::{Batcher, Dataset};
use toml::Table;

use super::config::PlanConfig;
use crate::exit::Usage;

/// Where neither the configuration nor the command line names a batch size: those of arXiv
/// 2502.00944.
const BATCH_SIZES: [u32; 4] = [16, 32, 64, 128];

/// Strategies from the command line, which replace those of the configuration.
pub(super) struct Choice<'a> {
    /// Labels, or batchers' tables as TOML.
    pub(super) batchers: &'a [String],
    pub(super) batch_sizes: &'a [u32],
}

/// Every strategy at every batch size, batch size by batch size.
pub(super) fn expand(config: &PlanConfig, choice: &Choice<'_>) -> Result<Vec<Box<dyn Batcher>>> {
    let tables = tables(config, choice)?;
    let sizes = batch_sizes(config, choice)?;
    let mut all: Vec<Box<dyn Batcher>> = Vec::new();
    let mut texts = Vec::new();
    for &size in &sizes {
        for table in &tables {
            let batcher = strategy::batcher(table, size)?;
            let text = serde_json::to_string(&batcher)?;
            // A batcher with its own batch size, or without any, is planned once.
            if !texts.contains(&text) {
                check_level(&*batcher, &*config.parts.dataset)?;
                texts.push(text);
                all.push(batcher);
            }
        }
    }
    Ok(all)
}

fn tables(config: &PlanConfig, choice: &Choice<'_>) -> Result<Vec<Table>> {
    if !choice.batchers.is_empty() {
        return choice
            .batchers
            .iter()
            .map(|text| strategy::of_argument(text, PRESETS).map_err(Error::from))
            .collect();
    }
    let of_run = config.parts.batcher.as_ref().map(|batcher| {
        let mut table = Table::try_from(batcher)?;
        // The run's own batch size is the default of all strategies, this one included.
        table.remove("batch_size");
        Ok(table)
    });
    let listed: Vec<Result<Table>> = if config.rest.batchers.is_empty() {
        let level = config.parts.dataset.provides().level;
        let of_label = |label: &&str| strategy::of_label(label, PRESETS).map_err(Error::from);
        match level {
            batchlab_core::Level::Graphs => PLANNED.iter().map(of_label).collect(),
            // These work on many graphs.
            batchlab_core::Level::Nodes => Vec::new(),
        }
    } else {
        config
            .rest
            .batchers
            .iter()
            .map(|value| strategy::of_value(value, PRESETS).map_err(Error::from))
            .collect()
    };
    let all: Vec<Table> = of_run.into_iter().chain(listed).collect::<Result<_>>()?;
    if all.is_empty() {
        bail!(Usage(
            "there is no strategy to plan: add [batcher], batchers = [...] or --batcher".into()
        ));
    }
    Ok(all)
}

fn batch_sizes(config: &PlanConfig, choice: &Choice<'_>) -> Result<Vec<BatchSize>> {
    if !choice.batch_sizes.is_empty() {
        let sizes = choice.batch_sizes.iter().map(|&size| BatchSize::try_from(size));
        return Ok(sizes.collect::<Result<_, _>>().map_err(|error| Usage(error.to_string()))?);
    }
    if !config.rest.batch_sizes.is_empty() {
        return Ok(config.rest.batch_sizes.clone());
    }
    let of_run = config.parts.batcher.as_ref().and_then(|batcher| batcher.batch_size());
    let sizes = of_run.map_or_else(|| BATCH_SIZES.to_vec(), |size| vec![size]);
    Ok(sizes.into_iter().map(BatchSize::try_from).collect::<Result<_, _>>()?)
}

/// The batcher of an argument, with this batch size unless it has its own or needs none.
pub(crate) fn of_text(text: &str, size: BatchSize) -> Result<Box<dyn Batcher>> {
    let table = strategy::of_argument(text, PRESETS)?;
    Ok(strategy::batcher(&table, size)?)
}

fn check_level(batcher: &dyn Batcher, dataset: &dyn Dataset) -> Result<()> {
    let level = dataset.provides().level;
    if batcher.level() == level {
        return Ok(());
    }
    bail!(Usage(format!(
        "batcher \"{}\" works on {}, but dataset \"{}\" holds {level}; choose another of the two",
        batcher.typetag_name(),
        batcher.level(),
        dataset.typetag_name(),
    )))
}
