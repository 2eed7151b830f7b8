//! The lists whose product is a study.

use std::path::Path;

use batchlab_core::registry::Kind;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::StudyFile;
use super::grid::{Grid, STUDY_KEYS};
use super::strategy::Strategy;
use super::variants::Variant;
use crate::Defaults;
use crate::component;
use crate::component::explain::{mistake, unknown_key};
use crate::component::names::{Labels, expand, expand_label, expand_name};
use crate::schema::schema;
use crate::text::diagnostic::Diagnostic;
use crate::text::merge::Inline;
use crate::text::{Source, Span, Table, Value, placed, take, word};

/// A study holds the checked configuration of every run before the first one starts, some 10 kB
/// each.
const MAX_RUNS: usize = 20_000;
/// Lists that the command line replaces.
const LISTS: [&str; 3] = ["datasets", "models", "batchers"];

/// A study file, fully parsed.
pub(super) struct Lists<'t> {
    pub(super) source: &'t Source,
    pub(super) defaults: Defaults,
    pub(super) default_tables: Table<'t>,
    pub(super) grid: Grid,
    pub(super) span: Span,
    /// All tables of a run except those of data set, model and batcher.
    pub(super) rest: Table<'t>,
    pub(super) datasets: Vec<Choice<'t>>,
    pub(super) models: Vec<Choice<'t>>,
    /// Empty if the file names none.
    pub(super) batchers: Vec<Strategy<'t>>,
    /// Whether strategies are given as a list, rather than a single one.
    pub(super) is_compared: bool,
    pub(super) batch_sizes: Vec<Option<Value<'t>>>,
    pub(super) variants: Vec<Variant<'t>>,
    /// Overrides of all runs.
    pub(super) changes: Vec<Table<'t>>,
    /// For each varied key, one override per value, along with the typed text.
    pub(super) varied: Vec<Vec<(&'t str, Table<'t>)>>,
}

pub(super) struct Choice<'t> {
    /// `None` if the file names none.
    pub(super) table: Option<Value<'t>>,
    pub(super) with: Table<'t>,
    /// Its name, plus the file or directory it reads if others of this name read another.
    pub(super) label: String,
    /// Its own list of strategies to compare, if any.
    pub(super) batchers: Option<Vec<Strategy<'t>>>,
}

/// The size of each dimension of a study.
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
            source.merge(&mut study, take(&mut change, &STUDY_KEYS), schema(), Inline::Replaces)?;
            changes.push(change);
        }
        let parse =
            |(label, line): &'t (String, Span)| Ok((label.as_str(), change(source, line, labels)?));
        let varied = file.varied.iter().map(|values| values.iter().map(parse).collect());
        let varied = varied.collect::<Result<Vec<Vec<_>>, Diagnostic>>()?;

        let mut datasets = choices(source, Kind::Dataset, &mut rest, &mut study, &mut given)?;
        let models = choices(source, Kind::Model, &mut rest, &mut study, &mut given)?;
        if given.contains_key("batchers") {
            own_batcher = None;
            study.remove("batchers");
            for dataset in &mut datasets {
                dataset.batchers = None;
            }
        }
        study.extend(given);
        let listed = list(source, "batchers", &mut study)?;
        let is_compared = listed.is_some() || datasets.iter().any(|of| of.batchers.is_some());
        if listed.is_some() && own_batcher.is_some() {
            return Err(source.whole("give either [batcher] or batchers, not both"));
        }
        let listed = listed.into_iter().flatten().chain(own_batcher);
        let mut batchers =
            listed.map(|table| Strategy::new(source, table)).collect::<Result<Vec<_>, _>>()?;
        // Sizes from the command line replace those of the strategies; sizes of a study replace
        // that of its single strategy.
        let sizes = study.get("batch_sizes").map(Spanned::span);
        let replaces = sizes.is_some_and(|span| source.is_change(&span) || !is_compared);
        let own_lists = datasets.iter_mut().filter_map(|dataset| dataset.batchers.as_mut());
        let mut has_sizes = false;
        for batcher in own_lists.flatten().chain(&mut batchers) {
            check_batcher(source, labels, &mut batcher.table, replaces)?;
            has_sizes |= batch_size(&batcher.table).is_some();
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
            _ if is_compared && has_sizes => vec![None],
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
            is_compared,
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
        lists.variants = lists.combined(&tables);
        Ok(lists)
    }

    pub(super) fn size(&self) -> Size {
        self.size_with(self.variants.len())
    }

    fn size_with(&self, n_variant: usize) -> Size {
        let n_batcher =
            |dataset: &Choice<'t>| dataset.batchers.as_ref().unwrap_or(&self.batchers).len();
        Size([
            (self.datasets.len(), "data sets"),
            (self.models.len(), "models"),
            (self.datasets.iter().map(n_batcher).max().unwrap_or(0), "batchers"),
            (self.batch_sizes.len(), "batch sizes"),
            (n_variant, "variants"),
            (self.grid.repeats.get() as usize, "repeats"),
        ])
    }
}

/// An override of a run, with names replaced by tables.
pub(super) fn change<'t>(
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

/// A list of the study; `None` if missing.
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

/// Checks that a strategy to be compared is a table that names a batcher.
fn check_batcher(
    source: &Source,
    labels: Labels<'static>,
    batcher: &mut Value<'_>,
    replaces_size: bool,
) -> Result<(), Diagnostic> {
    expand_label(source, labels, batcher)?;
    let (span, kind) = (batcher.span(), batcher.get_ref().type_str());
    let DeValue::Table(table) = batcher.get_mut() else {
        return Err(source.at(&span, format!("a strategy is a label or a table, not {kind}")));
    };
    if replaces_size {
        table.remove("batch_size");
    }
    component::registration(source, Kind::Batcher, batcher).map(drop)
}

/// The listed components of a kind, or the one named by the run's own table; a placeholder if there
/// is neither. The command line selects among them, or names others.
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

/// A component, separated from the study's keys in its table.
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
    let with = with(source, &mut beside)?;
    let batchers = list(source, "batchers", &mut beside)?;
    let strategy = |table| Strategy::new(source, table);
    let batchers = batchers.map(|tables| tables.into_iter().map(strategy).collect()).transpose()?;
    Ok(Choice { table: Some(table), with, label, batchers })
}

/// The changes of a component's runs, taken from its table.
pub(super) fn with<'t>(source: &Source, table: &mut Table<'t>) -> Result<Table<'t>, Diagnostic> {
    match table.remove("with").map(|with| (with.span(), with.into_inner())) {
        None => Ok(Table::new()),
        Some((_, DeValue::Table(with))) => Ok(with),
        Some((span, other)) => {
            let message = format!(
                "with is a table of changes, such as {{ training.learning_rate = 5e-4 }}, not {}",
                other.type_str()
            );
            Err(source.at(&span, message))
        }
    }
}

pub(super) fn name<'a>(component: &'a Value<'_>) -> &'a str {
    component.get_ref().as_table().and_then(|table| word(table, "name")).unwrap_or_default()
}

/// Names of components, with the last part of their paths if those differ.
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

pub(super) fn batch_size<'a, 't>(batcher: &'a Value<'t>) -> Option<&'a Value<'t>> {
    batcher.get_ref().as_table()?.get("batch_size")
}

/// Whether a file has a list of these to compare.
pub(super) fn is_listed(root: &Table<'_>, key: &str) -> bool {
    let datasets = root.get("datasets").and_then(|datasets| datasets.get_ref().as_array());
    let has_batchers = |dataset: &Value<'_>| dataset.get_ref().get("batchers").is_some();
    let is_compared = || {
        root.contains_key("batchers") || datasets.is_some_and(|all| all.iter().any(has_batchers))
    };
    match key {
        "batchers" => is_compared(),
        "batch_sizes" => root.contains_key(key) || is_compared(),
        _ => root.contains_key(key),
    }
}
