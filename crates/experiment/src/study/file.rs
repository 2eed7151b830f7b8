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

use std::path::Path;

use batchlab_core::hash::sha256;
use batchlab_core::padding::BatchSize;
use batchlab_core::registry::{Kind, find, nearest};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::grid::{Grid, RUN_KEYS, SeedName};
use super::overrides::Overrides;
use super::{Blocks, Cell, CellFacts, Study};
use crate::config::strategy::{self, Presets};
use crate::config::{Diagnostic, STUDY_KEYS, Source, check_component, get};
use crate::{LoadedConfig, RunError};

impl Study {
    /// Reads a study, or a run's configuration, which is a study of one cell. `arguments` are changes
    /// from the command line, `key=value` or `key=a,b,c`; `defaults` is as for
    /// [`LoadedConfig::read`], `presets` are labels of strategies.
    ///
    /// Every combination is checked before this returns.
    ///
    /// # Errors
    /// [`RunError::Config`] with a diagnostic for the first mistake.
    pub fn read(
        path: &Path,
        arguments: &[String],
        defaults: &str,
        presets: Presets<'_>,
    ) -> Result<Self, RunError> {
        let content = crate::config::read_text(path)?;
        let overrides = Overrides::new(arguments)?;
        let expansion = Expansion { path, defaults, presets };
        expansion.study(&content, &overrides)
    }
}

/// What every step of reading needs.
struct Expansion<'a> {
    path: &'a Path,
    defaults: &'a str,
    presets: Presets<'a>,
}

/// The lists whose product is the study.
struct Lists {
    /// All tables of a run but those of the components.
    rest: Table,
    datasets: Vec<Choice>,
    models: Vec<Choice>,
    batchers: Vec<Table>,
    batch_sizes: Vec<Option<BatchSize>>,
    variants: Vec<Variant>,
}

/// A component and what it changes of its runs.
struct Choice {
    table: Table,
    with: Table,
}

/// Changes of a run from the file and from the command line.
#[derive(Clone)]
struct Variant {
    label: String,
    table: Table,
    overrides: Vec<String>,
}

impl Expansion<'_> {
    fn study(&self, content: &str, overrides: &Overrides) -> Result<Study, RunError> {
        let source = Source::new(&self.path.display().to_string(), content, &overrides.plain);
        let fail = |diagnostic: Diagnostic| RunError::Config(diagnostic.to_string());
        let root = source.parse("").map_err(fail)?;
        check_keys(&source, root.get_ref()).map_err(fail)?;
        check_components(&source, root.get_ref()).map_err(fail)?;
        self.check_strategies(&source, root.get_ref()).map_err(fail)?;
        let (grid, rest) = divide(root);
        let grid =
            Grid::deserialize(grid.into_deserializer()).map_err(|e| fail(source.toml(&e)))?;
        let rest =
            Table::deserialize(rest.into_deserializer()).map_err(|e| fail(source.toml(&e)))?;

        let (blocks, repeats, vary) = (grid.blocks, grid.repeats, grid.vary_seeds.clone());
        let lists = self.lists(grid, rest, overrides)?;
        let mut cells = Vec::new();
        // All repeats of one setting lie far apart, and an early look has something of everything.
        for repeat in 0..repeats.get() {
            for dataset in &lists.datasets {
                for model in &lists.models {
                    for &size in &lists.batch_sizes {
                        for variant in &lists.variants {
                            let place = Place { lists: &lists, dataset, model, size, variant };
                            cells.push(self.cell(&place, repeat, &vary, &blocks)?);
                        }
                    }
                }
            }
        }
        for (n, cell) in cells.iter().enumerate() {
            if cells[..n].iter().any(|other| other.facts.id == cell.facts.id) {
                let title = cell.facts.title();
                return Err(self.wrong(&format!("{title} is there twice; list each value once")));
            }
        }
        let name = cells.first().map_or_else(String::new, |cell| cell.runs[0].config.study.clone());
        Ok(Study { name, path: self.path.to_owned(), blocks, cells })
    }

    fn lists(&self, grid: Grid, mut rest: Table, overrides: &Overrides) -> Result<Lists, RunError> {
        let datasets = self.choices(Kind::Dataset, grid.datasets, &mut rest, overrides)?;
        let models = self.choices(Kind::Model, grid.models, &mut rest, overrides)?;
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
                listed.iter().map(table).collect::<Result<_, _>>().map_err(|e| self.wrong(&e))?
            }
        };
        let mut takes_size = false;
        for batcher in &batchers {
            takes_size |= strategy::takes_batch_size(batcher).map_err(|e| self.wrong(&e))?;
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
        Ok(Lists { rest, datasets, models, batchers, batch_sizes, variants })
    }

    /// The components of a kind that are listed, or the one that the run's own table names.
    fn choices(
        &self,
        kind: Kind,
        listed: Vec<Table>,
        rest: &mut Table,
        overrides: &Overrides,
    ) -> Result<Vec<Choice>, RunError> {
        let plural = format!("{kind}s");
        let own = rest.remove(kind.key());
        let mut tables = match (listed.is_empty(), own) {
            (false, Some(_)) => {
                return Err(self.wrong(&format!("give either [{kind}] or [[{plural}]], not both")));
            }
            (true, Some(Value::Table(table))) => vec![table],
            (true, _) => return Err(self.wrong(&format!("there is no {kind}: add [[{plural}]]"))),
            (false, None) => listed,
        };
        let chosen = overrides.choices.iter().filter(|(key, _)| *key == plural);
        for (_, names) in chosen {
            tables = names
                .iter()
                .map(|name| choose(kind, name, &tables))
                .collect::<Result<_, _>>()
                .map_err(|e| self.wrong(&e))?;
        }
        let choice = |mut table: Table| match table.remove("with") {
            None => Ok(Choice { table, with: Table::new() }),
            Some(Value::Table(with)) => Ok(Choice { table, with }),
            Some(other) => {
                Err(self.wrong(&format!("with = {other} of a {kind} is no table of changes")))
            }
        };
        tables.into_iter().map(choice).collect()
    }

    fn cell(
        &self,
        place: &Place<'_>,
        repeat: u32,
        vary: &[SeedName],
        blocks: &Blocks,
    ) -> Result<Cell, RunError> {
        let mut runs = Vec::new();
        for batcher in &place.lists.batchers {
            let mut run = self.run(place, batcher)?;
            let seeds = &mut run.config.training.seeds;
            for name in vary {
                let seed = match name {
                    SeedName::Split => &mut seeds.split,
                    SeedName::Order => &mut seeds.order,
                    SeedName::Init => &mut seeds.init,
                };
                *seed = seed.wrapping_add(repeat.into());
            }
            runs.push(run);
        }
        let first = &runs[0].config;
        let name = |table: &Table| {
            table.get("name").and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let (dataset, model) = (name(&place.dataset.table), name(&place.model.table));
        let batchers: Vec<String> = runs.iter().map(|run| run.config.batcher.label()).collect();
        let configs: Vec<String> = runs.iter().map(LoadedConfig::to_json).collect();
        if let Some(twice) = (1..configs.len()).find(|&i| configs[..i].contains(&configs[i])) {
            let message = format!("batcher \"{}\" is listed twice", batchers[twice]);
            return Err(self.wrong(&message));
        }
        let hashed = (&configs, blocks, repeat);
        let hash = sha256(serde_json::to_string(&hashed).unwrap_or_default().as_bytes());
        let sizes: Vec<_> = runs.iter().map(|run| run.config.batcher.batch_size()).collect();
        let common = sizes.iter().all(|size| *size == sizes[0]).then_some(sizes[0]).flatten();
        let batch_size = common.or(place.size.map(BatchSize::get));
        let size = batch_size.map(|size| format!("-B{size}")).unwrap_or_default();
        let facts = CellFacts {
            id: format!("{dataset}-{model}{size}-r{repeat}-{}", &hash[..8]),
            dataset,
            model,
            batch_size,
            repeat,
            variant: place.variant.label.clone(),
            batchers,
            n_step: first.training.steps.get(),
            device: first.device.clone(),
        };
        Ok(Cell { facts, runs })
    }

    /// One run, checked like one that is given in a file of its own.
    fn run(&self, place: &Place<'_>, batcher: &Table) -> Result<LoadedConfig, RunError> {
        let batcher = match place.size {
            None => batcher.clone(),
            Some(size) => {
                strategy::with_batch_size(batcher.clone(), size).map_err(|e| self.wrong(&e))?
            }
        };
        let mut run = place.lists.rest.clone();
        run.insert("dataset".into(), place.dataset.table.clone().into());
        run.insert("model".into(), place.model.table.clone().into());
        run.insert("batcher".into(), batcher.clone().into());
        for changes in [&place.dataset.with, &place.model.with, &place.variant.table] {
            merge(&mut run, changes);
        }
        let text = toml::to_string(&run).map_err(|error| self.wrong(&error.to_string()))?;
        let of = |table: &Table, key: &str| {
            table.get(key).map(|value| value.to_string().replace('"', "")).unwrap_or_default()
        };
        let size = place.size.map(|size| format!(" B={}", size.get())).unwrap_or_default();
        let name = format!(
            "{}, the run of {} with {} in batches of {}{size}",
            self.path.display(),
            of(&place.dataset.table, "name"),
            of(&place.model.table, "name"),
            of(&batcher, "name"),
        );
        let config = crate::config::parse(&name, &text, &place.variant.overrides, self.defaults)?;
        Ok(LoadedConfig { config, path: self.path.to_owned() })
    }

    /// Checks the strategies of the list where they stand.
    fn check_strategies(&self, source: &Source, root: &DeTable<'_>) -> Result<(), Diagnostic> {
        let Some(listed) = get(root, "batchers") else { return Ok(()) };
        for item in listed.get_ref().as_array().into_iter().flatten() {
            let value = Value::deserialize(item.clone().into_deserializer())
                .map_err(|error| source.toml(&error))?;
            strategy::of_value(&value, self.presets)
                .and_then(|table| strategy::takes_batch_size(&table))
                .map_err(|message| source.at(&item.span(), message))?;
        }
        Ok(())
    }

    fn wrong(&self, message: &str) -> RunError {
        RunError::Config(format!("error: {}: {message}", self.path.display()))
    }
}

/// One combination.
struct Place<'a> {
    lists: &'a Lists,
    dataset: &'a Choice,
    model: &'a Choice,
    size: Option<BatchSize>,
    variant: &'a Variant,
}

/// A batch size as TOML; its errors show where the whole run is checked.
fn batch_size(value: Value) -> Option<BatchSize> {
    value.try_into().ok()
}

/// A component of the list by its name, or one with its defaults.
fn choose(kind: Kind, name: &str, listed: &[Table]) -> Result<Table, String> {
    let is_named = |table: &&Table| table.get("name").and_then(Value::as_str) == Some(name);
    if let Some(table) = listed.iter().find(is_named) {
        return Ok(table.clone());
    }
    if find(kind, name).is_some() {
        return Ok(Table::from_iter([("name".to_owned(), Value::from(name))]));
    }
    let known: Vec<&str> = batchlab_core::registry::components(kind).into_keys().collect();
    let near = batchlab_core::registry::suggestion(name, &known);
    Err(format!("unknown {kind} \"{name}\"{near}\nknown: {}", known.join(", ")))
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

/// Checks data sets and models where they stand.
fn check_components(source: &Source, root: &DeTable<'_>) -> Result<(), Diagnostic> {
    for kind in [Kind::Dataset, Kind::Model] {
        let plural = format!("{kind}s");
        let Some(value) = get(root, &plural) else { continue };
        let Some(list) = value.get_ref().as_array() else {
            let message = format!("{plural} are a list: write [[{plural}]] with double brackets");
            return Err(source.at(&value.span(), message));
        };
        for item in list {
            let mut table = item.clone();
            if let DeValue::Table(inner) = table.get_mut() {
                *inner = std::mem::take(inner)
                    .into_iter()
                    .filter(|(key, _)| key.get_ref() != "with")
                    .collect();
            }
            check_component(source, kind, &table.span(), table.get_ref())?;
        }
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
