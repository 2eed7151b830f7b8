//! From a study file to checked configurations.
//!
//! A study file is a run's configuration in which data set, model and batcher may be lists:
//!
//! ```toml
//! study = "quick"
//! batchers = ["static-64", "static-2^N", "dynamic", { name = "static", padding = { multiple = 32 } }]
//! batch_sizes = [16, 32]
//! repeats = 3
//!
//! [[datasets]]
//! name = "qm9"
//!
//! [[models]]
//! name = "schnet"
//! [[models]]
//! name = "painn"
//! with = { training.learning_rate_decay = 0.98 }   # for this model's runs alone
//!
//! [training]
//! steps = 2000
//!
//! [[variants]]                # everything once for each of these
//! training.prefetch = 0
//! [[variants]]
//! training.prefetch = 1
//! ```

mod blocks;
mod grid;
mod overrides;

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use batchlab_core::padding::BatchSize;
use batchlab_core::registry::{Kind, Selectable, find, nearest};
use batchlab_core::{Dataset, Model};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use crate::component::read;
use crate::load::{STUDY_KEYS, parse, read_text};
use crate::source::Source;
use crate::strategy::{self, Presets};
use crate::{Diagnostic, LoadedConfig};
pub use blocks::Blocks;
pub(crate) use grid::Grid;
use grid::{RUN_KEYS, SeedName};
use overrides::Overrides;

/// The lists whose product is the study.
#[derive(Debug)]
pub struct StudyFile {
    /// Where it is.
    pub path: PathBuf,
    /// How the runs of a cell take turns.
    pub blocks: Blocks,
    /// How often everything is done.
    pub repeats: NonZeroU32,
    vary_seeds: Vec<SeedName>,
    /// All tables of a run but those of the components.
    rest: Table,
    datasets: Vec<Choice>,
    models: Vec<Choice>,
    batchers: Vec<Table>,
    batch_sizes: Vec<Option<BatchSize>>,
    variants: Vec<Variant>,
    defaults: String,
}

/// A component and what it changes of its runs.
#[derive(Debug)]
pub struct Choice {
    table: Table,
    with: Table,
}

/// Changes of a run from the file and from the command line.
#[derive(Debug)]
struct Variant {
    label: String,
    table: Table,
    overrides: Vec<String>,
}

/// One combination of everything but batchers and repeats.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'a> {
    dataset: &'a Choice,
    model: &'a Choice,
    /// The study's B; none if no batcher has one, or each its own.
    pub batch_size: Option<BatchSize>,
    variant: &'a Variant,
}

impl Choice {
    /// The component's name.
    fn name(&self) -> &str {
        self.table.get("name").and_then(Value::as_str).unwrap_or_default()
    }
}

impl Setting<'_> {
    /// Name of the data set.
    #[must_use]
    pub fn dataset(&self) -> &str {
        self.dataset.name()
    }

    /// Name of the model.
    #[must_use]
    pub fn model(&self) -> &str {
        self.model.name()
    }

    /// What is different from other variants, such as `training.prefetch=0`; empty without variants.
    #[must_use]
    pub fn variant(&self) -> &str {
        &self.variant.label
    }
}

impl StudyFile {
    /// Reads a study, or a run's configuration, which is a study of one cell. `arguments` are changes
    /// from the command line, `key=value` or `key=a,b,c`; `defaults` is as for
    /// [`LoadedConfig::read`], `presets` are labels of strategies.
    ///
    /// # Errors
    /// The first mistake in the file as a whole; [`StudyFile::runs`] finds those of single runs.
    pub fn read(
        path: &Path,
        arguments: &[String],
        defaults: &str,
        presets: Presets<'_>,
    ) -> Result<Self, Diagnostic> {
        let content = read_text(path)?;
        let overrides = Overrides::new(arguments)?;
        let source = Source::new(&path.display().to_string(), &content, &overrides.plain);
        let root = source.parse("")?;
        check_keys(&source, root.get_ref())?;
        check_listed::<dyn Dataset>(&source, root.get_ref())?;
        check_listed::<dyn Model>(&source, root.get_ref())?;
        check_strategies(&source, root.get_ref(), presets)?;
        let (grid, rest) = divide(root);
        let grid = Grid::deserialize(grid.into_deserializer()).map_err(|e| source.toml(&e))?;
        let rest = Table::deserialize(rest.into_deserializer()).map_err(|e| source.toml(&e))?;
        Reading { source: &source, overrides: &overrides, presets }
            .lists(path, grid, rest, defaults)
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

    /// One run per batcher, each checked like one that is given in a file of its own.
    ///
    /// # Errors
    /// The first mistake.
    pub fn runs(&self, setting: Setting<'_>, repeat: u32) -> Result<Vec<LoadedConfig>, Diagnostic> {
        self.batchers.iter().map(|batcher| self.run(setting, repeat, batcher)).collect()
    }

    /// One run, checked like one that is given in a file of its own.
    fn run(
        &self,
        place: Setting<'_>,
        repeat: u32,
        batcher: &Table,
    ) -> Result<LoadedConfig, Diagnostic> {
        let batcher = match place.batch_size {
            None => batcher.clone(),
            Some(size) => strategy::with_batch_size(batcher.clone(), size)?,
        };
        let mut run = self.rest.clone();
        run.insert("dataset".into(), place.dataset.table.clone().into());
        run.insert("model".into(), place.model.table.clone().into());
        run.insert("batcher".into(), batcher.clone().into());
        for changes in [&place.dataset.with, &place.model.with, &place.variant.table] {
            merge(&mut run, changes);
        }
        let text = toml::to_string(&run).map_err(|error| self.wrong(error.to_string()))?;
        let of = |table: &Table, key: &str| {
            table.get(key).map(|value| value.to_string().replace('"', "")).unwrap_or_default()
        };
        let size = place.batch_size.map(|size| format!(" B={}", size.get())).unwrap_or_default();
        let name = format!(
            "{}, the run of {} with {} in batches of {}{size}",
            self.path.display(),
            of(&place.dataset.table, "name"),
            of(&place.model.table, "name"),
            of(&batcher, "name"),
        );
        let mut config = parse(&name, &text, &place.variant.overrides, &self.defaults)?;
        let seeds = &mut config.training.seeds;
        for name in &self.vary_seeds {
            let seed = match name {
                SeedName::Split => &mut seeds.split,
                SeedName::Order => &mut seeds.order,
                SeedName::Init => &mut seeds.init,
            };
            *seed = seed.wrapping_add(repeat.into());
        }
        Ok(LoadedConfig { config, path: self.path.clone() })
    }

    /// A mistake of the study as a whole.
    #[must_use]
    pub fn wrong(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(message).within(&self.path.display().to_string())
    }
}

/// What every step of reading needs.
struct Reading<'a> {
    source: &'a Source,
    overrides: &'a Overrides,
    presets: Presets<'a>,
}

impl Reading<'_> {
    fn lists(
        &self,
        path: &Path,
        grid: Grid,
        mut rest: Table,
        defaults: &str,
    ) -> Result<StudyFile, Diagnostic> {
        let overrides = self.overrides;
        let datasets = self.choices(Kind::Dataset, grid.datasets, &mut rest)?;
        let models = self.choices(Kind::Model, grid.models, &mut rest)?;
        // What the command line lists stands in for the one of the file.
        let own = rest.remove("batcher");
        let own_size = own.as_ref().and_then(|own| own.get("batch_size")).cloned();
        let own = own.filter(|_| !overrides.lists_batchers());
        let batchers = match (grid.batchers.as_slice(), own) {
            ([], Some(Value::Table(mut table))) => {
                if !grid.batch_sizes.is_empty() {
                    table.remove("batch_size");
                }
                vec![table]
            }
            ([], _) => {
                return Err(self.wrong(
                    "there is no batcher to compare: add batchers = [\"static-64\", \"dynamic\"]",
                ));
            }
            (_, Some(_)) => return Err(self.wrong("give either [batcher] or batchers, not both")),
            (listed, None) => {
                let table = |value| strategy::of_value(value, self.presets);
                listed
                    .iter()
                    .map(table)
                    .collect::<Result<_, _>>()
                    .map_err(|mistake| self.within(mistake))?
            }
        };
        let mut takes_size = false;
        for batcher in &batchers {
            takes_size |=
                strategy::takes_batch_size(batcher).map_err(|mistake| self.within(mistake))?;
        }
        let sized = batchers.iter().any(|table| table.contains_key("batch_size"));
        let batch_sizes = match (takes_size, grid.batch_sizes.as_slice()) {
            (true, []) if !sized && own_size.is_some() => vec![own_size.and_then(batch_size)],
            (true, []) if !sized => {
                return Err(self.wrong("there is no batch size: add batch_sizes = [16, 32]"));
            }
            (false, [_, _, ..]) => {
                return Err(self.wrong("batch_sizes differ, but no batcher has a batch size"));
            }
            (_, []) => vec![None],
            (_, sizes) => sizes.iter().copied().map(Some).collect(),
        };
        let mut variants = Vec::new();
        let none = [Table::new()];
        let listed = if grid.variants.is_empty() { &none[..] } else { &grid.variants };
        for table in listed {
            for overrides in overrides.combinations() {
                let mut labels = leaves("", table);
                labels.extend(overrides.iter().cloned());
                let label = labels.join(" ");
                variants.push(Variant { label, table: table.clone(), overrides });
            }
        }
        Ok(StudyFile {
            path: path.to_owned(),
            blocks: grid.blocks,
            repeats: grid.repeats,
            vary_seeds: grid.vary_seeds,
            rest,
            datasets,
            models,
            batchers,
            batch_sizes,
            variants,
            defaults: defaults.to_owned(),
        })
    }

    /// The components of a kind that are listed, or the one that the run's own table names.
    fn choices(
        &self,
        kind: Kind,
        listed: Vec<Table>,
        rest: &mut Table,
    ) -> Result<Vec<Choice>, Diagnostic> {
        let plural = format!("{kind}s");
        let own = rest.remove(kind.key());
        let mut tables = match (listed.is_empty(), own) {
            (false, Some(_)) => {
                return Err(self.wrong(format!("give either [{kind}] or [[{plural}]], not both")));
            }
            (true, Some(Value::Table(table))) => vec![table],
            (true, _) => return Err(self.wrong(format!("there is no {kind}: add [[{plural}]]"))),
            (false, None) => listed,
        };
        let chosen = self.overrides.choices.iter().filter(|(key, _)| *key == plural);
        for (_, names) in chosen {
            tables = names
                .iter()
                .map(|name| choose(kind, name, &tables))
                .collect::<Result<_, _>>()
                .map_err(|mistake| self.within(mistake))?;
        }
        let choice = |mut table: Table| match table.remove("with") {
            None => Ok(Choice { table, with: Table::new() }),
            Some(Value::Table(with)) => Ok(Choice { table, with }),
            Some(other) => {
                Err(self.wrong(format!("with = {other} of a {kind} is no table of changes")))
            }
        };
        tables.into_iter().map(choice).collect()
    }

    fn wrong(&self, message: impl Into<String>) -> Diagnostic {
        self.source.whole(message)
    }

    fn within(&self, mistake: Diagnostic) -> Diagnostic {
        mistake.within(&self.source.file)
    }
}

/// Checks the strategies of the list where they stand.
fn check_strategies(
    source: &Source,
    root: &DeTable<'_>,
    presets: Presets<'_>,
) -> Result<(), Diagnostic> {
    let Some(listed) = root.get("batchers") else { return Ok(()) };
    for item in listed.get_ref().as_array().into_iter().flatten() {
        let value = Value::deserialize(item.clone().into_deserializer())
            .map_err(|error| source.toml(&error))?;
        strategy::of_value(&value, presets)
            .and_then(|table| strategy::takes_batch_size(&table))
            .map_err(|mistake| source.locate(mistake, &item.span()))?;
    }
    Ok(())
}

/// A batch size as TOML; its errors show where the whole run is checked.
fn batch_size(value: Value) -> Option<BatchSize> {
    value.try_into().ok()
}

/// A component of the list by its name, or one with its defaults.
fn choose(kind: Kind, name: &str, listed: &[Table]) -> Result<Table, Diagnostic> {
    let is_named = |table: &&Table| table.get("name").and_then(Value::as_str) == Some(name);
    if let Some(table) = listed.iter().find(is_named) {
        return Ok(table.clone());
    }
    if find(kind, name).is_some() {
        return Ok(Table::from_iter([("name".to_owned(), Value::from(name))]));
    }
    let known: Vec<&str> = batchlab_core::registry::components(kind).into_keys().collect();
    let near = batchlab_core::registry::suggestion(name, &known);
    Err(Diagnostic::new(format!("unknown {kind} \"{name}\"{near}"))
        .help(format!("known: {}", known.join(", "))))
}

/// No key of the file is overlooked.
fn check_keys(source: &Source, root: &DeTable<'_>) -> Result<(), Diagnostic> {
    let known: Vec<&str> = STUDY_KEYS.into_iter().chain(RUN_KEYS).collect();
    for key in root.keys() {
        let name = key.get_ref().as_ref();
        if known.contains(&name) {
            continue;
        }
        let diagnostic = source.at(&key.span(), format!("a study has no key \"{name}\""));
        return Err(match nearest(name, &known) {
            Some(near) => diagnostic.help(format!("did you mean \"{near}\"?")),
            None => diagnostic.help(format!("known: {}", known.join(", "))),
        });
    }
    Ok(())
}

/// Checks the listed components of a kind where they stand.
fn check_listed<T: Selectable + ?Sized>(
    source: &Source,
    root: &DeTable<'_>,
) -> Result<(), Diagnostic> {
    let plural = format!("{}s", T::KIND);
    let Some(value) = root.get(plural.as_str()) else { return Ok(()) };
    let Some(list) = value.get_ref().as_array() else {
        let message = format!("{plural} are a list: write [[{plural}]] with double brackets");
        return Err(source.at(&value.span(), message));
    };
    for item in list {
        let mut item = item.clone();
        if let DeValue::Table(table) = item.get_mut() {
            table.remove("with");
        }
        read::<T>(source, &item)?;
    }
    Ok(())
}

/// The keys of the grid, and the others.
fn divide(root: Spanned<DeTable<'_>>) -> (Spanned<DeTable<'_>>, Spanned<DeTable<'_>>) {
    let span = root.span();
    let (mut grid, mut rest) = (DeTable::new(), DeTable::new());
    for (key, value) in root.into_inner() {
        let is_grid = STUDY_KEYS.contains(&key.get_ref().as_ref());
        if is_grid { &mut grid } else { &mut rest }.insert(key, value);
    }
    (Spanned::new(span.clone(), grid), Spanned::new(span, rest))
}

/// Puts the leaves of `changes` into `table`.
fn merge(table: &mut Table, changes: &Table) {
    for (key, value) in changes {
        match (table.get_mut(key), value) {
            (Some(Value::Table(inner)), Value::Table(changes)) => merge(inner, changes),
            _ => {
                table.insert(key.clone(), value.clone());
            }
        }
    }
}

/// `a.b=1` for every leaf.
fn leaves(prefix: &str, table: &Table) -> Vec<String> {
    let of = |(key, value): (&String, &Value)| match value {
        Value::Table(inner) => leaves(&format!("{prefix}{key}."), inner),
        Value::String(text) => vec![format!("{prefix}{key}={text}")],
        value => vec![format!("{prefix}{key}={value}")],
    };
    table.iter().flat_map(of).collect()
}
