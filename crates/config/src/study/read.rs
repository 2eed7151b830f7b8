//! Reads a study file into the lists whose product is the study.

use std::path::Path;

use batchlab_core::padding::BatchSize;
use batchlab_core::registry::{Kind, Selectable, find, nearest};
use batchlab_core::{Dataset, Model};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::grid::{Grid, RUN_KEYS, STUDY_KEYS};
use super::overrides::Overrides;
use super::{Choice, StudyFile, Variant};
use crate::load::read_text;
use crate::source::Source;
use crate::strategy::{self, Presets};
use crate::{Diagnostic, component};

/// As [`StudyFile::read`].
pub(super) fn read(
    path: &Path,
    arguments: &[String],
    defaults: &str,
    presets: Presets<'_>,
) -> Result<StudyFile, Diagnostic> {
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
    let reading = Reading { source: &source, overrides: &overrides, presets };
    reading.lists(path, grid, rest, defaults)
}

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
        // Batchers from the command line replace that of the file.
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
                    .map_err(|error| self.within(error))?
            }
        };
        let mut takes_size = false;
        for batcher in &batchers {
            takes_size |=
                strategy::takes_batch_size(batcher).map_err(|error| self.within(error))?;
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
                .map_err(|error| self.within(error))?;
        }
        let choice = |mut table: Table| match table.remove("with") {
            None => Ok(Choice { table, with: Table::new() }),
            Some(Value::Table(with)) => Ok(Choice { table, with }),
            Some(other) => {
                Err(self.wrong(format!("with = {other} of a {kind} is not a table of changes")))
            }
        };
        tables.into_iter().map(choice).collect()
    }

    fn wrong(&self, message: impl Into<String>) -> Diagnostic {
        self.source.whole(message)
    }

    fn within(&self, error: Diagnostic) -> Diagnostic {
        error.within(&self.source.file)
    }
}

/// Checks the listed strategies, so that errors have their place.
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
            .map_err(|error| source.locate(error, &item.span()))?;
    }
    Ok(())
}

/// Errors are reported when the whole run is checked.
fn batch_size(value: Value) -> Option<BatchSize> {
    value.try_into().ok()
}

/// The listed component of this name, or else one with its defaults.
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

/// Refuses unknown keys.
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

/// Checks the listed components of a kind, so that errors have their place.
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
        component::read::<T>(source, &item)?;
    }
    Ok(())
}

fn divide(root: Spanned<DeTable<'_>>) -> (Spanned<DeTable<'_>>, Spanned<DeTable<'_>>) {
    let span = root.span();
    let (mut grid, mut rest) = (DeTable::new(), DeTable::new());
    for (key, value) in root.into_inner() {
        let is_grid = STUDY_KEYS.contains(&key.get_ref().as_ref());
        if is_grid { &mut grid } else { &mut rest }.insert(key, value);
    }
    (Spanned::new(span.clone(), grid), Spanned::new(span, rest))
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
