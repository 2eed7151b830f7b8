//! The plugin: from a configuration to columnar storage.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use batchlab_core::{
    Dataset, DatasetError, EdgeRule, Graphs, Level, LoadContext, Provides, graphs,
};
use batchlab_neighbors::StructureCollector;
use batchlab_structures::element_name;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Qm9Error;
use crate::molecule::Molecule;
use crate::properties::{TARGETS, Target};
use crate::read::{Visited, read};
use crate::table::{self, Table};
use crate::uncharacterized::is_uncharacterized;

/// 2,000 molecules drawn at random from QM9; see `data/README.md`.
const SAMPLE: &[u8] = include_bytes!("../../../../data/qm9_sample.extxyz.xz");
const SAMPLE_NAME: &str = "data/qm9_sample.extxyz.xz (compiled in)";

/// The name of the target if there is none.
const NO_TARGET: &str = "none";

/// Number of molecules between progress reports.
const REPORT_EVERY: u64 = 1000;

/// QM9: small organic molecules with their geometry and 15 computed properties.
///
/// Node classes are elements, numbered in the order of their first appearance in the loaded data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Qm9 {
    /// What to read: QM9's archive `dsgdb9nsd.xyz.tar.bz2` as it is; its directory of
    /// `dsgdb9nsd_*.xyz` files, or all of them in one file; an extended-XYZ file; arrays as in
    /// `qm9_eV.npz`; an ASE database with the study's keys. Texts and archives may be compressed
    /// with xz, gzip or bzip2 (always detected by content, not by name). Relative paths are
    /// resolved like all paths of the configuration. If omitted: a random sample of 2,000 real
    /// molecules that is compiled in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// A table with the properties of the molecules in `path`, if that has geometries only, or to
    /// replace those it has: `MoleculeNet`'s `gdb9.sdf.csv` or `qm9.csv`. Molecules without a row
    /// are excluded and counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub properties: Option<PathBuf>,
    /// The target: `A`, `B`, `C` (GHz), `mu` (D), `alpha` (bohr^3), `r2` (bohr^2), `Cv` (cal/(mol
    /// K)), `homo`, `lumo`, `gap`, `zpve`, total energies `U0`, `U`, `H`, `G`, or atomisation
    /// energies `U0_atom`, `U_atom`, `H_atom`, `G_atom` (all in eV, per molecule). `none` reads
    /// geometries only: enough for `batchlab plan` and `batchlab data`, but not for a run.
    pub target: String,
    /// Which atoms to connect: `"fully-connected"` (every ordered pair of different atoms, implicit
    /// and only materialised in the batch; used in the study), `{ radius = 5.0 }` (angstrom;
    /// molecules in which no two atoms are that near are kept without edges, and counted) or `{
    /// nearest = 8 }` (every molecule must have more atoms than that; the smallest have 3).
    pub edges: EdgeRule,
    /// Whether to exclude the 3,054 molecules that QM9's authors list as uncharacterised. The study
    /// keeps them.
    pub drop_uncharacterized: bool,
    /// Keep only the first molecules, counted after exclusions. QM9 is sorted by size, so this is
    /// not a random sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<NonZeroUsize>,
}

impl Default for Qm9 {
    fn default() -> Self {
        Self {
            path: None,
            properties: None,
            target: "U0_atom".to_owned(),
            edges: EdgeRule::default(),
            drop_uncharacterized: false,
            limit: None,
        }
    }
}

impl Qm9 {
    /// `None` if only geometries are wanted.
    fn target(&self) -> Result<Option<&'static Target>, DatasetError> {
        if self.target == NO_TARGET {
            return Ok(None);
        }
        let known = || TARGETS.iter().map(|target| target.name).chain([NO_TARGET]);
        Target::named(&self.target).map(Some).ok_or_else(|| DatasetError::UnknownTarget {
            target: self.target.clone(),
            known: known().map(str::to_owned).collect(),
        })
    }
}

#[typetag::serde(name = "qm9")]
impl Dataset for Qm9 {
    fn provides(&self) -> Provides {
        let fields = StructureCollector::fields();
        Provides { level: Level::Graphs, fields, target: self.target != NO_TARGET }
    }

    fn check(&self) -> Result<(), DatasetError> {
        for (key, path) in [("path", &self.path), ("properties", &self.properties)] {
            // An empty path would refer to the directory in which paths are searched.
            if path.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
                return Err(DatasetError::other(Qm9Error::NoPath { key }));
            }
        }
        self.target().map(drop)
    }

    fn source_keys(&self) -> &'static [&'static str] {
        &["path", "properties", "limit"]
    }

    fn load(&self, ctx: &LoadContext) -> Result<Graphs, DatasetError> {
        self.check()?;
        let target = self.target()?;
        let (path, bytes) = match &self.path {
            None => (PathBuf::from(SAMPLE_NAME), Some(SAMPLE)),
            Some(path) => (ctx.resolve(path)?, None),
        };
        let table = self.properties.as_ref().map(|path| ctx.resolve(path)).transpose()?;
        ctx.progress.start("reading molecules", None);
        let table = table.map(|path| table::read(&path, &ctx.memory)).transpose();
        let kept = table.and_then(|table| {
            let mut kept = Kept::new(self, &path, table, target, ctx);
            read(&path, bytes, &ctx.memory, &mut |molecule| kept.visit(molecule, ctx))
                .map(|()| kept)
        });
        ctx.progress.finish();
        let kept = kept.map_err(DatasetError::other)?;
        kept.report(ctx);
        kept.into_graphs()
    }
}

batchlab_core::register!(Dataset, Qm9, example = Qm9::default());

/// The kept molecules, and their data so far.
struct Kept<'a> {
    config: &'a Qm9,
    /// For messages.
    path: &'a Path,
    table: Option<Table>,
    wanted: Option<&'static Target>,
    structures: StructureCollector,
    target: Vec<f64>,
    name: Vec<String>,
    needs_target: bool,
    seen: HashSet<u32>,
    n_read: u64,
    n_dropped: u64,
    n_without_row: u64,
}

impl<'a> Kept<'a> {
    fn new(
        config: &'a Qm9,
        path: &'a Path,
        table: Option<Table>,
        wanted: Option<&'static Target>,
        ctx: &LoadContext,
    ) -> Self {
        let structures = StructureCollector::new(config.edges, &ctx.memory);
        let (target, name, seen) = (Vec::new(), Vec::new(), HashSet::new());
        let (n_read, n_dropped, n_without_row) = (0, 0, 0);
        Self {
            config,
            path,
            table,
            wanted,
            structures,
            target,
            name,
            needs_target: ctx.needs_target,
            seen,
            n_read,
            n_dropped,
            n_without_row,
        }
    }

    fn visit(&mut self, mut molecule: Molecule, ctx: &LoadContext) -> Visited {
        let path = || self.path.to_owned();
        self.n_read += 1;
        if self.n_read.is_multiple_of(REPORT_EVERY) {
            ctx.progress.advance(REPORT_EVERY);
        }
        if let Some(gdb_index) = molecule.gdb_index
            && !self.seen.insert(gdb_index)
        {
            return Err(Qm9Error::Repeated { path: path(), gdb_index });
        }
        let position = self.n_read;
        let index = |option| {
            let unknown = || Qm9Error::NoIndex { path: path(), position, option };
            molecule.gdb_index.ok_or_else(unknown)
        };
        if self.config.drop_uncharacterized && is_uncharacterized(index("drop_uncharacterized")?) {
            self.n_dropped += 1;
            return Ok(ControlFlow::Continue(()));
        }
        if let Some(table) = &self.table {
            let row = table.property.get(&index("properties")?);
            if row.is_none() && self.needs_target {
                self.n_without_row += 1;
                return Ok(ControlFlow::Continue(()));
            }
            molecule.property = row.copied();
        }
        if let Some(target) = self.wanted {
            let missing = || Qm9Error::NoProperties { path: path(), position };
            let value = target.of(&molecule).or((!self.needs_target).then_some(f64::NAN));
            self.target.push(value.ok_or_else(missing)?);
        }
        self.structures.push(&molecule.atomic_number, &molecule.position, None).map_err(
            |source| {
                let molecule = molecule.gdb_index.map_or_else(
                    || format!("molecule {position} of the file"),
                    |gdb_index| format!("molecule gdb {gdb_index}"),
                );
                Qm9Error::Edges { path: path(), molecule, source }
            },
        )?;
        let file = self.path.file_name().unwrap_or_default().display();
        self.name.push(molecule.gdb_index.map_or_else(
            || format!("{file}@{}", position - 1),
            |gdb_index| format!("gdb_{gdb_index}"),
        ));
        let is_last = self.config.limit.is_some_and(|n| n.get() == self.structures.n_graph());
        Ok(if is_last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    fn report(&self, ctx: &LoadContext) {
        if self.config.drop_uncharacterized {
            ctx.progress.note(&format!(
                "{} of {} molecules are left out, because QM9's authors list them as uncharacterised",
                self.n_dropped, self.n_read
            ));
        }
        let n_graph = self.structures.n_graph();
        if let Some(limit) = self.config.limit.filter(|limit| limit.get() > n_graph) {
            ctx.progress
                .note(&format!("`limit` is {limit}, but there are only {n_graph} molecules"));
        }
    }

    fn into_graphs(self) -> Result<Graphs, DatasetError> {
        let mut notes = vec![
            ("molecules read".to_owned(), self.n_read),
            ("molecules left out as uncharacterised".to_owned(), self.n_dropped),
        ];
        if let Some(table) = &self.table {
            let without_row = "molecules left out because the table has no row of them";
            notes.push((without_row.to_owned(), self.n_without_row));
            notes.push(("rows of the table that repeat another".to_owned(), table.n_repeated));
        }
        let mut graphs = self.structures.finish("qm9", element_name)?;
        let regression =
            |target: &Target, value| graphs::Target::regression(target.name, target.unit, value);
        graphs.target = self.wanted.map(|target| regression(target, self.target));
        graphs.name = self.name;
        notes.append(&mut graphs.notes);
        graphs.notes = notes;
        graphs.check()?;
        Ok(graphs)
    }
}

#[cfg(test)]
mod tests;
