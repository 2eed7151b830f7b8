//! Reads a file into the lists whose product is the study.

use std::collections::BTreeSet;
use std::path::Path;

use batchlab_core::registry::{Kind, components, find, suggestion};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::grid::{Grid, RUN_KEYS, STUDY_KEYS};
use super::overrides::{Overrides, line};
use super::{Choice, MAX_RUNS, Size, StudyFile, Value, Variant, name};
use crate::alternatives::{self, give_up};
use crate::load::read_text;
use crate::misplaced::remedy;
use crate::source::{Root, Source};
use crate::{Defaults, Diagnostic, component, registry, strategy};

/// As [`StudyFile::read`].
pub(super) fn read(
    path: Option<&Path>,
    arguments: &[String],
    defaults: Defaults,
) -> Result<StudyFile, Diagnostic> {
    registry::refuse_conflicts()?;
    let content = path.map(read_text).transpose()?.unwrap_or_default();
    let file = path.map_or("the command line".to_owned(), |path| path.display().to_string());
    let root = Source::new(&file, &content, []).parse()?;
    let overrides = Overrides::new(arguments, |key| is_listed(root.get_ref(), key))?;
    let source = Source::new(&file, &content, &overrides.lines);
    let (span, mut root) = (root.span(), root.into_inner());
    check_keys(&source, &root)?;
    let mut grid = take_keys(&mut root, &STUDY_KEYS);
    // Lists from the command line replace the file's own component.
    let own_batcher = root.remove("batcher");
    let own_size = size_of(own_batcher.as_ref());
    let own_batcher = own_batcher.filter(|_| !overrides.names("batchers"));
    for change in source.changes()? {
        check_keys(&source, &change)?;
        let mut change = change;
        source.apply(&mut grid, take_keys(&mut change, &STUDY_KEYS))?;
    }
    let reading = Reading { source: &source, overrides: &overrides };
    let mut datasets = reading.choices(Kind::Dataset, &mut root, &mut grid)?;
    let models = reading.choices(Kind::Model, &mut root, &mut grid)?;
    let listed = reading.list("batchers", &mut grid)?;
    let mut lists_batchers = datasets.iter().any(|dataset| dataset.batchers.is_some());
    let mut batchers = match (listed, own_batcher) {
        (None, own) => own.into_iter().collect(),
        (Some(_), Some(_)) => {
            return Err(reading.wrong("give either [batcher] or batchers, not both"));
        }
        (Some(listed), None) => {
            lists_batchers = true;
            listed
        }
    };
    let mut has_sizes = false;
    let own_lists = datasets.iter_mut().filter_map(|dataset| dataset.batchers.as_mut());
    for batcher in own_lists.flatten().chain(&mut batchers) {
        if let (true, DeValue::Table(table)) = (overrides.names("batch_sizes"), batcher.get_mut()) {
            table.remove("batch_size");
        }
        if !matches!(batcher.get_ref(), DeValue::String(_) | DeValue::Table(_)) {
            let kind = batcher.get_ref().type_str();
            return Err(
                source.at(&batcher.span(), format!("a strategy is a label or a table, not {kind}"))
            );
        }
        strategy::strategy(&source, defaults.labels, batcher, None)?;
        component::registration(&source, Kind::Batcher, batcher)?;
        has_sizes |= size_of(Some(batcher)).is_some();
    }
    let tables = variant_tables(&source, &content, &overrides, &grid)?;
    let grid = Spanned::new(span.clone(), grid);
    let grid = Grid::deserialize(grid.clone().into_deserializer())
        .map_err(|error| source.mistake(&error, "", grid.get_ref(), alternatives::schema()))?;
    let n_batcher = |dataset: &Choice| dataset.batchers.as_ref().unwrap_or(&batchers).len();
    let size = Size([
        (datasets.len(), "data sets"),
        (models.len(), "models"),
        (datasets.iter().map(n_batcher).max().unwrap_or(0), "batchers"),
        (grid.batch_sizes.len(), "batch sizes"),
        (tables.len().saturating_mul(overrides.n_combination()), "variants"),
        (grid.repeats.get() as usize, "repeats"),
    ]);
    if size.n_run() > MAX_RUNS {
        return Err(source
            .whole(format!("this is a study of {size}, and {MAX_RUNS} are the maximum"))
            .help(
                "divide it into several studies; repeats= and batch_sizes= choose a part of it",
            ));
    }
    let variants = variants(&source, &content, &overrides, &tables)?;
    let batch_sizes = match grid.batch_sizes.as_slice() {
        [] if lists_batchers && has_sizes => vec![None],
        [] => vec![own_size],
        sizes => {
            // The sizes of a study replace that of its one batcher.
            if !lists_batchers {
                for batcher in &mut batchers {
                    if let DeValue::Table(table) = batcher.get_mut() {
                        table.remove("batch_size");
                    }
                }
            }
            sizes.iter().copied().map(Some).collect()
        }
    };
    Ok(StudyFile {
        path: path.map(Path::to_owned).unwrap_or_default(),
        blocks: grid.blocks,
        repeats: grid.repeats,
        vary_seeds: grid.vary_seeds,
        file,
        span,
        rest: root,
        datasets,
        models,
        batchers,
        lists_batchers,
        batch_sizes,
        variants,
        defaults,
    })
}

struct Reading<'a> {
    source: &'a Source,
    overrides: &'a Overrides,
}

impl Reading<'_> {
    /// A list of the study; `None` without it.
    fn list(&self, key: &str, grid: &mut Root) -> Result<Option<Vec<Value>>, Diagnostic> {
        let Some(value) = grid.remove(key) else { return Ok(None) };
        let span = value.span();
        match value.into_inner() {
            DeValue::Array(list) => Ok(Some(list.into_iter().collect())),
            _ if key == "batchers" => Err(self
                .source
                .at(&span, "batchers is a list")
                .help("write batchers = [\"static-64\", \"dynamic\"]")),
            _ => {
                let message = format!("{key} are a list: write [[{key}]] with double brackets");
                Err(self.source.at(&span, message))
            }
        }
    }

    /// The components of a kind that are listed, or the one that the run's own table names; one that is
    /// not there if there is neither.
    fn choices(
        &self,
        kind: Kind,
        root: &mut Root,
        grid: &mut Root,
    ) -> Result<Vec<Choice>, Diagnostic> {
        let plural = format!("{kind}s");
        // Lists from the command line replace the file's own component.
        let own = root.remove(kind.key()).filter(|_| !self.overrides.names(&plural));
        let mut tables = match (self.list(&plural, grid)?, own) {
            (Some(_), Some(_)) => {
                return Err(self.wrong(format!("give either [{kind}] or [[{plural}]], not both")));
            }
            (Some(listed), None) => listed,
            (None, own) => own.into_iter().collect(),
        };
        for table in &mut tables {
            if let DeValue::String(name) = table.get_ref() {
                *table.get_mut() = DeValue::Table(strategy::named(name, table));
            }
        }
        for (_, names) in self.overrides.choices.iter().filter(|(key, _)| *key == plural) {
            let choose = |name: &String| choose(kind, name, &tables);
            tables = names
                .iter()
                .map(choose)
                .collect::<Result<_, _>>()
                .map_err(|error| error.within(&self.source.file))?;
        }
        if tables.is_empty() {
            let (with, label) = (Root::new(), String::new());
            return Ok(vec![Choice { table: None, with, label, batchers: None }]);
        }
        let labels = labels(&tables);
        let labelled = tables.into_iter().zip(labels);
        labelled.map(|(table, label)| self.choice(kind, table, label)).collect()
    }

    /// A component without what a study says beside it.
    fn choice(&self, kind: Kind, mut table: Value, label: String) -> Result<Choice, Diagnostic> {
        let mut beside = match table.get_mut() {
            DeValue::Table(inner) => take_keys(inner, beside_keys(kind)),
            _ => Root::new(),
        };
        let with = match beside.remove("with").map(|with| (with.span(), with.into_inner())) {
            None => Root::new(),
            Some((_, DeValue::Table(with))) => with,
            Some((span, other)) => {
                let message = format!(
                    "with is a table of changes, such as {{ training.learning_rate = 5e-4 }}, not {}",
                    other.type_str()
                );
                return Err(self.source.at(&span, message));
            }
        };
        let batchers = self.list("batchers", &mut beside)?;
        let batchers = batchers.filter(|_| !self.overrides.names("batchers"));
        Ok(Choice { table: Some(table), with, label, batchers })
    }

    fn wrong(&self, message: impl Into<String>) -> Diagnostic {
        self.source.whole(message)
    }
}

/// Names of components, with the last part of their paths where these are not all the same.
fn labels(tables: &[Value]) -> Vec<String> {
    let path = |table: &Value| {
        let path = table.get_ref().as_table()?.get("path")?.get_ref().as_str()?;
        Some(Path::new(path).file_stem()?.to_string_lossy().into_owned())
    };
    let label = |table: &Value| {
        let (own, name) = (path(table), name(table));
        let is_namesake = |other: &&Value| super::name(other) == name;
        let is_alone = tables.iter().filter(is_namesake).all(|other| path(other) == own);
        match own {
            Some(path) if !is_alone => format!("{name} {path}"),
            _ => name.to_owned(),
        }
    };
    tables.iter().map(label).collect()
}

/// What may stand beside the options of a component.
fn beside_keys(kind: Kind) -> &'static [&'static str] {
    if kind == Kind::Dataset { &["with", "batchers"] } else { &["with"] }
}

/// The variants of the file without what the command line changes; an empty one if it has none.
fn variant_tables(
    source: &Source,
    content: &str,
    overrides: &Overrides,
    grid: &Root,
) -> Result<Vec<Root>, Diagnostic> {
    let listed = grid.get("variants").and_then(|value| value.get_ref().as_array());
    let mut tables: Vec<Root> = listed
        .into_iter()
        .flat_map(|list| list.iter())
        .filter_map(|item| item.get_ref().as_table().cloned())
        .collect();
    for table in &tables {
        check_keys(source, table)?;
    }
    // What the command line changes is the same in all variants.
    let of_variants = overrides.variants.iter().filter_map(|values| values.first());
    let of_variants: Vec<String> = of_variants.map(|change| line(change)).collect();
    let mut changes = source.changes()?;
    changes.extend(Source::new(&source.file, content, &of_variants).changes()?);
    for table in &mut tables {
        for change in &changes {
            give_up(table, change, alternatives::schema());
        }
    }
    let mut seen = BTreeSet::new();
    let mut distinct = Vec::new();
    for table in tables {
        let labels = leaves(&table).map_err(|error| source.toml(&error))?;
        if changes.is_empty() || seen.insert(labels) {
            distinct.push(table);
        }
    }
    Ok(if distinct.is_empty() { vec![Root::new()] } else { distinct })
}

/// The variants of the file with those of the command line.
fn variants(
    source: &Source,
    content: &str,
    overrides: &Overrides,
    tables: &[Root],
) -> Result<Vec<Variant>, Diagnostic> {
    // Of the whole file, so one for each combination and not for each variant.
    let of_changes = |changes: Vec<String>| {
        let source = Source::new(&source.file, content, &overrides.with(&changes));
        (changes, source)
    };
    let combinations: Vec<_> = overrides.combinations().into_iter().map(of_changes).collect();
    let mut variants = Vec::new();
    for table in tables {
        let labels = leaves(table).map_err(|error| source.toml(&error))?;
        for (changes, source) in &combinations {
            let all: Vec<&str> = labels.iter().chain(changes).map(String::as_str).collect();
            let (table, source) = (table.clone(), source.clone());
            variants.push(Variant { label: all.join(" "), table, source });
        }
    }
    Ok(variants)
}

/// Whether a file compares a list of these.
fn is_listed(root: &DeTable<'_>, key: &str) -> bool {
    let datasets = root.get("datasets").and_then(|datasets| datasets.get_ref().as_array());
    let has_batchers = |dataset: &Spanned<DeValue<'_>>| {
        dataset.get_ref().as_table().is_some_and(|table| table.contains_key("batchers"))
    };
    let lists_batchers = || {
        root.contains_key("batchers") || datasets.is_some_and(|all| all.iter().any(has_batchers))
    };
    match key {
        "batchers" => lists_batchers(),
        "batch_sizes" => root.contains_key(key) || lists_batchers(),
        _ => root.contains_key(key),
    }
}

/// The batch size of a batcher's table. Errors are reported when the whole run is checked.
fn size_of(batcher: Option<&Value>) -> Option<batchlab_core::padding::BatchSize> {
    let size = batcher?.get_ref().as_table()?.get("batch_size")?.clone();
    Deserialize::deserialize(size.into_deserializer()).ok()
}

/// The listed component of this name, or else one with its defaults.
fn choose(kind: Kind, name: &str, listed: &[Value]) -> Result<Value, Diagnostic> {
    let is_named = |value: &&Value| {
        let name_of =
            |table: &Root| table.get("name").and_then(|n| n.get_ref().as_str()) == Some(name);
        value.get_ref().as_table().is_some_and(name_of)
    };
    if let Some(table) = listed.iter().find(is_named) {
        return Ok(table.clone());
    }
    if find(kind, name).is_some() {
        let place = Spanned::new(0..0, DeValue::Boolean(true));
        return Ok(Spanned::new(0..0, DeValue::Table(strategy::named(name, &place))));
    }
    let known: Vec<&str> = components(kind).into_keys().collect();
    let near = suggestion(name, &known);
    Err(Diagnostic::new(format!("unknown {kind} \"{name}\"{near}"))
        .help(format!("known: {}", known.join(", "))))
}

/// Refuses unknown keys.
fn check_keys(source: &Source, root: &DeTable<'_>) -> Result<(), Diagnostic> {
    let known: Vec<&str> = RUN_KEYS.into_iter().chain(STUDY_KEYS).collect();
    let is_known = |name: &str| known.contains(&name);
    let Some(key) = root.keys().find(|key| !is_known(key.get_ref().as_ref())) else {
        return Ok(());
    };
    let name = key.get_ref().as_ref();
    let diagnostic = source.at(&key.span(), format!("there is no key \"{name}\" here"));
    Err(match remedy(name, &known) {
        Some(remedy) => diagnostic.help(remedy),
        None => diagnostic.help(format!("known: {}", known.join(", "))),
    })
}

/// Moves these keys out of a table.
fn take_keys(root: &mut Root, keys: &[&str]) -> Root {
    let mut taken = Root::new();
    for &key in keys {
        if let Some((key, value)) = root.remove_entry(key) {
            taken.insert(key, value);
        }
    }
    taken
}

/// `a.b=1` for every leaf.
fn leaves(table: &Root) -> Result<Vec<String>, toml::de::Error> {
    fn of(prefix: &str, table: &toml::Table) -> Vec<String> {
        let of = |(key, value): (&String, &toml::Value)| match value {
            toml::Value::Table(inner) => of(&format!("{prefix}{key}."), inner),
            toml::Value::String(text) => vec![format!("{prefix}{key}={text}")],
            value => vec![format!("{prefix}{key}={value}")],
        };
        table.iter().flat_map(of).collect()
    }
    let table = Spanned::new(0..0, table.clone());
    Ok(of("", &toml::Table::deserialize(table.into_deserializer())?))
}
