//! The plugin: from a configuration to columnar storage.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use batchlab_core::{Dataset, DatasetError, EdgeRule, Graphs, Level, LoadContext, Provides};
use batchlab_neighbors::StructureCollector;
use batchlab_structures::{Entry, Names, Source, Structure, element_name, is_absent};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::AflowError;
use crate::filter::{Filter, Reason};
use crate::target::Target;

/// Number of entries between progress reports.
const REPORT_EVERY: u64 = 100;

/// AFLOW: crystals with formation enthalpies and band gaps from density functional theory.
///
/// Node classes are elements, numbered in the order of their first appearance in the loaded data.
/// Excluded entries are counted in the run's notes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Aflow {
    /// What to read: `aflowlib.json` or `aflowlib.out`, an AFLUX response, a table (CSV) with the
    /// columns `compound`, `geometry` and `positions_fractional`, an ASE database, or a directory
    /// or archive (tar, zip) of many. Text may be compressed with xz, gzip or bzip2; formats are
    /// detected by content. An entry without positions takes those of a file `CONTCAR...` in the
    /// same directory. Relative paths are resolved like all paths of the configuration.
    pub path: PathBuf,
    /// The target: `"enthalpy_formation_atom"` (eV/atom), `"Egap"` (eV) or `"metal"` (a class).
    #[serde(default)]
    pub target: Target,
    /// Which atoms to connect: `{ nearest = 12 }` or `{ radius = 5.0 }` (angstrom), across all
    /// periodic images.
    #[serde(default = "twelve_nearest")]
    pub edges: EdgeRule,
    /// Keep entries with a formation enthalpy above this, in eV/atom; entries without one are kept.
    /// The study uses -10.
    #[serde(default = "least_enthalpy")]
    pub enthalpy_above: f64,
    /// Keep entries with a formation enthalpy below this, in eV/atom; entries without one are kept.
    /// The study uses 70.
    #[serde(default = "largest_enthalpy")]
    pub enthalpy_below: f64,
    /// Keep entries computed with these kinds of density functional; `[]` keeps all. The study uses
    /// `PAW_PBE`.
    #[serde(default = "pbe")]
    pub dft_type: Vec<String>,
    /// Keep only the first crystals, counted after exclusions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<NonZeroUsize>,
}

fn twelve_nearest() -> EdgeRule {
    const TWELVE: std::num::NonZeroU32 = std::num::NonZeroU32::new(12).expect("12 is not 0");
    EdgeRule::Nearest(TWELVE)
}

const fn least_enthalpy() -> f64 {
    -10.0
}

const fn largest_enthalpy() -> f64 {
    70.0
}

fn pbe() -> Vec<String> {
    vec!["PAW_PBE".to_owned()]
}

impl Aflow {
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            target: Target::default(),
            edges: twelve_nearest(),
            enthalpy_above: least_enthalpy(),
            enthalpy_below: largest_enthalpy(),
            dft_type: pbe(),
            limit: None,
        }
    }
}

batchlab_core::register!(Dataset, Aflow, example = Aflow::new(PathBuf::from("data/aflow")));

#[typetag::serde(name = "aflow")]
impl Dataset for Aflow {
    fn provides(&self) -> Provides {
        let fields = StructureCollector::fields();
        Provides { level: Level::Graphs, fields, target: true }
    }

    fn check(&self) -> Result<(), DatasetError> {
        if self.edges == EdgeRule::FullyConnected {
            return Err(DatasetError::other(batchlab_neighbors::NeighborError::Endless));
        }
        if self.path.as_os_str().is_empty() {
            // An empty path would refer to the directory in which paths are searched.
            return Err(DatasetError::other(AflowError::NoPath));
        }
        Ok(())
    }

    fn has_classes(&self) -> bool {
        self.target == Target::Metal
    }

    fn load(&self, ctx: &LoadContext) -> Result<Graphs, DatasetError> {
        self.check()?;
        let path = ctx.resolve(&self.path)?;
        ctx.progress.start("reading crystals", None);
        let loaded = self.collect(&path, ctx);
        ctx.progress.finish();
        loaded.map_err(DatasetError::other)?.into_graphs(self.target)
    }
}

struct Crystals {
    structures: StructureCollector,
    target: Vec<f64>,
    names: Names,
    needs_target: bool,
    n_read: u64,
    n_other: u64,
    left_out: [u64; Reason::ALL.len()],
    /// The last relaxed structure read, and its directory.
    relaxed: Option<(PathBuf, Structure)>,
}

impl Aflow {
    fn collect(&self, path: &Path, ctx: &LoadContext) -> Result<Crystals, AflowError> {
        let mut filter = Filter::new(
            Some(self.enthalpy_above),
            Some(self.enthalpy_below),
            self.dft_type.clone(),
        );
        let mut crystals = Crystals::new(self.edges, path, ctx);
        let limit = self.limit.map_or(usize::MAX, NonZeroUsize::get);
        let source = Source { path, bytes: None, wanted: None, arrays: &[], memory: &ctx.memory };
        let counts = source.read(&mut |entry| {
            // Names are remembered, so that repeated entries are excluded.
            let name = |key| entry.text(key).map_or(0, str::len);
            let n_byte = 2 * (name("auid") + name("aurl")) as u64 + 128;
            ctx.memory.take(n_byte, "the names of entries")?;
            crystals.push(entry, self.target, &mut filter)?;
            if crystals.n_read.is_multiple_of(REPORT_EVERY) {
                ctx.progress.advance(REPORT_EVERY);
            }
            let is_last = crystals.target.len() == limit;
            Ok::<_, AflowError>(if is_last {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        })?;
        crystals.n_other = counts.n_other;
        for note in counts.notes() {
            ctx.progress.note(&note);
        }
        if crystals.target.is_empty() {
            let counts = Reason::ALL.iter().zip(crystals.left_out).filter(|(_, n)| *n > 0);
            let counts: Vec<String> =
                counts.map(|(reason, n)| format!("{n} {}", reason.note())).collect();
            let (path, n_read) = (path.to_owned(), crystals.n_read);
            return Err(AflowError::NothingLeft { path, n_read, counts: counts.join(", ") });
        }
        Ok(crystals)
    }
}

impl Crystals {
    fn new(rule: EdgeRule, path: &Path, ctx: &LoadContext) -> Self {
        Self {
            structures: StructureCollector::new(rule, &ctx.memory),
            target: Vec::new(),
            names: Names::new(path),
            needs_target: ctx.needs_target,
            n_read: 0,
            n_other: 0,
            left_out: [0; Reason::ALL.len()],
            relaxed: None,
        }
    }

    fn push(
        &mut self,
        mut entry: Entry,
        target: Target,
        filter: &mut Filter,
    ) -> Result<(), AflowError> {
        let structure = entry.structure.take();
        let folder = entry.path.parent().map(Path::to_owned).unwrap_or_default();
        if is_relaxed(&entry.path) {
            self.relaxed = structure.map(|structure| (folder, structure));
            return Ok(());
        }
        self.n_read += 1;
        self.names.count(&entry);
        let beside =
            self.relaxed.as_ref().filter(|(beside, _)| *beside == folder).map(|(_, found)| found);
        let structure = structure.as_ref().or(beside.filter(|found| is_of(&entry, found)));
        let value = target.of(&entry).map_err(|problem| entry.fault(problem))?;
        let value = value.or((!self.needs_target).then_some(f64::NAN));
        let rejected = filter.reject(&entry, structure.is_some(), value.is_some());
        if let Some(reason) = rejected.map_err(|problem| entry.fault(problem))? {
            self.left_out[reason as usize] += 1;
            return Ok(());
        }
        let (Some(structure), Some(value)) = (structure, value) else { return Ok(()) };
        self.structures
            .push(&structure.atomic_number, &structure.position, structure.cell.as_ref())
            .map_err(|source| AflowError::Edges {
                path: entry.path.clone(),
                line: entry.line,
                source,
            })?;
        self.target.push(value);
        self.names.keep(&entry, entry.text("auid").filter(|auid| !is_absent(auid)));
        Ok(())
    }

    fn into_graphs(self, target: Target) -> Result<Graphs, DatasetError> {
        let mut graphs = self.structures.finish("aflow", element_name)?;
        graphs.target = Some(target.column(self.target));
        graphs.name = self.names.finish();
        let mut notes = vec![("entries read".to_owned(), self.n_read)];
        notes.extend(
            Reason::ALL.iter().zip(self.left_out).map(|(reason, n)| (reason.note().to_owned(), n)),
        );
        notes.push(("skipped files in unknown formats".to_owned(), self.n_other));
        notes.append(&mut graphs.notes);
        graphs.notes = notes;
        graphs.check()?;
        Ok(graphs)
    }
}

/// Whether a file holds a structure that belongs to the entry beside it.
fn is_relaxed(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("CONTCAR"))
}

/// Whether a structure has the atoms stated by an entry.
fn is_of(entry: &Entry, structure: &Structure) -> bool {
    let stated =
        entry.text("compound").and_then(|formula| batchlab_structures::composition(formula).ok());
    stated.is_some_and(|mut stated| {
        let mut found = structure.atomic_number.clone();
        stated.sort_unstable();
        found.sort_unstable();
        stated == found
    })
}

#[cfg(test)]
mod tests;
