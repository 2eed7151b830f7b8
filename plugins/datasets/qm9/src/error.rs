//! What can be wrong with the files, with the place and the remedy.

use std::path::PathBuf;

pub(crate) use batchlab_core::error::shown;
use batchlab_neighbors::NeighborError;
use batchlab_npz::NpzError;
use batchlab_structures::shown_path;

/// Why QM9 could not be read. Nothing is ever skipped: the first fault ends the reading.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Qm9Error {
    /// The path leads nowhere.
    #[error(
        "{} does not exist; set `path` to a QM9 file or to the folder of its `dsgdb9nsd_*.xyz` files",
        shown_path(path)
    )]
    NotFound {
        /// As given.
        path: PathBuf,
    },
    /// No path at all.
    #[error("`{key}` is empty; set it to a file, or leave it out")]
    NoPath {
        /// The key of the configuration.
        key: &'static str,
    },
    /// The operating system refused.
    #[error("{} cannot be read: {source}", shown_path(path))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A folder without a single molecule.
    #[error(
        "the folder {} holds no file named `dsgdb9nsd_*.xyz`; unpack QM9's archive there, or name one file",
        shown_path(path)
    )]
    EmptyFolder {
        /// The folder.
        path: PathBuf,
    },
    /// A file without a single molecule.
    #[error("{} holds no molecule: it is empty; copy or unpack it again", shown_path(path))]
    EmptyFile {
        /// The file.
        path: PathBuf,
    },
    /// A file that is recognised, by its first bytes, as something that is not read here.
    #[error("{} is {found}, which is not read here; {remedy}", shown_path(path))]
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// What the first bytes say.
        found: &'static str,
        /// What to do about it.
        remedy: &'static str,
    },
    /// The compressed stream is broken or ends early.
    #[error(
        "{}, in what unpacks to line {line}: the packed stream is damaged or cut off ({source}); copy it again",
        shown_path(path)
    )]
    Unpack {
        /// The file.
        path: PathBuf,
        /// 1-based, of the unpacked text.
        line: usize,
        /// What the decoder says.
        source: std::io::Error,
    },
    /// A line says something that cannot be.
    #[error("{}, line {line}: {problem}", shown_path(path))]
    Line {
        /// The file.
        path: PathBuf,
        /// 1-based, of the (unpacked) text.
        line: usize,
        /// What is wrong there.
        problem: Problem,
    },
    /// The archive is broken or ends early.
    #[error("{}: {problem}; fetch or copy the archive again", shown_path(path))]
    Archive {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Arrays that cannot be used.
    #[error(transparent)]
    Arrays(#[from] NpzError),
    /// A database that cannot be read.
    #[error(transparent)]
    Database(Box<batchlab_structures::ReadError>),
    /// A row of a database says something that cannot be.
    #[error("{}, row {row}: {problem}", shown_path(path))]
    Row {
        /// The file.
        path: PathBuf,
        /// 1-based.
        row: usize,
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

/// What is wrong in one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The text ends inside a molecule.
    #[error("the file ends where {expected} should follow; it was cut off, copy it again")]
    Truncated {
        /// What should have come.
        expected: &'static str,
    },
    /// A line that is longer than any of QM9.
    #[error("the line has more than {max} bytes; the file is damaged or of another format")]
    LongLine {
        /// The limit.
        max: u64,
    },
    /// A file that is longer than any of QM9.
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
    /// Bytes that are no text.
    #[error("not UTF-8 text; QM9 is plain ASCII, so the file is damaged or of another format")]
    NotUtf8,
    /// No molecule can start like this.
    #[error(
        "expected the number of atoms (1 to {max}), found `{value}`; a molecule starts with this number on a line of \
         its own, and nothing may stand between molecules"
    )]
    AtomCount {
        /// The line found.
        value: String,
        /// The largest number accepted.
        max: usize,
    },
    /// Fewer lines of atoms than the count.
    #[error(
        "{stated} atoms are stated, but after {found} this follows: `{value}`; correct the count or add the atoms"
    )]
    TooFewAtoms {
        /// The count in the molecule's first line.
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
    TooManyAtoms {
        /// The count in the molecule's first line.
        stated: usize,
        /// The line found.
        value: String,
    },
    /// The second line of a molecule belongs to neither format.
    #[error(
        "expected `gdb <index>` and 15 numbers (QM9's own files) or `Properties=... key=value ...` (extended XYZ), \
         found `{value}`; plain XYZ has no properties and cannot be used"
    )]
    Comment {
        /// The line found.
        value: String,
    },
    /// A token that should be a number.
    #[error("{what} should be a number, found `{value}`; correct it")]
    NotANumber {
        /// Which quantity.
        what: &'static str,
        /// The token found.
        value: String,
    },
    /// Infinite, not a number, or too large for single precision.
    #[error("{what} is not finite: `{value}`; correct it or remove the molecule")]
    NotFinite {
        /// Which quantity.
        what: &'static str,
        /// The token found.
        value: String,
    },
    /// An element outside QM9.
    #[error("unknown element `{value}`; QM9 holds H, C, N, O and F only")]
    UnknownElement {
        /// The token found.
        value: String,
    },
    /// A line of an atom has too few or too many columns.
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
    /// One of the 15 properties is absent.
    #[error(
        "the property {name} is missing ({spellings}); all 15 of QM9 are needed, so add it or use a complete file"
    )]
    MissingProperty {
        /// The name used here.
        name: &'static str,
        /// Which keys or which position are understood.
        spellings: &'static str,
    },
    /// A key that stands twice.
    #[error(
        "the key `{value}` gives a value that another key of this line gives already; remove one of them"
    )]
    RepeatedKey {
        /// The key found second.
        value: String,
    },
    /// `Properties=` is absent or has no species or position.
    #[error(
        "`Properties=` must contain `species:S:1` and `pos:R:3`, found `{value}`; write for example `Properties=species:S:1:pos:R:3`"
    )]
    Properties {
        /// The value found, empty where the key is absent.
        value: String,
    },
    /// A crystal.
    #[error(
        "the molecule is periodic: `pbc` is `{value}`; QM9 has no periodic molecules, so set it to `F F F`"
    )]
    Periodic {
        /// The value found.
        value: String,
    },
    /// A quoted value without its second quotation mark.
    #[error("the quotation mark before `{value}` is never closed; add the second one")]
    OpenQuote {
        /// The text after the mark.
        value: String,
    },
    /// The index is no index.
    #[error(
        "the gdb index should be a whole number from 1 to 4294967295, found `{value}`; correct it"
    )]
    Index {
        /// The token found.
        value: String,
    },
    /// Something after the last expected token.
    #[error("nothing should follow {after}, found `{value}`; remove it")]
    Trailing {
        /// What stood before.
        after: &'static str,
        /// What was found.
        value: String,
    },
    /// A line of a raw file that is not the one which belongs there.
    #[error("expected {expected}, found `{value}`; a line is missing or damaged")]
    Expected {
        /// What belongs there.
        expected: &'static str,
        /// The line found.
        value: String,
    },
}
