//! Expands the lists of a study into runs.

use std::path::Path;

use batchlab_core::padding::BatchSize;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use toml::Spanned;

use super::Setting;
use super::grid::SeedName;
use super::lists::{Choice, Lists, batch_size, name};
use super::strategy::Strategy;
use super::variants::Variant;
use crate::component::compatibility::{check, check_names};
use crate::component::names::{expand, with_batch_size};
use crate::config::Config;
use crate::forms::within;
use crate::load::{self, LoadedConfig};
use crate::schema::schema;
use crate::text::diagnostic::Diagnostic;
use crate::text::merge::Inline;
use crate::text::{Table, Value};

/// One combination of everything but batchers and repeats.
#[derive(Clone, Copy)]
pub(super) struct Combination<'a, 't> {
    pub(super) dataset: &'a Choice<'t>,
    pub(super) model: &'a Choice<'t>,
    pub(super) batch_size: Option<&'a Value<'t>>,
    pub(super) variant: &'a Variant<'t>,
}

impl<'t> Lists<'t> {
    /// Every data set with every model, batch size and variant, in this order.
    pub(super) fn combinations(&self) -> impl Iterator<Item = Combination<'_, 't>> {
        self.datasets.iter().flat_map(move |dataset| {
            self.models.iter().flat_map(move |model| {
                self.batch_sizes.iter().flat_map(move |batch_size| {
                    let batch_size = batch_size.as_ref();
                    let combination =
                        move |variant| Combination { dataset, model, batch_size, variant };
                    self.variants.iter().map(combination)
                })
            })
        })
    }

    /// Every data set with every variant.
    pub(super) fn combinations_of_data(&self) -> impl Iterator<Item = Combination<'_, 't>> {
        self.datasets.iter().flat_map(move |dataset| {
            let (model, batch_size) = (&self.models[0], self.batch_sizes[0].as_ref());
            self.variants.iter().map(move |variant| Combination {
                dataset,
                model,
                batch_size,
                variant,
            })
        })
    }

    pub(super) fn batchers<'a>(&'a self, combination: Combination<'a, 't>) -> &'a [Strategy<'t>] {
        combination.dataset.batchers.as_ref().unwrap_or(&self.batchers)
    }

    pub(super) fn setting(
        &self,
        combination: Combination<'_, 't>,
        repeat: u32,
        path: &Path,
    ) -> Result<Setting, Diagnostic> {
        let run = |batcher| self.run(combination, repeat, batcher, path);
        let runs = match self.batchers(combination) {
            [] => vec![run(None)?],
            batchers => batchers.iter().map(Some).map(run).collect::<Result<_, _>>()?,
        };
        let size = combination.batch_size.cloned();
        Ok(Setting {
            dataset: combination.dataset.label.clone(),
            model: combination.model.label.clone(),
            batch_size: size.and_then(|size| BatchSize::deserialize(size.into_deserializer()).ok()),
            variant: combination.variant.label.clone(),
            repeat,
            runs,
        })
    }

    fn run(
        &self,
        combination: Combination<'_, 't>,
        repeat: u32,
        batcher: Option<&Strategy<'t>>,
        path: &Path,
    ) -> Result<LoadedConfig, Diagnostic> {
        let mut root = self.assemble(combination, batcher)?;
        let config = self.config(combination, repeat, batcher, &mut root).map_err(|error| {
            let file = self.name_of(combination, batcher);
            check_names(self.source, root.get_ref(), &file).err().unwrap_or(error)
        })?;
        Ok(LoadedConfig { config, path: path.to_owned() })
    }

    fn config(
        &self,
        combination: Combination<'_, 't>,
        repeat: u32,
        batcher: Option<&Strategy<'t>>,
        root: &mut Spanned<Table<'t>>,
    ) -> Result<Config, Diagnostic> {
        let source = self.source;
        let own = root.get_ref().get("batcher");
        if self.is_compared && own.is_some_and(|own| takes_size(own) && batch_size(own).is_none()) {
            return Err(source.whole("there is no batch size: add batch_sizes = [16, 32]"));
        }
        if self.batch_sizes.len() > 1 {
            if !self.batchers(combination).iter().any(|of| takes_size(&of.table)) {
                return Err(source.whole("batch_sizes differ, but no batcher has a batch size"));
            }
            // Otherwise the same run would appear in the cells of every size.
            if let Some(size) = batcher.and_then(|of| batch_size(&of.table)) {
                let message = "a batcher with a batch size of its own cannot be compared at several \
                               batch_sizes";
                return Err(source
                    .at(&size.span(), message)
                    .help("leave batch_size out here, or batch_sizes out of the study"));
            }
        }
        let mut config = load::config(source, root, self.defaults)?;
        check(&config).map_err(|misfit| {
            misfit.at(source, root.get_ref(), &self.name_of(combination, batcher))
        })?;
        let tuned = self.batchers(combination).iter().flat_map(|of| &of.tuned);
        let own = tuned.filter(|(key, _)| !self.changes_for_all(combination, key));
        config.training.tuned.extend(own.map(|(_, option)| option));
        config.training.tuned.sort_unstable();
        config.training.tuned.dedup();
        let seeds = &mut config.training.seeds;
        for name in &self.grid.vary_seeds {
            let seed = match name {
                SeedName::Split => &mut seeds.split,
                SeedName::Order => &mut seeds.order,
                SeedName::Init => &mut seeds.init,
            };
            let of_repeat = seed.checked_add(repeat.into());
            *seed = of_repeat.filter(|&seed| i64::try_from(seed).is_ok()).ok_or_else(|| {
                let max = i64::MAX;
                source.whole(format!(
                    "the seed {seed} of repeat {repeat}, to which the number of the repeat is added, is \
                     more than results can hold; give one that stays below {max}"
                ))
            })?;
        }
        Ok(config)
    }

    /// Whether a variant or an override sets an option of the training for all strategies. If it
    /// sets a part of a table, strategies can still differ in the rest.
    fn changes_for_all(&self, combination: Combination<'_, 't>, option: &str) -> bool {
        let sets = |change: &Table<'_>| {
            let training =
                change.get("training").and_then(|training| training.get_ref().as_table());
            let value = training.and_then(|training| training.get(option));
            value.is_some_and(|value| !value.get_ref().is_table())
        };
        sets(&combination.variant.table) || self.overrides(combination).any(sets)
    }

    /// The overrides from the command line.
    fn overrides<'a>(
        &'a self,
        combination: Combination<'a, 't>,
    ) -> impl Iterator<Item = &'a Table<'t>> {
        let of_variant = combination.variant.values.iter().zip(&self.varied);
        self.changes.iter().chain(of_variant.map(|(&value, all)| &all[value].1))
    }

    /// The tables of one run.
    pub(super) fn assemble(
        &self,
        combination: Combination<'_, 't>,
        batcher: Option<&Strategy<'t>>,
    ) -> Result<Spanned<Table<'t>>, Diagnostic> {
        let mut root = self.rest.clone();
        let components = [
            ("dataset", combination.dataset.table.as_ref()),
            ("model", combination.model.table.as_ref()),
            ("batcher", batcher.map(|of| &of.table)),
        ];
        for (key, value) in components {
            if let Some(value) = value {
                root.insert(Spanned::new(value.span(), key.into()), value.clone());
            }
        }
        let Combination { dataset, model, variant, .. } = combination;
        let of_batcher = batcher.map(|of| &of.with);
        let changes = [Some(&dataset.with), Some(&model.with), of_batcher, Some(&variant.table)];
        for with in changes.into_iter().flatten() {
            self.source.merge(&mut root, with.clone(), schema(), Inline::Merges)?;
        }
        for (key, value) in &self.default_tables {
            root.entry(key.clone()).or_insert_with(|| value.clone());
        }
        expand(self.source, self.defaults.labels, &mut root)?;
        if let (Some(batcher), Some(size)) = (root.get_mut("batcher"), combination.batch_size) {
            with_batch_size(batcher, size);
        }
        for change in self.overrides(combination) {
            self.source.merge(&mut root, change.clone(), schema(), Inline::Replaces)?;
        }
        Ok(Spanned::new(self.span.clone(), root))
    }

    /// The name of a run for messages.
    fn name_of(&self, combination: Combination<'_, 't>, batcher: Option<&Strategy<'t>>) -> String {
        let file = &self.source.file;
        if self.combinations().map(|combination| self.batchers(combination).len()).sum::<usize>()
            <= 1
        {
            return file.clone();
        }
        let size =
            combination.batch_size.map(|size| format!(" B={}", self.source.text(&size.span())));
        format!(
            "{file}, the run of {} with {} in batches of {}{}",
            combination.dataset.label,
            combination.model.label,
            batcher.map_or("", |of| name(&of.table)),
            size.unwrap_or_default(),
        )
    }
}

/// Whether the table's batcher takes a batch size; false if the table names no batcher.
fn takes_size(batcher: &Value<'_>) -> bool {
    let schema = &schema()["properties"]["batcher"];
    let table = batcher.get_ref().as_table();
    table.is_some_and(|table| !within(schema, table, "batch_size").is_null())
}
