//! The plugin: from a configuration to the columnar store.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use batchlab_core::graphs::{self, ManyGraphs, NodeClass, Topology};
use batchlab_core::{Dataset, DatasetError, EdgeRule, Graphs, Level, LoadContext, Needs, Provides};
use batchlab_neighbors::{EdgeCollector, NeighborError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Qm9Error;
use crate::molecule::{Element, Molecule};
use crate::properties::{TARGETS, Target};
use crate::read::Molecules;
use crate::table::{self, Table};
use crate::uncharacterized::is_uncharacterized;

/// 2,000 molecules drawn at random from QM9; `data/README.md` says how.
const SAMPLE: &[u8] = include_bytes!("../../../../data/qm9_sample.extxyz.xz");
const SAMPLE_NAME: &str = "data/qm9_sample.extxyz.xz (compiled in)";

/// The name of the target where there is none.
const NO_TARGET: &str = "none";

/// How many molecules are read between two reports of progress.
const REPORT_EVERY: u64 = 1000;

/// QM9: small organic molecules with their geometry and 15 computed properties.
///
/// Node classes are elements, numbered in the order in which they first appear in what was loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Qm9 {
    /// What to read: QM9's archive `dsgdb9nsd.xyz.tar.bz2`, which is not unpacked; its folder of
    /// `dsgdb9nsd_*.xyz` files, or all of them in one file; an extended-XYZ file; arrays as in
    /// `qm9_eV.npz`; a database of ASE with the study's keys. Texts and archives may be packed with xz, gzip or bzip2 (all told by content, not
    /// by name). A relative path is looked for where the configuration's paths are. Without it: a
    /// random sample of 2,000 real molecules that is compiled in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// A table with the properties of the molecules in `path`, where that has geometries only, or to
    /// replace those it has: `MoleculeNet`'s `gdb9.sdf.csv` or `qm9.csv`. Molecules without a row are
    /// left out and counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub properties: Option<PathBuf>,
    /// What to learn: `A`, `B`, `C` (GHz), `mu` (D), `alpha` (bohr^3), `r2` (bohr^2), `Cv`
    /// (cal/(mol K)), `homo`, `lumo`, `gap`, `zpve`, total energies `U0`, `U`, `H`, `G`, or
    /// atomisation energies `U0_atom`, `U_atom`, `H_atom`, `G_atom` (all in eV, per molecule).
    /// `none` reads geometries alone: enough for `batchlab plan` and `batchlab data`, not for a run.
    pub target: String,
    /// Which atoms are connected: `"fully-connected"` (every ordered pair of different atoms, implied
    /// and written out in the batch only; this is what the study does), `{ radius = 5.0 }` (angstrom;
    /// molecules in which no two atoms are that near are kept, without edges, and counted) or
    /// `{ nearest = 8 }` (every molecule must have more atoms than that; the smallest have 3).
    pub edges: EdgeRule,
    /// Whether to leave out the 3,054 molecules that QM9's authors list as uncharacterised. The
    /// study keeps them.
    pub drop_uncharacterized: bool,
    /// Keeps the first molecules only, counted after those left out. QM9 is sorted by size, so this
    /// is no sample of it.
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
    /// `None` where geometries alone are wanted.
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
        // The same for every rule: implied edges are measured in the batch, stored ones when they
        // are made.
        let fields = Needs {
            node_class: true,
            distance: true,
            displacement: true,
            sender_order: true,
            ..Needs::default()
        };
        Provides { level: Level::Graphs, fields, target: self.target != NO_TARGET }
    }

    fn check(&self) -> Result<(), DatasetError> {
        for (key, path) in [("path", &self.path), ("properties", &self.properties)] {
            // It would lead to the folder in which paths are looked for.
            if path.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
                return Err(DatasetError::other(Qm9Error::NoPath { key }));
            }
        }
        self.target().map(drop)
    }

    fn load(&self, ctx: &LoadContext) -> Result<Graphs, DatasetError> {
        self.check()?;
        let target = self.target()?;
        let (path, molecules) = match &self.path {
            None => (PathBuf::from(SAMPLE_NAME), Molecules::from_bytes(SAMPLE_NAME, SAMPLE)),
            Some(path) => {
                let path = ctx.resolve(path)?;
                let molecules = Molecules::open(&path);
                (path, molecules)
            }
        };
        let table = match &self.properties {
            None => None,
            Some(path) => Some(ctx.resolve(path)?),
        };
        ctx.progress.start("reading molecules", None);
        let table = table.map(|path| table::read(&path)).transpose();
        let columns = table.and_then(|table| {
            let source = Source { path: &path, table: table.as_ref(), target };
            self.collect(&source, molecules?, ctx)
        });
        ctx.progress.finish();
        columns.map_err(DatasetError::other)?.into_graphs(self, target)
    }
}

batchlab_core::register!(Dataset, Qm9, example = Qm9::default());

/// Where molecules come from, and what is wanted of them.
struct Source<'a> {
    /// For messages.
    path: &'a Path,
    table: Option<&'a Table>,
    target: Option<&'static Target>,
}

/// What is kept of the molecules, concatenated.
struct Columns {
    n_node: Vec<u32>,
    edges: EdgeCollector,
    class: NodeClasses,
    position: Vec<[f32; 3]>,
    target: Vec<f64>,
    origin: Vec<u32>,
    n_read: u64,
    n_dropped: u64,
    n_without_row: u64,
    n_repeated_row: u64,
}

/// Numbers elements in the order of their first appearance.
#[derive(Default)]
struct NodeClasses {
    value: Vec<u32>,
    atomic_number: Vec<u8>,
}

impl Qm9 {
    fn collect(
        &self,
        source: &Source<'_>,
        molecules: Molecules,
        ctx: &LoadContext,
    ) -> Result<Columns, Qm9Error> {
        let path = source.path;
        let mut columns = Columns::new(self.edges);
        columns.n_repeated_row = source.table.map_or(0, |table| table.n_repeated);
        let mut seen = HashSet::new();
        let limit = self.limit.map_or(usize::MAX, NonZeroUsize::get);
        for molecule in molecules {
            let mut molecule = molecule?;
            columns.n_read += 1;
            if columns.n_read.is_multiple_of(REPORT_EVERY) {
                ctx.progress.advance(REPORT_EVERY);
            }
            if let Some(gdb_index) = molecule.gdb_index
                && !seen.insert(gdb_index)
            {
                return Err(Qm9Error::Repeated { path: path.to_owned(), gdb_index });
            }
            let position = columns.n_read;
            let index = |option| {
                let unknown = || Qm9Error::NoIndex { path: path.to_owned(), position, option };
                molecule.gdb_index.ok_or_else(unknown)
            };
            if self.drop_uncharacterized && is_uncharacterized(index("drop_uncharacterized")?) {
                columns.n_dropped += 1;
                continue;
            }
            if let Some(table) = source.table {
                let row = table.property.get(&index("properties")?);
                if row.is_none() {
                    columns.n_without_row += 1;
                    continue;
                }
                molecule.property = row.copied();
            }
            if let Some(target) = source.target {
                let missing = || Qm9Error::NoProperties { path: path.to_owned(), position };
                columns.target.push(target.of(&molecule).ok_or_else(missing)?);
            }
            columns.push(&molecule).map_err(|source| {
                let molecule = molecule.gdb_index.map_or_else(
                    || format!("molecule {} of the file", columns.n_read),
                    |gdb_index| format!("molecule gdb {gdb_index}"),
                );
                Qm9Error::Edges { path: path.to_owned(), molecule, source }
            })?;
            if columns.n_node.len() == limit {
                break;
            }
        }
        columns.report(self, ctx);
        Ok(columns)
    }
}

impl Columns {
    fn new(rule: EdgeRule) -> Self {
        Self {
            n_node: Vec::new(),
            edges: EdgeCollector::new(rule),
            class: NodeClasses::default(),
            position: Vec::new(),
            target: Vec::new(),
            origin: Vec::new(),
            n_read: 0,
            n_dropped: 0,
            n_without_row: 0,
            n_repeated_row: 0,
        }
    }

    fn push(&mut self, molecule: &Molecule) -> Result<(), NeighborError> {
        self.edges.push(&molecule.position, None)?;
        self.n_node.push(molecule.atomic_number.len() as u32);
        for &atomic_number in &molecule.atomic_number {
            self.class.push(atomic_number);
        }
        self.position.extend(molecule.position.iter().map(|position| position.map(|x| x as f32)));
        self.origin.extend(molecule.gdb_index);
        Ok(())
    }

    fn report(&self, config: &Qm9, ctx: &LoadContext) {
        if config.drop_uncharacterized {
            ctx.progress.note(&format!(
                "{} of {} molecules are left out, because QM9's authors list them as uncharacterised",
                self.n_dropped, self.n_read
            ));
        }
        if let Some(limit) = config.limit.filter(|limit| limit.get() > self.n_node.len()) {
            ctx.progress.note(&format!(
                "`limit` is {limit}, but there are only {} molecules",
                self.n_node.len()
            ));
        }
    }

    fn into_graphs(self, config: &Qm9, target: Option<&Target>) -> Result<Graphs, DatasetError> {
        let mut notes = vec![
            ("molecules read".to_owned(), self.n_read),
            ("molecules left out as uncharacterised".to_owned(), self.n_dropped),
        ];
        if config.properties.is_some() {
            notes.extend([
                (
                    "molecules left out because the table has no row of them".to_owned(),
                    self.n_without_row,
                ),
                ("rows of the table that repeat another".to_owned(), self.n_repeated_row),
            ]);
        }
        if matches!(config.edges, EdgeRule::Radius(_)) {
            notes.extend([
                ("graphs without edges".to_owned(), self.edges.n_without_edges()),
                ("graphs with an atom without edges".to_owned(), self.edges.n_with_lone_atom()),
            ]);
        }
        let many = ManyGraphs::new(&self.n_node, self.edges.finish()?)?;
        let mut graphs = Graphs::new("qm9", Topology::Many(many))?;
        graphs.node_class = Some(self.class.into());
        graphs.position = Some(self.position);
        graphs.target =
            target.map(|target| graphs::Target::regression(target.name, target.unit, self.target));
        // Where not every molecule states its index, none is given.
        if self.origin.len() == self.n_node.len() {
            graphs.origin = self.origin;
        }
        graphs.notes = notes;
        graphs.check()?;
        Ok(graphs)
    }
}

impl NodeClasses {
    fn push(&mut self, atomic_number: u8) {
        let class =
            self.atomic_number.iter().position(|&known| known == atomic_number).unwrap_or_else(
                || {
                    self.atomic_number.push(atomic_number);
                    self.atomic_number.len() - 1
                },
            );
        self.value.push(class as u32);
    }
}

impl From<NodeClasses> for NodeClass {
    fn from(classes: NodeClasses) -> Self {
        let symbol = |&z: &u8| {
            Element::of(z).map_or_else(|| z.to_string(), |element| element.symbol.to_owned())
        };
        Self { value: classes.value, name: classes.atomic_number.iter().map(symbol).collect() }
    }
}

#[cfg(test)]
mod tests;
