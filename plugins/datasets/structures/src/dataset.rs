//! The plugin: from a configuration to columnar storage.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use batchlab_core::graphs::Target;
use batchlab_core::{
    BatchFields, Dataset, DatasetError, EdgeRule, Graphs, Level, LoadContext, Provides,
};
use batchlab_neighbors::StructureCollector;
use batchlab_structures::{Entry, Names, Read, ReadError, Source, element_name, is_absent, number};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::StructuresError;
use crate::fields::Fields;
use crate::table::{Row, Rows};

/// The name of the target if there is none.
const NO_TARGET: &str = "none";

/// Number of structures between progress reports.
const REPORT_EVERY: u64 = 100;

/// Your own molecules and crystals, with any of their properties as target.
///
/// Node classes are elements, numbered in the order of their first appearance in the loaded data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Structures {
    /// What to read: extended XYZ, POSCAR or CONTCAR, CIF, a table (CSV) with CIF text in the
    /// column `cif`, an ASE database, or a directory or archive (tar, zip) of many. Text may be
    /// compressed with xz, gzip or bzip2; formats are detected by content. Relative paths are
    /// resolved like all paths of the configuration.
    pub path: PathBuf,
    /// The target: a property of the structures (a key of extended XYZ, a column of the CSV, a key
    /// of the database), or, with `table`, a column of that table. `none` reads geometries only:
    /// enough for `batchlab plan` and `batchlab data`, but not for a run.
    pub target: String,
    /// Unit of the target, for axes and tables; nothing is converted. Classes have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Class names, which make the target a class instead of a number: all its values, in the order
    /// of their indices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// Custom fields, for models that request them by name: columns of extended XYZ and arrays of
    /// an ASE database with a row per atom, such as `forces`, and keys or columns with one or more
    /// numbers per structure, such as `dipole`. `missing` applies to them too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// A table that holds the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<Table>,
    /// What to do with a structure without target (no such key, no row, or an empty value or one
    /// such as `nan`): `"refuse"` stops loading, `"skip"` excludes and counts it. A value that is
    /// not a number always stops loading.
    #[serde(default)]
    pub missing: Missing,
    /// What to do with a slab or a wire, which is periodic in some directions only: `"keep"`
    /// searches for neighbours along these directions, `"skip"` excludes and counts it.
    #[serde(default)]
    pub partly_periodic: PartlyPeriodic,
    /// Which atoms to connect: `{ radius = 5.0 }` (angstrom), `{ nearest = 12 }`, both across all
    /// periodic images, or `"fully-connected"` (molecules only).
    #[serde(default = "five_angstrom")]
    pub edges: EdgeRule,
    /// Keep only the first structures, counted after exclusions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<NonZeroUsize>,
}

/// A table of targets, as CSV with a header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// The file.
    pub path: PathBuf,
    /// The column that identifies structures. A structure is identified by its property of that
    /// name, by its file name, with or without the extension, or by its directory: the first of
    /// these that has a row is used. Names are compared verbatim: `007` is not `7`.
    pub id: String,
}

/// What to do with a structure without target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Missing {
    /// Stop loading.
    #[default]
    Refuse,
    /// Exclude and count it.
    Skip,
}

/// What to do with a structure that is periodic in some directions only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PartlyPeriodic {
    /// Connect neighbours along these directions.
    #[default]
    Keep,
    /// Exclude and count it.
    Skip,
}

fn five_angstrom() -> EdgeRule {
    5.0.try_into().map(EdgeRule::Radius).expect("5 is a radius")
}

impl Structures {
    #[must_use]
    pub fn new(path: PathBuf, target: &str) -> Self {
        Self {
            path,
            target: target.to_owned(),
            unit: None,
            classes: Vec::new(),
            fields: Vec::new(),
            table: None,
            missing: Missing::default(),
            partly_periodic: PartlyPeriodic::default(),
            edges: five_angstrom(),
            limit: None,
        }
    }
}

batchlab_core::register!(
    Dataset,
    Structures,
    example = Structures {
        unit: Some("hartree".to_owned()),
        ..Structures::new(PathBuf::from("data/qm9_sample.extxyz.xz"), "gap")
    }
);

#[typetag::serde(name = "structures")]
impl Dataset for Structures {
    fn provides(&self) -> Provides {
        let fields = BatchFields { own: self.fields.clone(), ..StructureCollector::fields() };
        Provides { level: Level::Graphs, fields, target: self.target != NO_TARGET }
    }

    fn check(&self) -> Result<(), DatasetError> {
        let table = self.table.as_ref().map(|table| &table.path);
        for (key, path) in [("path", Some(&self.path)), ("table.path", table)] {
            // An empty path would refer to the directory in which paths are searched.
            if path.is_some_and(|path| path.as_os_str().is_empty()) {
                return Err(DatasetError::other(StructuresError::NoPath { key }));
            }
        }
        match &self.unit {
            Some(unit) if !self.classes.is_empty() => {
                Err(DatasetError::other(StructuresError::UnitOfClasses { unit: unit.clone() }))
            }
            _ => Ok(()),
        }
    }

    fn source_keys(&self) -> &'static [&'static str] {
        &["path", "table", "missing", "partly_periodic", "limit"]
    }

    fn has_classes(&self) -> bool {
        !self.classes.is_empty()
    }

    fn load(&self, ctx: &LoadContext) -> Result<Graphs, DatasetError> {
        self.check()?;
        let path = ctx.resolve(&self.path)?;
        let rows = match &self.table {
            Some(table) if self.target != NO_TARGET => {
                let path = ctx.resolve(&table.path)?;
                let rows = Rows::read(&path, &table.id, &self.target, &ctx.memory);
                Some(rows.map_err(DatasetError::other)?)
            }
            _ => None,
        };
        ctx.progress.start("reading structures", None);
        let loaded = self.collect(&path, rows.as_ref(), ctx);
        ctx.progress.finish();
        let (collected, counts) = loaded.map_err(DatasetError::other)?;
        for note in counts.notes() {
            ctx.progress.note(&note);
        }
        self.graphs(collected, &counts)
    }
}

struct Collected {
    structures: StructureCollector,
    target: Vec<f64>,
    fields: Fields,
    names: Names,
    needs_target: bool,
    n_read: u64,
    n_skipped: u64,
    n_without_field: u64,
    n_without_target: u64,
    n_partly_periodic: u64,
    /// Number of structures that used each row of the table.
    n_taken: HashMap<u64, u64>,
}

/// The text of a structure's target.
struct Found<'a> {
    path: &'a Path,
    line: usize,
    value: &'a str,
    /// The line of the table and the name in it, if the target comes from there.
    row: Option<(u64, &'a str)>,
}

impl Structures {
    fn collect(
        &self,
        path: &Path,
        rows: Option<&Rows>,
        ctx: &LoadContext,
    ) -> Result<(Collected, Read), StructuresError> {
        let structures = StructureCollector::new(self.edges, &ctx.memory);
        let mut kept = Collected {
            structures,
            target: Vec::new(),
            fields: Fields::new(&self.fields, &ctx.memory),
            names: Names::new(path),
            needs_target: ctx.needs_target,
            n_read: 0,
            n_skipped: 0,
            n_without_field: 0,
            n_without_target: 0,
            n_partly_periodic: 0,
            n_taken: HashMap::new(),
        };
        let limit = self.limit.map_or(usize::MAX, NonZeroUsize::get);
        let source =
            Source { path, bytes: None, wanted: None, arrays: &self.fields, memory: &ctx.memory };
        let counts = source.read(&mut |entry| {
            self.push(&entry, rows, &mut kept)?;
            if kept.n_read.is_multiple_of(REPORT_EVERY) {
                ctx.progress.advance(REPORT_EVERY);
            }
            let is_last = kept.target.len() == limit;
            Ok::<_, StructuresError>(if is_last {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        })?;
        if kept.target.is_empty() {
            let Collected { n_read, n_partly_periodic, .. } = kept;
            let (path, target) = (path.to_owned(), self.target.clone());
            return Err(StructuresError::NothingLeft { path, n_read, n_partly_periodic, target });
        }
        Ok((kept, counts))
    }

    fn push(
        &self,
        entry: &Entry,
        rows: Option<&Rows>,
        kept: &mut Collected,
    ) -> Result<(), StructuresError> {
        let Some(structure) = &entry.structure else { return Ok(()) };
        kept.n_read += 1;
        kept.names.count(entry);
        if self.partly_periodic == PartlyPeriodic::Skip && structure.is_partly_periodic() {
            kept.n_partly_periodic += 1;
            return Ok(());
        }
        let own = match kept.fields.of(entry, structure, kept.needs_target) {
            Err(error) if self.missing == Missing::Skip && error.is_absence() => {
                kept.n_without_field += 1;
                return Ok(());
            }
            own => own?,
        };
        let found = match self.target.as_str() {
            NO_TARGET => Ok((f64::NAN, None)),
            _ => self.found(entry, rows).and_then(|found| Ok((self.value(&found)?, found.row))),
        };
        let (value, row) = match found {
            Ok(found) => found,
            Err(error) if self.missing == Missing::Skip && error.is_absence() => {
                kept.n_skipped += 1;
                return Ok(());
            }
            Err(error) if !kept.needs_target && error.is_absence() => {
                kept.n_without_target += 1;
                (f64::NAN, self.found(entry, rows).ok().and_then(|found| found.row))
            }
            Err(error) => return Err(error),
        };
        if let Some((line, _)) = row {
            *kept.n_taken.entry(line).or_default() += 1;
        }
        kept.structures
            .push(&structure.atomic_number, &structure.position, structure.cell.as_ref())
            .map_err(|source| StructuresError::Edges {
                path: entry.path.clone(),
                line: entry.line,
                source,
            })?;
        kept.fields.push(own, structure.atomic_number.len())?;
        kept.target.push(value);
        kept.names.keep(entry, row.map(|(_, name)| name));
        Ok(())
    }

    /// The text of a structure's target, and its location.
    fn found<'a>(
        &self,
        entry: &'a Entry,
        rows: Option<&'a Rows>,
    ) -> Result<Found<'a>, StructuresError> {
        if let (Some(rows), Some(table)) = (rows, &self.table) {
            let tried = names(entry, &table.id);
            let Some((name, Row { line, value })) = rows.find(&tried) else {
                return Err(StructuresError::NoRow {
                    path: entry.path.clone(),
                    line: entry.line,
                    tried,
                });
            };
            return Ok(Found {
                path: &rows.path,
                line: *line as usize,
                value,
                row: Some((*line, name)),
            });
        }
        let value = entry.text(&self.target).ok_or_else(|| StructuresError::NoTarget {
            path: entry.path.clone(),
            line: entry.line,
            target: self.target.clone(),
            known: entry.property.keys().cloned().collect(),
        })?;
        Ok(Found { path: &entry.path, line: entry.line, value, row: None })
    }

    /// The target of a structure: a number, or its class index.
    fn value(&self, found: &Found<'_>) -> Result<f64, StructuresError> {
        let (path, line, value) = (found.path.to_owned(), found.line, found.value.to_owned());
        if self.classes.is_empty() {
            let read = number(&self.target, &value);
            let target = self.target.clone();
            return match read {
                Ok(Some(number)) => Ok(number),
                Ok(None) => Err(StructuresError::NoValue { path, line, target, value }),
                Err(problem) => Err(ReadError::Line { path, line, problem }.into()),
            };
        }
        match self.classes.iter().position(|class| *class == value) {
            Some(class) => Ok(class as f64),
            None if is_absent(&value) => {
                let target = self.target.clone();
                Err(StructuresError::NoValue { path, line, target, value })
            }
            None => {
                let classes = self.classes.clone();
                Err(StructuresError::NoClass { path, line, value, classes })
            }
        }
    }

    fn graphs(&self, kept: Collected, counts: &Read) -> Result<Graphs, DatasetError> {
        let mut graphs = kept.structures.finish("structures", element_name)?;
        graphs.target = (self.target != NO_TARGET).then(|| {
            if self.classes.is_empty() {
                Target::regression(&self.target, self.unit.as_deref(), kept.target)
            } else {
                Target::classes(&self.target, self.classes.clone(), kept.target)
            }
        });
        graphs.own = kept.fields.finish();
        graphs.name = kept.names.finish();
        let mut notes = vec![
            ("structures read".to_owned(), kept.n_read),
            ("structures left out without target".to_owned(), kept.n_skipped),
            ("structures left out as partly periodic".to_owned(), kept.n_partly_periodic),
            ("skipped files in unknown formats".to_owned(), counts.n_other),
            ("skipped CIF blocks without atoms".to_owned(), counts.n_block),
        ];
        if !kept.needs_target {
            notes.push(("structures without target".to_owned(), kept.n_without_target));
        }
        if !self.fields.is_empty() {
            notes.push(("structures left out without a field".to_owned(), kept.n_without_field));
        }
        if self.table.is_some() {
            let shared = kept.n_taken.values().filter(|n| **n > 1).sum();
            notes.push(("structures that share a row of the table".to_owned(), shared));
        }
        notes.append(&mut graphs.notes);
        graphs.notes = notes;
        graphs.check()?;
        Ok(graphs)
    }
}

/// The possible names of a structure in a table.
fn names(entry: &Entry, id: &str) -> Vec<String> {
    let property = entry.text(id).map(|value| value.trim().to_owned());
    let text =
        |part: Option<&std::ffi::OsStr>| part.and_then(|part| part.to_str()).map(str::to_owned);
    let path = &entry.path;
    let folder = path.parent().and_then(Path::file_name);
    [property, text(path.file_name()), text(path.file_stem()), text(folder)]
        .into_iter()
        .flatten()
        .filter(|name| !name.is_empty())
        .collect()
}

#[cfg(test)]
mod tests;
