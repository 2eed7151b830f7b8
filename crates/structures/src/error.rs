//! What can be wrong with files, with place and remedy.

use std::path::{Path, PathBuf};

use batchlab_core::error::excerpt;
pub(crate) use batchlab_core::error::shown;

use crate::limits::{MAX_DEPTH, MAX_ENTRY, MAX_KEY};

/// Why structures could not be read. The first fault ends the reading.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The operating system refused.
    #[error("{} cannot be read: {source}", shown_path(path))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A packed stream or an archive is broken or ends early.
    #[error(
        "{}: the packed file is damaged or cut off ({message}); copy it again",
        shown_path(path)
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the decoder says.
        message: String,
    },
    /// A file without content.
    #[error("{} is empty; copy or write it again", shown_path(path))]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A folder or an archive in which there is nothing to read.
    #[error(
        "{} holds no file of a format that is known here, {n_other} were passed over; use extended XYZ, POSCAR, CIF, \
         CSV, an ASE database, or entries of AFLOW",
        shown_path(path)
    )]
    NoneKnown {
        /// The folder or archive.
        path: PathBuf,
        /// Files, or streams of the archive, of other formats.
        n_other: u64,
    },
    /// A file in a format that is not read here.
    #[error("{} is {found}; {remedy}", shown_path(path))]
    Format {
        /// The file.
        path: PathBuf,
        /// What its first bytes look like.
        found: &'static str,
        /// What to do about it.
        remedy: &'static str,
    },
    /// An ASE database, and a program that was built without the library that reads it.
    #[cfg(not(feature = "ase"))]
    #[error(
        "{} is an SQLite database, which this program was built without; build it with \
         `cargo build --release --features ase`, or write the structures as extended XYZ",
        shown_path(path)
    )]
    NoAse {
        /// The file.
        path: PathBuf,
    },
    /// Folders without end, for example linked in a circle.
    #[error(
        "{} lies more than {MAX_DEPTH} folders deep; set the path to the folder of the structures",
        shown_path(path)
    )]
    TooDeep {
        /// The folder.
        path: PathBuf,
    },
    /// A line says something that cannot be.
    #[error("{}:{line}: {problem}", shown_path(path))]
    Line {
        /// The file; within an archive, the archive's path and the name inside.
        path: PathBuf,
        /// 1-based: a line of the unpacked text, or the row of a database.
        line: usize,
        /// What is wrong there.
        problem: Problem,
    },
}

/// What is wrong at one place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The text ends inside a structure.
    #[error("the file ends where {expected} should follow; it was cut off, copy it again")]
    Truncated {
        /// What should have come.
        expected: &'static str,
    },
    /// Bytes that are no text.
    #[error("not UTF-8 text; the file is damaged or of another format, write it again as UTF-8")]
    NotUtf8,
    /// A line, row or object without end.
    #[error("one entry is larger than {} MiB; the file is damaged or of another format", MAX_ENTRY >> 20)]
    TooLong,
    /// A structure that is none.
    #[error("a structure with 0 atoms; remove it, or correct the number of atoms")]
    NoAtoms,
    /// A number of atoms that cannot be meant.
    #[error("more than {max} atoms in one structure; correct the count, or split the structure")]
    TooManyAtoms {
        /// The largest number that is accepted.
        max: usize,
    },
    /// Fewer lines of atoms than the count.
    #[error(
        "{stated} atoms are stated, but after {found} this follows: `{value}`; correct the count or add the atoms"
    )]
    FewerAtoms {
        /// The count at the structure's beginning.
        stated: usize,
        /// Lines of atoms before this one.
        found: usize,
        /// The line found.
        value: String,
    },
    /// More lines of atoms than the count.
    #[error(
        "{stated} atoms are stated, but one more follows: `{value}`; correct the count or remove the atom"
    )]
    MoreAtoms {
        /// The count at the structure's beginning.
        stated: usize,
        /// The line found.
        value: String,
    },
    /// A line of an atom with too few or too many columns.
    #[error(
        "expected {expected} columns for an atom, found {found} in `{value}`; correct the line"
    )]
    Columns {
        /// As the format or `Properties=` says.
        expected: usize,
        /// As counted.
        found: usize,
        /// The line found.
        value: String,
    },
    /// Keys without end.
    #[error("more than {MAX_KEY} keys of one structure; the file is damaged or of another format")]
    TooManyKeys,
    /// A key that stands twice, with two values.
    #[error("the key `{value}` stands twice, with different values; remove one of them")]
    RepeatedKey {
        /// The key.
        value: String,
    },
    /// Something else should stand here.
    #[error("expected {expected}, found `{value}`; correct it")]
    Expected {
        /// What belongs there.
        expected: &'static str,
        /// What was found.
        value: String,
    },
    /// A token that should be a number.
    #[error(
        "{what} should be a finite number, found `{value}`; correct it or remove the structure"
    )]
    Number {
        /// Which quantity.
        what: &'static str,
        /// The token found.
        value: String,
    },
    /// A property that is wanted as a number.
    #[error(
        "`{key}` is `{value}`, which is no finite number; correct it, or write `nan` where there is no value"
    )]
    Property {
        /// The key or column.
        key: String,
        /// The text found.
        value: String,
    },
    /// No element of the periodic table.
    #[error("unknown element `{value}`; write a symbol such as `Fe`")]
    Element {
        /// The token found.
        value: String,
    },
    /// No formula.
    #[error("`{value}` is no formula with counts; write for example `Ag2Co2O4`")]
    Formula {
        /// The text found.
        value: String,
    },
    /// A key without which there is no structure.
    #[error("`{key}` is missing; {remedy}")]
    Missing {
        /// The key or column.
        key: &'static str,
        /// What to do about it.
        remedy: &'static str,
    },
    /// Two statements that contradict each other.
    #[error("{first} atoms by {first_key}, but {second} by {second_key}; correct one of them")]
    Disagree {
        /// What says so.
        first_key: &'static str,
        /// Number of atoms.
        first: usize,
        /// What says otherwise.
        second_key: &'static str,
        /// Number of atoms.
        second: usize,
    },
    /// Neither a molecule nor a crystal.
    #[error(
        "`pbc` is `{value}`: structures that repeat along some directions only are not supported; set it to `T T T` or `F F F`"
    )]
    PartlyPeriodic {
        /// The value found.
        value: String,
    },
    /// No such cell.
    #[error(
        "no cell has the lengths and angles {value}; lengths are in angstrom, angles in degrees"
    )]
    Cell {
        /// Lengths and angles.
        value: String,
    },
    /// Symmetry that would have to be applied.
    #[error(
        "the structure has the symmetry operation `{value}`, and only the identity is understood; write it with all atoms, in P 1"
    )]
    Symmetry {
        /// The operation found.
        value: String,
    },
    /// Disorder.
    #[error(
        "an atom with occupancy `{value}`, and only 1 is understood; leave the structure out or make it ordered"
    )]
    Occupancy {
        /// The value found.
        value: String,
    },
    /// What a parser of JSON, CSV or a database says.
    #[error("{message}; correct it or write the file again")]
    Syntax {
        /// In the parser's words.
        message: String,
    },
}

/// A path as messages show it: control characters are written out, because a terminal would take some
/// for commands.
#[must_use]
pub fn shown_path(path: &Path) -> String {
    excerpt(&path.to_string_lossy(), usize::MAX)
}

impl Problem {
    /// What a parser says, which may quote the file.
    pub(crate) fn syntax(message: impl std::fmt::Display) -> Self {
        Self::Syntax { message: excerpt(&message.to_string(), 300) }
    }
}

impl ReadError {
    /// What a decoder says.
    pub(crate) fn damaged(path: &Path, message: impl std::fmt::Display) -> Self {
        Self::Damaged { path: path.to_owned(), message: excerpt(&message.to_string(), 300) }
    }
}
