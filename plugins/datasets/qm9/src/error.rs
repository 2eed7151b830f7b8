//! Errors of reading QM9: location, problem and remedy.

use std::path::PathBuf;

pub(crate) use batchlab_core::error::shown;
use batchlab_core::memory::OverBudget;
use batchlab_neighbors::NeighborError;
use batchlab_npz::NpzError;
use batchlab_structures::{ReadError, shown_path};

/// Why QM9 could not be read. Nothing is ever skipped: the first error ends the reading.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Qm9Error {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Arrays(#[from] NpzError),
    #[error("`{key}` is empty; set it to a file, or leave it out")]
    NoPath { key: &'static str },
    #[error(
        "{} holds no file named `dsgdb9nsd_*.xyz`, {n_other} other files were skipped; set `path` to a file of QM9, or \
         to the folder or the archive of its files",
        shown_path(path)
    )]
    NoMolecule { path: PathBuf, n_other: u64 },
    #[error("{}:{line}: {problem}", shown_path(path))]
    Line {
        path: PathBuf,
        /// 1-based: the first line of the molecule, or the row of a database.
        line: usize,
        problem: Problem,
    },
    #[error(
        "{}: molecule {position} of the file has no properties; name a table that has them as `properties` \
         (MoleculeNet's gdb9.sdf.csv), or set `target = \"none\"` to use the geometries alone",
        shown_path(path)
    )]
    NoProperties {
        path: PathBuf,
        /// 1-based, in reading order.
        position: u64,
    },
    /// An index occurs twice, so a molecule could be in two subsets of a split.
    #[error("{}: molecule gdb {gdb_index} occurs twice; remove one of the two", shown_path(path))]
    Repeated {
        path: PathBuf,
        /// QM9's 1-based index.
        gdb_index: u32,
    },
    #[error(
        "{}: molecule {position} of the file states no gdb index, so `{option}` cannot be decided; \
         leave it out, or use a file with `gdb=` keys",
        shown_path(path)
    )]
    NoIndex {
        option: &'static str,
        path: PathBuf,
        /// 1-based, in reading order.
        position: u64,
    },
    #[error("{}: {molecule}: {source}", shown_path(path))]
    Edges {
        path: PathBuf,
        /// By gdb index, or by position if it has none.
        molecule: String,
        source: NeighborError,
    },
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    #[error(transparent)]
    Value(#[from] batchlab_structures::Problem),
    #[error("{}; {}", .0, .0.remedy())]
    Memory(#[from] OverBudget),
    #[error("the molecule has no positions; name a file with geometries as `path`")]
    NoGeometry,
    #[error(
        "unknown element `{value}` (atom {atom} of the molecule); QM9 holds H, C, N, O and F only"
    )]
    UnknownElement {
        /// Which atom, 1-based.
        atom: usize,
        value: &'static str,
    },
    #[error(
        "the property {name} is missing (key `{}`); all 15 of QM9 are needed, so add it or use a complete file",
        keys.join("` or `")
    )]
    MissingProperty { name: &'static str, keys: &'static [&'static str] },
    #[error("the key `{key}` gives `{name}`, which another key gives already; remove one of them")]
    RepeatedKey { name: &'static str, key: &'static str },
    /// A crystal. Implicit edges ignore images, so they would be wrong.
    #[error(
        "the molecule is periodic: it has a cell; QM9 has no periodic molecules, so set `pbc` to `F F F`"
    )]
    Periodic,
    #[error(
        "the gdb index should be a whole number from 1 to 4294967295, found `{value}`; correct it"
    )]
    Index { value: String },
    #[error("U0 is {value}, expected {expected}; correct the file")]
    Energy { expected: &'static str, value: f64 },
    #[error("the file has {found} bytes, and at most {max} are read; check where it comes from")]
    TooLarge { found: u64, max: u64 },
    #[error("the table cannot be read: {message}")]
    Table { message: String },
    #[error("the table has no column `{name}`; its columns are: {found}")]
    Column { name: &'static str, found: String },
    #[error("gdb_{index} has other values in an earlier row; remove the wrong one")]
    OtherRow {
        /// QM9's 1-based index.
        index: u32,
    },
}
