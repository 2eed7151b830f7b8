//! The lists whose product is a study, and the runs that they make.

use std::collections::BTreeSet;
use std::path::Path;

use batchlab_core::padding::BatchSize;
use batchlab_core::registry::Kind;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::grid::{Grid, STUDY_KEYS, SeedName};
use super::{Setting, StudyFile};
use crate::component::explain::{mistake, unknown_key};
use crate::component::names::{expand, expand_label, expand_name, with_batch_size};
use crate::component::{self, compatibility};
use crate::load::{self, LoadedConfig};
use crate::schema::schema;
use crate::text::diagnostic::Diagnostic;
use crate::text::{Source, Span, Table, Value, placed, take, word};
use crate::{Defaults, Labels};

/// A study holds a checked configuration of every run before the first one begins, some 10 kB each.
const MAX_RUNS: usize = 20_000;
/// Lists that the command line replaces.
const LISTS: [&str; 3] = ["datasets", "models", "batchers"];

/// A study file with everything parsed once.
pub(super) struct Lists<'t> {
    source: &'t Source,
    defaults: Defaults,
    default_tables: Table<'t>,
    pub(super) grid: Grid,
    span: Span,
    /// All tables of a run except those of data set, model and batcher.
    rest: Table<'t>,
    datasets: Vec<Choice<'t>>,
    models: Vec<Choice<'t>>,
    /// Empty if the file names none.
    batchers: Vec<Value<'t>>,
    pub(super) lists_batchers: bool,
    pub(super) batch_sizes: Vec<Option<Value<'t>>>,
    variants: Vec<Variant<'t>>,
    /// Changes of all runs.
    changes: Vec<Table<'t>>,
    /// For each key that varies one change per value, as it was typed.
    varied: Vec<Vec<(&'t str, Table<'t>)>>,
}

struct Choice<'t> {
    /// `None` if the file names none.
    table: Option<Value<'t>>,
    with: Table<'t>,
    /// Its name, with the file or folder that it reads where another one of this name reads another.
    label: String,
    /// What is compared on this data set, if it has a list of its own.
    batchers: Option<Vec<Value<'t>>>,
}

struct Variant<'t> {
    label: String,
    table: Table<'t>,
    /// Which value of each key that varies.
    values: Vec<usize>,
}

/// One combination of everything but batchers and repeats.
#[derive(Clone, Copy)]
pub(super) struct Place<'a, 't> {
    dataset: &'a Choice<'t>,
    model: &'a Choice<'t>,
    pub(super) batch_size: Option<&'a Value<'t>>,
    variant: &'a Variant<'t>,
}

/// How many of each there are in a study.
pub(super) struct Size([(usize, &'static str); 6]);

impl Size {
    pub(super) fn n_run(&self) -> usize {
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

impl<'t> Lists<'t> {
    pub(super) fn new(file: &'t StudyFile) -> Result<Self, Diagnostic> {
        let (source, labels) = (&file.source, file.defaults.labels);
        let root = source.parse()?;
        let (span, mut rest) = (root.span(), root.into_inner());
        check_keys(source, &rest)?;
        let mut study = take(&mut rest, &STUDY_KEYS);
        expand(source, labels, &mut rest)?;
        let mut own_batcher = rest.remove("batcher");
        let own_size = own_batcher.as_ref().and_then(batch_size).cloned();
        let mut given = Table::new();
        let mut changes = Vec::new();
        for line in &file.changes {
            let mut change = change(source, line, labels)?;
            let is_list = |key: &&str| change.get(*key).is_some_and(|v| v.get_ref().is_array());
            let lists: Vec<&str> = LISTS.into_iter().filter(is_list).collect();
            given.extend(take(&mut change, &lists));
            source.merge(&mut study, take(&mut change, &STUDY_KEYS), schema())?;
            changes.push(change);
        }
        let parse = |(label, line): &'t (String, Span)| {
            Ok((label.as_str(), change(source, line, labels)?))
        };
        let varied = file.varied.iter().map(|values| values.iter().map(parse).collect());
        let varied = varied.collect::<Result<Vec<Vec<_>>, Diagnostic>>()?;

        let mut datasets = choices(source, Kind::Dataset, &mut rest, &mut study, &mut given)?;
        let models = choices(source, Kind::Model, &mut rest, &mut study, &mut given)?;
        let is_given = given.contains_key("batchers");
        if is_given {
            own_batcher = None;
            study.remove("batchers");
            datasets.iter_mut().for_each(|dataset| dataset.batchers = None);
        }
        study.extend(given);
        let listed = list(source, "batchers", &mut study)?;
        let lists_batchers =
            listed.is_some() || datasets.iter().any(|dataset| dataset.batchers.is_some());
        let mut batchers: Vec<Value<'t>> = match (listed, own_batcher) {
            (Some(_), Some(_)) => {
                return Err(source.whole("give either [batcher] or batchers, not both"));
            }
            (listed, own) => listed.into_iter().flatten().chain(own).collect(),
        };
        // Sizes from the command line replace those of the strategies, and those of a study that of its one.
        let sizes = study.get("batch_sizes");
        let replaces = sizes.is_some_and(|sizes| source.is_change(&sizes.span()) || !lists_batchers);
        let own_lists = datasets.iter_mut().filter_map(|dataset| dataset.batchers.as_mut());
        let mut has_sizes = false;
        for batcher in own_lists.flatten().chain(&mut batchers) {
            expand_label(source, labels, batcher)?;
            let kind = batcher.get_ref().type_str();
            let DeValue::Table(table) = batcher.get_mut() else {
                let message = format!("a strategy is a label or a table, not {kind}");
                return Err(source.at(&batcher.span(), message));
            };
            if replaces {
                table.remove("batch_size");
            }
            component::registration(source, Kind::Batcher, batcher)?;
            has_sizes |= batch_size(batcher).is_some();
        }
        let grid = Spanned::new(span.clone(), study);
        let study = grid.get_ref();
        let listed = study.get("variants").and_then(|list| list.get_ref().as_array());
        let tables = listed.into_iter().flat_map(|list| list.iter());
        let tables: Vec<_> = tables.filter_map(|item| item.get_ref().as_table()).collect();
        tables.iter().try_for_each(|table| check_keys(source, table))?;
        let grid = Grid::deserialize(grid.clone().into_deserializer())
            .map_err(|error| mistake(source, &error, "", study, schema()))?;
        let sizes = study.get("batch_sizes").and_then(|sizes| sizes.get_ref().as_array());
        let batch_sizes = match sizes {
            Some(sizes) if !sizes.is_empty() => sizes.iter().cloned().map(Some).collect(),
            _ if lists_batchers && has_sizes => vec![None],
            _ => vec![own_size],
        };
        let tables_of_run = DeTable::parse(file.defaults.tables);
        let default_tables = tables_of_run.map_err(|error| source.whole(error.message()))?;
        let mut lists = Self {
            source,
            defaults: file.defaults,
            default_tables: placed(default_tables.into_inner(), &|_| 0..0),
            span,
            rest,
            datasets,
            models,
            batchers,
            lists_batchers,
            batch_sizes,
            variants: Vec::new(),
            changes,
            varied,
            grid,
        };
        let tables = lists.distinct(&tables);
        let n_value = lists.varied.iter().map(Vec::len);
        let n_variant = n_value.fold(tables.len(), usize::saturating_mul);
        let size = lists.size_with(n_variant);
        if size.n_run() > MAX_RUNS {
            return Err(source
                .whole(format!("this is a study of {size}, and {MAX_RUNS} are the maximum"))
                .help(
                    "divide it into several studies; repeats= and batch_sizes= choose a part of it",
                ));
        }
        for (label, mut table) in tables {
            expand(source, labels, &mut table)?;
            let variant = |values: Vec<usize>| {
                let of_values =
                    values.iter().zip(&lists.varied).map(|(&value, all)| all[value].0.to_owned());
                let label: Vec<String> =
                    label.iter().cloned().chain(of_values).collect();
                Variant { label: label.join(" "), table: table.clone(), values }
            };
            lists.variants.extend(combinations(&lists.varied).into_iter().map(variant));
        }
        Ok(lists)
    }

    /// The variants of the file with their labels; an empty one if it has none. What the command line says is
    /// the same in all of them, and those that differ in nothing else are one.
    fn distinct(&self, tables: &[&Table<'t>]) -> Vec<(Vec<String>, Table<'t>)> {
        let of_keys = self.varied.iter().filter_map(|values| Some(&values.first()?.1));
        let changes: Vec<&Table<'t>> = self.changes.iter().chain(of_keys).collect();
        let mut seen = BTreeSet::new();
        let mut all = Vec::new();
        for &table in tables {
            let mut own = table.clone();
            for &change in &changes {
                // A mistake in a change is found when it is applied to a run.
                let _ = self.source.merge(&mut own, change.clone(), schema());
            }
            let mut label = Vec::new();
            self.leaves("", &own, &mut label);
            if changes.is_empty() || seen.insert(label.clone()) {
                all.push((label, table.clone()));
            }
        }
        if all.is_empty() { vec![(Vec::new(), Table::new())] } else { all }
    }

    /// `a.b=1` for every value of the file.
    fn leaves(&self, prefix: &str, table: &Table<'_>, all: &mut Vec<String>) {
        for (key, value) in table {
            let key = key.get_ref();
            match value.get_ref() {
                DeValue::Table(inner) => self.leaves(&format!("{prefix}{key}."), inner, all),
                _ if self.source.is_change(&value.span()) => {}
                DeValue::String(text) => all.push(format!("{prefix}{key}={text}")),
                _ => all.push(format!("{prefix}{key}={}", self.source.text(&value.span()))),
            }
        }
    }

    pub(super) fn size(&self) -> Size {
        self.size_with(self.variants.len())
    }

    fn size_with(&self, n_variant: usize) -> Size {
        let n_batcher = |dataset: &Choice<'t>| {
            dataset.batchers.as_ref().unwrap_or(&self.batchers).len()
        };
        Size([
            (self.datasets.len(), "data sets"),
            (self.models.len(), "models"),
            (self.datasets.iter().map(n_batcher).max().unwrap_or(0), "batchers"),
            (self.batch_sizes.len(), "batch sizes"),
            (n_variant, "variants"),
            (self.grid.repeats.get() as usize, "repeats"),
        ])
    }

    /// Every data set with every model, batch size and variant, in this order.
    pub(super) fn places(&self) -> impl Iterator<Item = Place<'_, 't>> {
        self.datasets.iter().flat_map(move |dataset| {
            self.models.iter().flat_map(move |model| {
                self.batch_sizes.iter().flat_map(move |batch_size| {
                    let batch_size = batch_size.as_ref();
                    let place = move |variant| Place { dataset, model, batch_size, variant };
                    self.variants.iter().map(place)
                })
            })
        })
    }

    /// Every data set with every variant.
    pub(super) fn places_of_data(&self) -> impl Iterator<Item = Place<'_, 't>> {
        self.datasets.iter().flat_map(move |dataset| {
            let (model, batch_size) = (&self.models[0], self.batch_sizes[0].as_ref());
            self.variants.iter().map(move |variant| Place { dataset, model, batch_size, variant })
        })
    }

    pub(super) fn batchers<'a>(&'a self, place: Place<'a, 't>) -> &'a [Value<'t>] {
        place.dataset.batchers.as_ref().unwrap_or(&self.batchers)
    }

    pub(super) fn setting(
        &self,
        place: Place<'_, 't>,
        repeat: u32,
        path: &Path,
    ) -> Result<Setting, Diagnostic> {
        let run = |batcher| self.run(place, repeat, batcher, path);
        let runs = match self.batchers(place) {
            [] => vec![run(None)?],
            batchers => batchers.iter().map(Some).map(run).collect::<Result<_, _>>()?,
        };
        let size = place.batch_size.cloned();
        Ok(Setting {
            dataset: place.dataset.label.clone(),
            model: place.model.label.clone(),
            batch_size: size.and_then(|size| BatchSize::deserialize(size.into_deserializer()).ok()),
            variant: place.variant.label.clone(),
            repeat,
            runs,
        })
    }

    fn run(
        &self,
        place: Place<'_, 't>,
        repeat: u32,
        batcher: Option<&Value<'t>>,
        path: &Path,
    ) -> Result<LoadedConfig, Diagnostic> {
        let source = self.source;
        let mut root = self.assemble(place, batcher)?;
        let own = root.get_ref().get("batcher");
        if self.lists_batchers && own.is_some_and(|own| takes_size(own) && batch_size(own).is_none()) {
            return Err(source.whole("there is no batch size: add batch_sizes = [16, 32]"));
        }
        if self.batch_sizes.len() > 1 {
            if !self.batchers(place).iter().any(takes_size) {
                return Err(source.whole("batch_sizes differ, but no batcher has a batch size"));
            }
            // In the cells of several sizes it would be the same run, shown under the size of each.
            if let Some(size) = batcher.and_then(batch_size) {
                let message = "a batcher with a batch size of its own cannot be compared at several \
                               batch_sizes";
                return Err(source
                    .at(&size.span(), message)
                    .help("leave batch_size out here, or batch_sizes out of the study"));
            }
        }
        let mut config = load::config(source, &mut root, self.defaults)?;
        compatibility::check(&config)
            .map_err(|misfit| misfit.at(source, root.get_ref(), &self.name_of(place, batcher)))?;
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
        Ok(LoadedConfig { config, path: path.to_owned() })
    }

    /// The tables of one run.
    pub(super) fn assemble(
        &self,
        place: Place<'_, 't>,
        batcher: Option<&Value<'t>>,
    ) -> Result<Spanned<Table<'t>>, Diagnostic> {
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
            self.source.merge(&mut root, with.clone(), schema())?;
        }
        for (key, value) in &self.default_tables {
            root.entry(key.clone()).or_insert_with(|| value.clone());
        }
        if let Some(batcher) = root.get_mut("batcher") {
            expand_label(self.source, self.defaults.labels, batcher)?;
            if let Some(size) = place.batch_size {
                with_batch_size(batcher, size);
            }
        }
        let of_variant = place.variant.values.iter().zip(&self.varied);
        let of_variant = of_variant.map(|(&value, all)| &all[value].1);
        for change in self.changes.iter().chain(of_variant) {
            self.source.merge(&mut root, change.clone(), schema())?;
        }
        Ok(Spanned::new(self.span.clone(), root))
    }

    /// The name of a run in messages.
    fn name_of(&self, place: Place<'_, 't>, batcher: Option<&Value<'t>>) -> String {
        let file = &self.source.file;
        if self.places().map(|place| self.batchers(place).len()).sum::<usize>() <= 1 {
            return file.clone();
        }
        let size = place.batch_size.map(|size| format!(" B={}", self.source.text(&size.span())));
        format!(
            "{file}, the run of {} with {} in batches of {}{}",
            place.dataset.label,
            place.model.label,
            batcher.map_or("", name),
            size.unwrap_or_default(),
        )
    }
}

/// A change of a run, with names replaced by tables.
fn change<'t>(
    source: &'t Source,
    line: &Span,
    labels: Labels<'static>,
) -> Result<Table<'t>, Diagnostic> {
    let mut change = source.parse_change(line)?;
    check_keys(source, &change)?;
    expand(source, labels, &mut change)?;
    Ok(change)
}

fn check_keys(source: &Source, table: &Table<'_>) -> Result<(), Diagnostic> {
    unknown_key(source, table).map_or(Ok(()), Err)
}

/// Every choice of one value of each list, by number.
fn combinations<T>(lists: &[Vec<T>]) -> Vec<Vec<usize>> {
    lists.iter().fold(vec![Vec::new()], |all, values| {
        let with = |rest: &Vec<usize>, value| rest.iter().copied().chain([value]).collect();
        all.iter().flat_map(|rest| (0..values.len()).map(move |value| with(rest, value))).collect()
    })
}

/// A list of the study; `None` without it.
fn list<'t>(
    source: &Source,
    key: &str,
    study: &mut Table<'t>,
) -> Result<Option<Vec<Value<'t>>>, Diagnostic> {
    let Some(value) = study.remove(key) else { return Ok(None) };
    let span = value.span();
    match value.into_inner() {
        DeValue::Array(list) => Ok(Some(list.into_iter().collect())),
        _ if key == "batchers" => Err(source
            .at(&span, "batchers is a list")
            .help("write batchers = [\"static-64\", \"dynamic\"]")),
        _ => {
            let message = format!("{key} are a list: write [[{key}]] with double brackets");
            Err(source.at(&span, message))
        }
    }
}

/// The components of a kind that are listed, or the one that the run's own table names; one that is not there
/// if there is neither. The command line chooses among them, or names others.
fn choices<'t>(
    source: &Source,
    kind: Kind,
    rest: &mut Table<'t>,
    study: &mut Table<'t>,
    given: &mut Table<'t>,
) -> Result<Vec<Choice<'t>>, Diagnostic> {
    let plural = format!("{kind}s");
    let own = rest.remove(kind.key());
    let mut tables: Vec<Value<'t>> = match (list(source, &plural, study)?, own) {
        (Some(_), Some(_)) => {
            return Err(source.whole(format!("give either [{kind}] or [[{plural}]], not both")));
        }
        (listed, own) => listed.into_iter().flatten().chain(own).collect(),
    };
    if let Some(chosen) = list(source, &plural, given)? {
        let choose = |chosen: Value<'t>| {
            let is_meant = |table: &&Value<'t>| chosen.get_ref().as_str() == Some(name(table));
            tables.iter().find(is_meant).cloned().unwrap_or(chosen)
        };
        tables = chosen.into_iter().map(choose).collect();
    }
    tables.iter_mut().for_each(expand_name);
    if tables.is_empty() {
        let (with, label) = (Table::new(), String::new());
        return Ok(vec![Choice { table: None, with, label, batchers: None }]);
    }
    let labels = component_labels(&tables);
    let labelled = tables.into_iter().zip(labels);
    labelled.map(|(table, label)| choice(source, kind, table, label)).collect()
}

/// A component without what a study says beside it.
fn choice<'t>(
    source: &Source,
    kind: Kind,
    mut table: Value<'t>,
    label: String,
) -> Result<Choice<'t>, Diagnostic> {
    let keys: &[&str] = if kind == Kind::Dataset { &["with", "batchers"] } else { &["with"] };
    let mut beside = match table.get_mut() {
        DeValue::Table(inner) => take(inner, keys),
        _ => Table::new(),
    };
    let with = match beside.remove("with").map(|with| (with.span(), with.into_inner())) {
        None => Table::new(),
        Some((_, DeValue::Table(with))) => with,
        Some((span, other)) => {
            let message = format!(
                "with is a table of changes, such as {{ training.learning_rate = 5e-4 }}, not {}",
                other.type_str()
            );
            return Err(source.at(&span, message));
        }
    };
    let batchers = list(source, "batchers", &mut beside)?;
    Ok(Choice { table: Some(table), with, label, batchers })
}

fn name<'a>(component: &'a Value<'_>) -> &'a str {
    component.get_ref().as_table().and_then(|table| word(table, "name")).unwrap_or_default()
}

/// Names of components, with the last part of their paths where these are not all the same.
fn component_labels(tables: &[Value<'_>]) -> Vec<String> {
    let path = |table: &Value<'_>| {
        let path = Path::new(word(table.get_ref().as_table()?, "path")?);
        Some(path.file_stem()?.to_string_lossy().into_owned())
    };
    let label = |table: &Value<'_>| {
        let (own, of) = (path(table), name(table));
        let mut namesakes = tables.iter().filter(|other| name(other) == of);
        match &own {
            Some(file) if !namesakes.all(|other| path(other) == own) => format!("{of} {file}"),
            _ => of.to_owned(),
        }
    };
    tables.iter().map(label).collect()
}

fn batch_size<'a, 't>(batcher: &'a Value<'t>) -> Option<&'a Value<'t>> {
    batcher.get_ref().as_table()?.get("batch_size")
}

/// Whether the batcher of a table has a batch size; not if the table names no batcher.
fn takes_size(batcher: &Value<'_>) -> bool {
    let schema = &schema()["properties"]["batcher"];
    let table = batcher.get_ref().as_table();
    table.is_some_and(|table| !crate::forms::within(schema, table, "batch_size").is_null())
}

/// Whether a file compares a list of these.
pub(super) fn is_listed(root: &Table<'_>, key: &str) -> bool {
    let datasets = root.get("datasets").and_then(|datasets| datasets.get_ref().as_array());
    let has_batchers = |dataset: &Value<'_>| dataset.get_ref().get("batchers").is_some();
    let lists_batchers = || {
        root.contains_key("batchers") || datasets.is_some_and(|all| all.iter().any(has_batchers))
    };
    match key {
        "batchers" => lists_batchers(),
        "batch_sizes" => root.contains_key(key) || lists_batchers(),
        _ => root.contains_key(key),
    }
}
