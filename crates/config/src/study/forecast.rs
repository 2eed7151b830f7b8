//! The parts of a study that need no training: its data, and the strategies applied to them.

use batchlab_core::padding::BatchSize;
use batchlab_core::registry::{Kind, find};
use batchlab_core::{Batcher, Dataset, Level, Model};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::StudyFile;
use super::lists::Lists;
use super::runs::Combination;
use super::strategy::Strategy;
use crate::component::{self, compatibility, explain::mistake, names::integer};
use crate::evaluation::Split;
use crate::schema::schema;
use crate::text::diagnostic::Diagnostic;
use crate::text::{Source, Table, Value, placed, word};
use crate::training::Seeds;

/// Input of a forecast: data, and strategies to apply.
#[derive(Debug)]
pub struct ToForecast {
    pub dataset: Box<dyn Dataset>,
    /// Determines the fields of a batch.
    pub model: Option<Box<dyn Model>>,
    /// Every strategy at every batch size, grouped by batch size.
    pub batchers: Vec<Box<dyn Batcher>>,
    pub split: Split,
    pub seeds: Seeds,
}

/// The part of a configuration that determines the graphs and their order.
#[derive(Deserialize)]
struct OfForecast {
    #[serde(default)]
    split: Split,
    #[serde(default)]
    training: SeedsOnly,
}

#[derive(Default, Deserialize)]
struct SeedsOnly {
    #[serde(default)]
    seeds: Seeds,
}

impl StudyFile {
    /// The data sets; nothing else is parsed.
    ///
    /// # Errors
    /// The first error.
    pub fn datasets(&self) -> Result<Vec<Box<dyn Dataset>>, Diagnostic> {
        self.datasets_like(&toml::Table::new())
    }

    /// Like [`StudyFile::datasets`], but missing keys, including the name, are taken from the table
    /// of another data set, as far as a data set has them.
    ///
    /// # Errors
    /// The first error.
    pub fn datasets_like(&self, other: &toml::Table) -> Result<Vec<Box<dyn Dataset>>, Diagnostic> {
        let text = other.to_string();
        let other = DeTable::parse(&text).map_err(|error| self.wrong(error.message()))?;
        let other = placed(other.into_inner(), &|_| 0..0);
        let lists = Lists::new(self)?;
        let mut all = Distinct::default();
        for combination in lists.combinations_of_data() {
            let mut root = lists.assemble(combination, None)?;
            inherit(root.get_mut(), &other);
            all.push(component::required(&self.source, root.get_ref(), "dataset")?);
        }
        Ok(all.list)
    }

    /// The forecasts to make, for each data set and variant. If batchers are not listed, those with
    /// the given labels are planned along with the run's own; if there is no batch size, `sizes`
    /// are used.
    ///
    /// # Errors
    /// The first error.
    pub fn to_forecast(
        &self,
        labels: &[&str],
        sizes: &[BatchSize],
    ) -> Result<Vec<ToForecast>, Diagnostic> {
        let source = &self.source;
        let digits: Vec<String> = sizes.iter().map(|size| size.get().to_string()).collect();
        let sizes: Result<Vec<Value<'_>>, _> =
            digits.iter().map(|size| integer(source, size)).collect();
        let sizes = sizes?;
        let lists = Lists::new(self)?;
        let own: Vec<&Value<'_>> = lists.batch_sizes.iter().flatten().collect();
        let sizes = if own.is_empty() { sizes.iter().collect() } else { own };
        let all = lists.combinations_of_data();
        all.map(|combination| forecast(source, &lists, combination, labels, &sizes)).collect()
    }
}

fn forecast<'t>(
    source: &Source,
    lists: &Lists<'t>,
    combination: Combination<'_, 't>,
    labels: &[&str],
    sizes: &[&Value<'t>],
) -> Result<ToForecast, Diagnostic> {
    let root = lists.assemble(combination, None)?;
    let dataset: Box<dyn Dataset> = component::required(source, root.get_ref(), "dataset")?;
    let model = component::optional(source, root.get_ref())?;
    let OfForecast { split, training } = OfForecast::deserialize(root.clone().into_deserializer())
        .map_err(|error| mistake(source, &error, "", root.get_ref(), schema()))?;
    let mut tables: Vec<_> = lists.batchers(combination).iter().cloned().map(Some).collect();
    if !lists.is_compared && dataset.provides().level == Level::Graphs {
        let label = |&label: &&str| Spanned::new(0..0, DeValue::String(label.to_owned().into()));
        for label in labels.iter().map(label) {
            tables.push(Some(Strategy::new(source, label)?));
        }
    }
    if tables.is_empty() && root.get_ref().contains_key("batcher") {
        // It comes from the command line.
        tables.push(None);
    }
    if tables.is_empty() {
        return Err(source.whole(
            "there is no strategy to plan: add [batcher], or batchers = [\"static-64\", \"dynamic\"]",
        ));
    }
    // A batcher with its own batch size, or with none, is planned once.
    let mut batchers: Distinct<Box<dyn Batcher>> = Distinct::default();
    for &size in sizes {
        for table in &tables {
            let root = lists
                .assemble(Combination { batch_size: Some(size), ..combination }, table.as_ref())?;
            let root = root.get_ref();
            batchers.push(compatibility::batcher_for(source, root, &*dataset, &source.file)?);
        }
    }
    Ok(ToForecast { dataset, model, batchers: batchers.list, split, seeds: training.seeds })
}

/// A deduplicated list of components.
struct Distinct<T> {
    list: Vec<T>,
    texts: Vec<String>,
}

impl<T> Default for Distinct<T> {
    fn default() -> Self {
        Self { list: Vec::new(), texts: Vec::new() }
    }
}

impl<T: serde::Serialize> Distinct<T> {
    fn push(&mut self, component: T) {
        let text = serde_json::to_string(&component).unwrap_or_default();
        if !self.texts.contains(&text) {
            self.texts.push(text);
            self.list.push(component);
        }
    }
}

/// Fills in keys of the data set's table from another table, if it has those keys.
fn inherit<'t>(root: &mut Table<'t>, other: &Table<'t>) {
    if other.is_empty() {
        return;
    }
    let empty = || Spanned::new(0..0, DeValue::Table(Table::new()));
    let key = Spanned::new(0..0, Kind::Dataset.key().into());
    let DeValue::Table(table) = root.entry(key).or_insert_with(empty).get_mut() else { return };
    let own = word(table, "name").or_else(|| word(other, "name"));
    // An unknown name is reported when the table is parsed.
    let Some(registration) = own.and_then(|name| find(Kind::Dataset, name)) else { return };
    let schema = (registration.schema)();
    for (key, value) in other {
        let name = key.get_ref().as_ref();
        if name == "name" || schema["properties"].get(name).is_some() {
            table.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
}
