//! Errors while reading structures: location, problem and remedy.

use std::path::{Path, PathBuf};

use batchlab_core::error::excerpt;
pub(crate) use batchlab_core::error::shown;

use crate::limits::{MAX_DEPTH, MAX_ENTRY, MAX_KEY};

/// Why structures could not be read. The first error ends the reading.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    #[error("{} cannot be read: {source}", shown_path(path))]
    Io { path: PathBuf, source: std::io::Error },
    #[error(
        "{}: the packed file is damaged or cut off ({message}); copy it again",
        shown_path(path)
    )]
    Damaged { path: PathBuf, message: String },
    #[error("{} is empty; copy or write it again", shown_path(path))]
    Empty { path: PathBuf },
    #[error(
        "{} holds no file in a known format, {n_other} were skipped; use extended XYZ, POSCAR, CIF, \
         CSV, an ASE database, or entries of AFLOW",
        shown_path(path)
    )]
    NoneKnown {
        path: PathBuf,
        /// Number of files, or archive entries, in other formats.
        n_other: u64,
    },
    #[error("{} is {found}; {remedy}", shown_path(path))]
    Format { path: PathBuf, found: &'static str, remedy: &'static str },
    #[cfg(not(feature = "ase"))]
    #[error(
        "{} is an SQLite database, which this program was built without; build it with \
         `cargo build --release --features ase`, or write the structures as extended XYZ",
        shown_path(path)
    )]
    NoAse { path: PathBuf },
    #[error(
        "{} lies more than {MAX_DEPTH} folders deep; set the path to the folder of the structures",
        shown_path(path)
    )]
    TooDeep { path: PathBuf },
    #[error("{}:{line}: {problem}", shown_path(path))]
    Line {
        /// The file; for an archive entry, the archive's path and the name inside.
        path: PathBuf,
        /// 1-based: a line of the uncompressed text, or the row of a database.
        line: usize,
        problem: Problem,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    #[error("the file ends where {expected} should follow; it was cut off, copy it again")]
    Truncated { expected: &'static str },
    #[error("not UTF-8 text; the file is damaged or of another format, write it again as UTF-8")]
    NotUtf8,
    #[error("one entry is larger than {} MiB; the file is damaged or of another format", MAX_ENTRY >> 20)]
    TooLong,
    #[error("a structure with 0 atoms; remove it, or correct the number of atoms")]
    NoAtoms,
    #[error("more than {max} atoms in one structure; correct the count, or split the structure")]
    TooManyAtoms { max: usize },
    #[error(
        "{stated} atoms are stated, but after {found} this follows: `{value}`; correct the count or add the atoms"
    )]
    FewerAtoms { stated: usize, found: usize, value: String },
    #[error(
        "{stated} atoms are stated, but one more follows: `{value}`; correct the count or remove the atom"
    )]
    MoreAtoms { stated: usize, value: String },
    #[error(
        "expected {expected} columns for an atom, found {found} in `{value}`; correct the line"
    )]
    Columns { expected: usize, found: usize, value: String },
    #[error("more than {MAX_KEY} keys of one structure; the file is damaged or of another format")]
    TooManyKeys,
    #[error("the key `{value}` occurs twice, with different values; remove one of them")]
    RepeatedKey { value: String },
    #[error("expected {expected}, found `{value}`; correct it")]
    Expected { expected: &'static str, value: String },
    #[error(
        "{what} should be a finite number, found `{value}`; correct it or remove the structure"
    )]
    Number { what: &'static str, value: String },
    #[error("the column `{name}` should hold {expected}, found `{value}`; correct it")]
    Array { name: String, expected: &'static str, value: String },
    #[error(
        "`{key}` is `{value}`, which is not a finite number; correct it, or write `nan` where there is no value"
    )]
    Property { key: String, value: String },
    #[error("unknown element `{value}`; write a symbol such as `Fe`")]
    Element { value: String },
    #[error("`{value}` is not a formula with counts; write for example `Ag2Co2O4`")]
    Formula { value: String },
    #[error("`{key}` is missing; {remedy}")]
    Missing { key: &'static str, remedy: &'static str },
    #[error("{first} atoms by {first_key}, but {second} by {second_key}; correct one of them")]
    Disagree { first_key: &'static str, first: usize, second_key: &'static str, second: usize },
    #[error(
        "by `pbc` the structure repeats along vector {direction} of the cell, but there is none; add it (`Lattice`), or set \
         `pbc` to `F` there"
    )]
    NoVector {
        /// 1 to 3.
        direction: usize,
    },
    #[error(
        "no cell has the lengths and angles {value}; lengths are in angstrom, angles in degrees"
    )]
    Cell { value: String },
    #[error(
        "the symmetry `{value}` {why}; list the operations of the group that is meant, or write all atoms, in P 1"
    )]
    Symmetry { value: String, why: &'static str },
    #[error(
        "`{first}` and `{second}` are {distance} angstrom apart, images by symmetry included; correct the positions or \
         the operations, or leave out what stands twice"
    )]
    TooClose { first: String, second: String, distance: String },
    #[error(
        "`{key}` is `{value}`, and only ordered structures with all their atoms are understood; leave the structure out \
         or make it ordered"
    )]
    Disordered { key: &'static str, value: String },
    #[error("{}; {}", .0, .0.remedy())]
    Memory(#[from] batchlab_core::memory::OverBudget),
    /// The message of a JSON, CSV or database parser.
    #[error("{message}; correct it or write the file again")]
    Syntax { message: String },
}

/// A path for use in messages: control characters are escaped, because a terminal would interpret
/// some of them.
#[must_use]
pub fn shown_path(path: &Path) -> String {
    excerpt(&path.to_string_lossy(), usize::MAX)
}

impl Problem {
    pub(crate) fn syntax(message: impl std::fmt::Display) -> Self {
        Self::Syntax { message: excerpt(&message.to_string(), 300) }
    }
}

impl ReadError {
    pub(crate) fn damaged(path: &Path, message: impl std::fmt::Display) -> Self {
        Self::Damaged { path: path.to_owned(), message: excerpt(&message.to_string(), 300) }
    }
}
