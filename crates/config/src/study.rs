//! The one reader of configurations: a file with lists in it, and the runs that it makes.
//!
//! A study file is a run's configuration in which data set, model and batcher may be lists, and a run's
//! configuration is a study of one run:
//!
//! ```toml
//! study = "quick"
//! batchers = ["static-64", "static-2^N", "dynamic", { name = "static", padding = { multiple = 32 } }]
//! batch_sizes = [16, 32]
//! repeats = 3
//!
//! [[datasets]]
//! name = "qm9"
//! [[datasets]]
//! name = "aflow"
//! batchers = ["dynamic"]      # instead of the study's
//!
//! [[models]]
//! name = "schnet"
//! [[models]]
//! name = "painn"
//! with = { training.learning_rate_decay = 0.98 }   # for this model's runs only
//!
//! [training]
//! steps = 2000
//!
//! [[variants]]                # every combination once for each of these
//! training.prefetch = 0
//! [[variants]]
//! training.prefetch = 1
//! ```

mod blocks;
mod grid;
mod overrides;
mod read;

use std::num::NonZeroU32;
use std::ops::Range;
use std::path::{Path, PathBuf};

use batchlab_core::padding::BatchSize;
use batchlab_core::registry::{Kind, find};
use batchlab_core::{Batcher, Dataset, Level, Model};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::source::{Root, Source, fill, kept, overlay};
use crate::strategy::{self, Names, takes_batch_size};
use crate::{
    Defaults, Diagnostic, LoadedConfig, Seeds, Split, alternatives, compatibility, component, load,
};
pub use blocks::Blocks;
pub(crate) use grid::Grid;
use grid::SeedName;
#[cfg(test)]
pub(crate) use overrides::line;

/// A table, a label, or what stands in their place, with its place.
type Value = Spanned<DeValue<'static>>;

/// A configuration as it was read: of a run, or of many that are compared.
#[derive(Debug)]
pub struct StudyFile {
    /// Empty if there is no file.
    pub path: PathBuf,
    pub blocks: Blocks,
    /// How often every combination is trained.
    pub repeats: NonZeroU32,
    vary_seeds: Vec<SeedName>,
    /// The name of the file in messages.
    file: String,
    span: Range<usize>,
    /// All tables of a run except those of data set, model and batcher.
    rest: Root,
    datasets: Vec<Choice>,
    models: Vec<Choice>,
    /// Empty if the file names none.
    batchers: Vec<Value>,
    lists_batchers: bool,
    batch_sizes: Vec<Option<BatchSize>>,
    variants: Vec<Variant>,
    defaults: Defaults,
}

#[derive(Debug)]
struct Choice {
    /// `None` if the file names none.
    table: Option<Value>,
    with: Root,
    /// Its name, with the file or folder that it reads where another one of this name reads another.
    label: String,
    /// What is compared on this data set, if it has a list of its own.
    batchers: Option<Vec<Value>>,
}

#[derive(Debug)]
struct Variant {
    label: String,
    table: Root,
    /// The file, with the changes of all runs and of this variant.
    source: Source,
}

/// One combination of everything but batchers and repeats.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'a> {
    dataset: &'a Choice,
    model: &'a Choice,
    /// `None` if no batcher has one, or each has its own.
    pub batch_size: Option<BatchSize>,
    variant: &'a Variant,
}

/// What a forecast needs: data, and strategies on them.
#[derive(Debug)]
pub struct ToForecast {
    pub dataset: Box<dyn Dataset>,
    /// Decides which fields a batch holds.
    pub model: Option<Box<dyn Model>>,
    /// Every strategy at every batch size, batch size by batch size.
    pub batchers: Vec<Box<dyn Batcher>>,
    pub split: Split,
    pub seeds: Seeds,
}

/// How many of each there are in a study.
struct Size([(usize, &'static str); 6]);

/// A study holds a checked configuration of every run before the first one begins, some 10 kB each.
const MAX_RUNS: usize = 20_000;

impl Size {
    fn n_run(&self) -> usize {
        self.0.iter().fold(1, |product, (n, _)| product.saturating_mul((*n).max(1)))
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let several = self.0.iter().filter(|(n, _)| *n > 1);
        let several: Vec<String> = several.map(|(n, what)| format!("{n} {what}")).collect();
        write!(f, "{} runs ({})", self.n_run(), several.join(" x "))
    }
}

fn name(component: &Value) -> &str {
    let name = component.get_ref().as_table().and_then(|table| table.get("name"));
    name.and_then(|name| name.get_ref().as_str()).unwrap_or_default()
}

impl Setting<'_> {
    #[must_use]
    pub fn dataset(&self) -> &str {
        &self.dataset.label
    }

    #[must_use]
    pub fn model(&self) -> &str {
        &self.model.label
    }

    /// What differs from other variants, such as `training.prefetch=0`; empty without variants.
    #[must_use]
    pub fn variant(&self) -> &str {
        &self.variant.label
    }
}

impl StudyFile {
    /// Reads a study, or a run's configuration, which is a study of one run. `arguments` are changes
    /// from the command line, `key=value` or `key=a,b,c`. Without a file, they are all there is.
    ///
    /// # Errors
    /// The first error in the file as a whole; [`StudyFile::runs`] finds those of single runs.
    pub fn read(
        path: Option<&Path>,
        arguments: &[String],
        defaults: Defaults,
    ) -> Result<Self, Diagnostic> {
        read::read(path, arguments, defaults)
    }

    /// Every data set with every model, batch size and variant, in this order.
    pub fn settings(&self) -> impl Iterator<Item = Setting<'_>> {
        self.datasets.iter().flat_map(move |dataset| {
            self.models.iter().flat_map(move |model| {
                self.batch_sizes.iter().flat_map(move |&batch_size| {
                    let setting = move |variant| Setting { dataset, model, batch_size, variant };
                    self.variants.iter().map(setting)
                })
            })
        })
    }

    /// One run per batcher, each with every check that needs no data.
    ///
    /// # Errors
    /// The first error.
    pub fn runs(&self, setting: Setting<'_>, repeat: u32) -> Result<Vec<LoadedConfig>, Diagnostic> {
        let batchers = self.batchers(setting);
        if batchers.is_empty() {
            return Ok(vec![self.run(setting, repeat, None)?]);
        }
        batchers.iter().map(|batcher| self.run(setting, repeat, Some(batcher))).collect()
    }

    fn batchers<'a>(&'a self, setting: Setting<'a>) -> &'a [Value] {
        setting.dataset.batchers.as_ref().unwrap_or(&self.batchers)
    }

    /// The run, if there is only one.
    ///
    /// # Errors
    /// The first error; a study of several runs.
    pub fn only_run(&self) -> Result<LoadedConfig, Diagnostic> {
        let of_dataset = |choice: &Choice| choice.batchers.as_ref().unwrap_or(&self.batchers).len();
        let n_batcher = self.datasets.iter().map(of_dataset).max().unwrap_or(0);
        let size = Size([
            (self.datasets.len(), "data sets"),
            (self.models.len(), "models"),
            (n_batcher, "batchers"),
            (self.batch_sizes.len(), "batch sizes"),
            (self.variants.len(), "variants"),
            (self.repeats.get() as usize, "repeats"),
        ]);
        if size.n_run() == 1 {
            let setting = self.settings().next();
            let setting = setting.ok_or_else(|| self.wrong("there is nothing to train"))?;
            let mut runs = self.runs(setting, 0)?;
            return runs.pop().ok_or_else(|| self.wrong("there is nothing to train"));
        }
        Err(self
            .wrong(format!("this is a study of {size}, and one run is expected"))
            .help("`batchlab sweep`, with the same arguments, trains and compares them all")
            .help("or name one: datasets=qm9 models=schnet batchers=static-64 batch_sizes=32"))
    }

    /// The data sets, with nothing else read.
    ///
    /// # Errors
    /// The first error.
    pub fn datasets(&self) -> Result<Vec<Box<dyn Dataset>>, Diagnostic> {
        self.datasets_with(|_| {})
    }

    /// As [`StudyFile::datasets`]; keys that are not given are those of another data set's table, as far
    /// as a data set has them, and so is its name.
    ///
    /// # Errors
    /// The first error.
    pub fn datasets_like(&self, other: &toml::Table) -> Result<Vec<Box<dyn Dataset>>, Diagnostic> {
        let text = kept(other.to_string());
        let other = DeTable::parse(text).map_err(|error| Diagnostic::new(error.message()))?;
        let other = strategy::moved(other.into_inner(), &(0..0));
        self.datasets_with(|root| inherit(root, &other))
    }

    fn datasets_with(
        &self,
        complete: impl Fn(&mut Root),
    ) -> Result<Vec<Box<dyn Dataset>>, Diagnostic> {
        let mut all: Vec<Box<dyn Dataset>> = Vec::new();
        let mut texts = Vec::new();
        for setting in self.settings().filter(|setting| self.is_first_of_dataset(*setting)) {
            let (source, mut root) = self.assemble(setting, None)?;
            complete(root.get_mut());
            let dataset: Box<dyn Dataset> = component::required(source, root.get_ref(), "dataset")?;
            let text = serde_json::to_string(&dataset).unwrap_or_default();
            // Most variants differ in something else.
            if !texts.contains(&text) {
                texts.push(text);
                all.push(dataset);
            }
        }
        Ok(all)
    }

    /// What is to be forecast, for each data set and variant. Where batchers are not listed, those
    /// with these labels are planned beside the run's own; where there is no batch size, `sizes` are.
    ///
    /// # Errors
    /// The first error.
    pub fn to_forecast(
        &self,
        labels: &[&str],
        sizes: &[BatchSize],
    ) -> Result<Vec<ToForecast>, Diagnostic> {
        let mut all = Vec::new();
        for setting in self.settings().filter(|setting| self.is_first_of_dataset(*setting)) {
            let (source, root) = self.assemble(setting, None)?;
            let dataset: Box<dyn Dataset> = component::required(source, root.get_ref(), "dataset")?;
            let model = component::optional(source, root.get_ref())?;
            let rest = OfForecast::deserialize(root.clone().into_deserializer());
            let OfForecast { split, training } = rest.map_err(|error| {
                source.mistake(&error, "", root.get_ref(), alternatives::schema())
            })?;
            let mut tables: Vec<Option<Value>> =
                self.batchers(setting).iter().cloned().map(Some).collect();
            if !self.lists_batchers && dataset.provides().level == Level::Graphs {
                let label =
                    |&label: &&str| Spanned::new(0..0, DeValue::String(label.to_owned().into()));
                tables.extend(labels.iter().map(label).map(Some));
            }
            if tables.is_empty() && root.get_ref().contains_key("batcher") {
                // It is from the command line.
                tables.push(None);
            }
            if tables.is_empty() {
                return Err(self.wrong(
                    "there is no strategy to plan: add [batcher], or batchers = [\"static-64\", \"dynamic\"]",
                ));
            }
            let mut batchers: Vec<Box<dyn Batcher>> = Vec::new();
            let mut texts = Vec::new();
            let own_sizes: Vec<BatchSize> =
                self.batch_sizes.iter().filter_map(|&size| size).collect();
            for &size in if own_sizes.is_empty() { sizes } else { &own_sizes } {
                for table in &tables {
                    let setting = Setting { batch_size: Some(size), ..setting };
                    let (source, root) = self.assemble(setting, table.as_ref())?;
                    let root = root.get_ref();
                    let batcher = compatibility::batcher_for(source, root, &*dataset, &self.file)?;
                    let text = serde_json::to_string(&batcher).unwrap_or_default();
                    // A batcher with its own batch size, or without any, is planned once.
                    if !texts.contains(&text) {
                        texts.push(text);
                        batchers.push(batcher);
                    }
                }
            }
            all.push(ToForecast { dataset, model, batchers, split, seeds: training.seeds });
        }
        Ok(all)
    }

    /// Whether a setting is the first of its data set and variant, with any model and batch size.
    fn is_first_of_dataset(&self, setting: Setting<'_>) -> bool {
        std::ptr::eq(setting.model, &raw const self.models[0])
            && Some(setting.batch_size) == self.batch_sizes.first().copied()
    }

    fn run(
        &self,
        place: Setting<'_>,
        repeat: u32,
        batcher: Option<&Value>,
    ) -> Result<LoadedConfig, Diagnostic> {
        let (source, root) = self.assemble(place, batcher)?;
        self.checked_run(source, &root, place, repeat, batcher).map_err(|error| {
            let file = self.name_of(place, batcher);
            compatibility::check_names(source, root.get_ref(), &file).err().unwrap_or(error)
        })
    }

    fn checked_run(
        &self,
        source: &Source,
        root: &Spanned<Root>,
        place: Setting<'_>,
        repeat: u32,
        batcher: Option<&Value>,
    ) -> Result<LoadedConfig, Diagnostic> {
        let own = root.get_ref().get("batcher").and_then(|value| value.get_ref().as_table());
        if let (true, Some(table)) = (self.lists_batchers, own)
            && takes_batch_size(table)
            && !table.contains_key("batch_size")
        {
            return Err(self.wrong("there is no batch size: add batch_sizes = [16, 32]"));
        }
        let takes_size =
            |batcher: &Value| batcher.get_ref().as_table().is_some_and(takes_batch_size);
        if self.batch_sizes.len() > 1 && !self.batchers(place).iter().any(takes_size) {
            return Err(self.wrong("batch_sizes differ, but no batcher has a batch size"));
        }
        // In the cells of several sizes it would be the same run, shown under the size of each.
        let listed = batcher.and_then(|batcher| batcher.get_ref().as_table());
        if let (true, Some(size)) =
            (self.batch_sizes.len() > 1, listed.and_then(|table| table.get("batch_size")))
        {
            let message = "a batcher with a batch size of its own cannot be compared at several \
                           batch_sizes";
            return Err(source
                .at(&size.span(), message)
                .help("leave batch_size out here, or batch_sizes out of the study"));
        }
        let mut config = load::config(source, root)?;
        compatibility::check(&config)
            .map_err(|misfit| misfit.at(source, root.get_ref(), &self.name_of(place, batcher)))?;
        let seeds = &mut config.training.seeds;
        for name in &self.vary_seeds {
            let seed = match name {
                SeedName::Split => &mut seeds.split,
                SeedName::Order => &mut seeds.order,
                SeedName::Init => &mut seeds.init,
            };
            let of_repeat =
                seed.checked_add(repeat.into()).filter(|&seed| i64::try_from(seed).is_ok());
            let too_large = || {
                let most = i64::MAX;
                self.wrong(format!(
                    "the seed {seed} of repeat {repeat}, to which the number of the repeat is added, is \
                     more than results can hold; give one that stays below {most}"
                ))
            };
            *seed = of_repeat.ok_or_else(too_large)?;
        }
        Ok(LoadedConfig { config, path: self.path.clone() })
    }

    /// The tables of one run, with the text that they come from.
    fn assemble<'a>(
        &'a self,
        place: Setting<'a>,
        batcher: Option<&Value>,
    ) -> Result<(&'a Source, Spanned<Root>), Diagnostic> {
        let source = &place.variant.source;
        let mut root = self.rest.clone();
        let components = [
            ("dataset", place.dataset.table.as_ref()),
            ("model", place.model.table.as_ref()),
            ("batcher", batcher),
        ];
        for (key, value) in components {
            if let Some(value) = value {
                root.insert(Spanned::new(value.span(), key.into()), value.clone());
            }
        }
        for with in [&place.dataset.with, &place.model.with, &place.variant.table] {
            overlay(&mut root, with.clone(), alternatives::schema());
        }
        let defaults = match self.level(source, &root) {
            Level::Graphs => self.defaults.of_graphs,
            Level::Nodes => self.defaults.of_nodes,
        };
        for tables in [defaults, self.defaults.tables] {
            let tables =
                DeTable::parse(tables).map_err(|error| Diagnostic::new(error.message()))?;
            fill(&mut root, tables.into_inner());
        }
        let labels = self.defaults.labels;
        Names::before(source, labels, &root).replace(&mut root)?;
        if let (Some(size), Some(batcher)) = (place.batch_size, root.get_mut("batcher")) {
            strategy::strategy(source, labels, batcher, Some(strategy::integer(size)))?;
        }
        for mut change in source.changes()? {
            for key in grid::STUDY_KEYS {
                change.remove(key);
            }
            let names = Names::before(source, labels, &root);
            source.apply(&mut root, change)?;
            names.replace(&mut root)?;
        }
        Ok((source, Spanned::new(self.span.clone(), root)))
    }

    /// Whether the data set of a run holds graphs or nodes. A mistake in its table is found when it is read.
    fn level(&self, source: &Source, root: &Root) -> Level {
        let read = || {
            let own =
                root.get_key_value("dataset").map(|(key, value)| (key.clone(), value.clone()));
            let mut root: Root = own.into_iter().collect();
            for mut change in source.changes().ok()? {
                if let Some((key, value)) = change.remove_entry("dataset") {
                    source.apply(&mut root, Root::from_iter([(key, value)])).ok()?;
                }
            }
            Names::before(source, self.defaults.labels, &root).replace(&mut root).ok()?;
            component::optional::<dyn Dataset>(source, &root).ok()?
        };
        read().map(|dataset| dataset.provides().level).unwrap_or_default()
    }

    /// The name of a run in messages.
    fn name_of(&self, place: Setting<'_>, batcher: Option<&Value>) -> String {
        if self.settings().map(|setting| self.batchers(setting).len()).sum::<usize>() <= 1 {
            return self.file.clone();
        }
        let size = place.batch_size.map(|size| format!(" B={}", size.get())).unwrap_or_default();
        format!(
            "{}, the run of {} with {} in batches of {}{size}",
            self.file,
            place.dataset(),
            place.model(),
            batcher.map_or("", name),
        )
    }

    #[must_use]
    pub fn wrong(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(message).within(&self.file)
    }
}

/// Completes the table of the data set by the keys of another one that it has too.
fn inherit(root: &mut Root, other: &Root) {
    let key = Spanned::new(0..0, Kind::Dataset.key().into());
    let empty = || Spanned::new(0..0, DeValue::Table(DeTable::new()));
    let DeValue::Table(table) = root.entry(key).or_insert_with(empty).get_mut() else { return };
    if let (false, Some((key, name))) = (table.contains_key("name"), other.get_key_value("name")) {
        table.insert(key.clone(), name.clone());
    }
    let name = table.get("name").and_then(|name| name.get_ref().as_str());
    // An unknown name is told where the table is read.
    let Some(registration) = name.and_then(|name| find(Kind::Dataset, name)) else { return };
    let schema = (registration.schema)();
    for (key, value) in other {
        let name = key.get_ref().as_ref();
        if schema["properties"].get(name).is_some() && !table.contains_key(name) {
            table.insert(key.clone(), value.clone());
        }
    }
}

/// The part of a configuration that decides which graphs come, and in which order.
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
