//! What can be wrong with the files, with the place and the remedy.

use std::path::PathBuf;

pub(crate) use batchlab_core::error::shown;
use batchlab_neighbors::NeighborError;
use batchlab_npz::NpzError;
use batchlab_structures::{ReadError, shown_path};

/// Why QM9 could not be read. Nothing is ever skipped: the first fault ends the reading.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Qm9Error {
    /// A file cannot be read, is damaged, or of no known format.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Arrays that cannot be used.
    #[error(transparent)]
    Arrays(#[from] NpzError),
    /// No path at all.
    #[error("`{key}` is empty; set it to a file, or leave it out")]
    NoPath {
        /// The key of the configuration.
        key: &'static str,
    },
    /// A folder or an archive without a single molecule.
    #[error(
        "{} holds no file named `dsgdb9nsd_*.xyz`, {n_other} others were passed over; set `path` to a file of QM9, or \
         to the folder or the archive of its files",
        shown_path(path)
    )]
    NoMolecule {
        /// The folder or archive.
        path: PathBuf,
        /// Files of other names.
        n_other: u64,
    },
    /// A molecule, or a row of the table of properties, says something that cannot be.
    #[error("{}:{line}: {problem}", shown_path(path))]
    Line {
        /// The file.
        path: PathBuf,
        /// 1-based: the line in which the molecule begins, or the row of a database.
        line: usize,
        /// What is wrong there.
        problem: Problem,
    },
    /// There is nothing to learn from.
    #[error(
        "{}: molecule {position} of the file has no properties; name a table that has them as `properties` \
         (MoleculeNet's gdb9.sdf.csv), or set `target = \"none\"` to use the geometries alone",
        shown_path(path)
    )]
    NoProperties {
        /// The file or folder.
        path: PathBuf,
        /// 1-based, in reading order.
        position: u64,
    },
    /// One index occurs twice, so that a molecule could sit in two subsets of a split.
    #[error("{}: molecule gdb {gdb_index} occurs twice; remove one of the two", shown_path(path))]
    Repeated {
        /// The file or folder.
        path: PathBuf,
        /// QM9's 1-based index.
        gdb_index: u32,
    },
    /// The molecule cannot be looked up in the list of uncharacterised ones.
    #[error(
        "{}: molecule {position} of the file states no gdb index, so `{option}` cannot be decided; \
         leave it out, or use a file with `gdb=` keys",
        shown_path(path)
    )]
    NoIndex {
        /// The option that needs it.
        option: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// 1-based, in reading order.
        position: u64,
    },
    /// The atoms of a molecule cannot be connected as the option `edges` says.
    #[error("{}: {molecule}: {source}", shown_path(path))]
    Edges {
        /// The file or folder.
        path: PathBuf,
        /// By gdb index, or by its place where it states none.
        molecule: String,
        /// What is wrong with it.
        source: NeighborError,
    },
}

/// What is wrong with one molecule or one row of the table.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// A value that is no number.
    #[error(transparent)]
    Value(#[from] batchlab_structures::Problem),
    /// No atoms at all.
    #[error("the molecule has no positions; name a file with geometries as `path`")]
    NoGeometry,
    /// An element outside QM9.
    #[error(
        "unknown element `{value}` (atom {atom} of the molecule); QM9 holds H, C, N, O and F only"
    )]
    UnknownElement {
        /// Which atom, 1-based.
        atom: usize,
        /// Its symbol.
        value: &'static str,
    },
    /// One of the 15 properties is absent.
    #[error(
        "the property {name} is missing (key `{}`); all 15 of QM9 are needed, so add it or use a complete file",
        keys.join("` or `")
    )]
    MissingProperty {
        /// The name used here.
        name: &'static str,
        /// The keys that are understood.
        keys: &'static [&'static str],
    },
    /// Two keys of one property.
    #[error("the key `{key}` gives `{name}`, which another key gives already; remove one of them")]
    RepeatedKey {
        /// The property.
        name: &'static str,
        /// The second key.
        key: &'static str,
    },
    /// A crystal. Implied edges know no images, so they would be wrong.
    #[error(
        "the molecule is periodic: it has a cell; QM9 has no periodic molecules, so set `pbc` to `F F F`"
    )]
    Periodic,
    /// The index is no index.
    #[error(
        "the gdb index should be a whole number from 1 to 4294967295, found `{value}`; correct it"
    )]
    Index {
        /// The token found.
        value: String,
    },
    /// An energy in no known unit.
    #[error("U0 is {value}, expected {expected}; correct the file")]
    Energy {
        /// What is understood.
        expected: &'static str,
        /// The value.
        value: f64,
    },
    /// A table that is longer than any of QM9.
    #[error(
        "the file has {found} bytes, and more than {max} are not believed; check where it comes from"
    )]
    TooLarge {
        /// Its length.
        found: u64,
        /// The limit.
        max: u64,
    },
    /// A table that cannot be split into rows and columns.
    #[error("the table cannot be read: {message}")]
    Table {
        /// What the reader says.
        message: String,
    },
    /// A table without a column.
    #[error("the table has no column `{name}`; its columns are: {found}")]
    Column {
        /// The column that is needed.
        name: &'static str,
        /// What there is.
        found: String,
    },
    /// Two rows of one molecule contradict each other.
    #[error("gdb_{index} has other values in an earlier row; remove the wrong one")]
    OtherRow {
        /// QM9's 1-based index.
        index: u32,
    },
}
