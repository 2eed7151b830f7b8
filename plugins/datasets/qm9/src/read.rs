//! From a path to molecules: files, folders, compression, and which format a molecule is in.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Cursor};
use std::path::{Path, PathBuf};

use liblzma::bufread::XzDecoder;

use crate::error::{Problem, Qm9Error, shown};
use crate::lines::{LineFault, Lines};
use crate::molecule::{Molecule, looks_like_symbol};
use crate::{extended, raw};

/// The largest number of atoms that is believed; QM9's largest molecule has 29.
const MAX_ATOM: usize = 1000;

/// Formats that are recognised by their first bytes only to say what to do about them.
const OTHER_FORMATS: [(&[u8], &str, &str); 6] = [
    (b"BZh", "a bzip2 archive", "unpack it (`tar xjf`) and set `path` to the folder"),
    (b"\x1f\x8b", "a gzip file", "unpack it (`gunzip` or `tar xzf`)"),
    (b"PK\x03\x04", "a zip or npz archive", "unpack it, or use QM9's own files or extended XYZ"),
    (b"SQLite format 3\0", "an SQLite (ASE) database", "write it as extended XYZ"),
    (b"\x28\xb5\x2f\xfd", "a zstd file", "unpack it (`unzstd`) or pack it as xz"),
    (b"\x89HDF", "an HDF5 file", "write it as extended XYZ"),
];

/// The molecules of a file or folder in order, read one at a time.
///
/// After the first error nothing more comes.
pub struct Molecules {
    /// Files that are still to be opened, last first.
    waiting: Vec<PathBuf>,
    current: Option<Reader>,
}

/// An open file.
struct Reader {
    path: PathBuf,
    packed: bool,
    lines: Lines<Box<dyn BufRead + Send>>,
    n_molecule: usize,
    /// The atom count of the previous molecule, for messages.
    stated: usize,
}

impl Molecules {
    /// Opens one file, or every `dsgdb9nsd_*.xyz` of a folder by name.
    ///
    /// Files may be packed with xz and are recognised by content, never by name.
    pub fn open(path: &Path) -> Result<Self, Qm9Error> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => Qm9Error::NotFound { path: path.to_owned() },
            _ => Qm9Error::Io { path: path.to_owned(), source },
        };
        if !fs::metadata(path).map_err(failed)?.is_dir() {
            return Ok(Self { waiting: vec![path.to_owned()], current: None });
        }
        let mut waiting = Vec::new();
        for entry in fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_name().to_str().is_some_and(is_molecule_file) {
                waiting.push(entry.path());
            }
        }
        if waiting.is_empty() {
            return Err(Qm9Error::EmptyFolder { path: path.to_owned() });
        }
        waiting.sort_unstable_by(|a, b| b.cmp(a));
        Ok(Self { waiting, current: None })
    }

    /// Reads bytes that are in memory already; `name` stands for the path in errors.
    pub fn from_bytes(name: &str, bytes: &'static [u8]) -> Result<Self, Qm9Error> {
        let reader = Reader::new(PathBuf::from(name), Box::new(Cursor::new(bytes)))?;
        Ok(Self { waiting: Vec::new(), current: Some(reader) })
    }

    fn step(&mut self) -> Result<Option<Molecule>, Qm9Error> {
        loop {
            if let Some(reader) = &mut self.current
                && let Some(molecule) = reader.molecule()?
            {
                return Ok(Some(molecule));
            }
            let Some(path) = self.waiting.pop() else {
                self.current = None;
                return Ok(None);
            };
            let file =
                File::open(&path).map_err(|source| Qm9Error::Io { path: path.clone(), source })?;
            self.current =
                Some(Reader::new(path, Box::new(BufReader::with_capacity(1 << 16, file)))?);
        }
    }
}

impl Iterator for Molecules {
    type Item = Result<Molecule, Qm9Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            *self = Self { waiting: Vec::new(), current: None };
        }
        step.transpose()
    }
}

impl Reader {
    fn new(path: PathBuf, mut stream: Box<dyn BufRead + Send>) -> Result<Self, Qm9Error> {
        let start = match stream.fill_buf() {
            Ok(start) => start,
            Err(source) => return Err(Qm9Error::Io { path, source }),
        };
        if let Some(&(_, found, remedy)) =
            OTHER_FORMATS.iter().find(|(magic, ..)| start.starts_with(magic))
        {
            return Err(Qm9Error::OtherFormat { path, found, remedy });
        }
        if start.get(257..262) == Some(b"ustar") {
            let remedy = "unpack it (`tar xf`) and set `path` to the folder";
            return Err(Qm9Error::OtherFormat { path, found: "a tar archive", remedy });
        }
        let packed = start.starts_with(b"\xfd7zXZ\0");
        if packed {
            stream =
                Box::new(BufReader::with_capacity(1 << 16, XzDecoder::new_multi_decoder(stream)));
        }
        Ok(Self { path, packed, lines: Lines::new(stream), n_molecule: 0, stated: 0 })
    }

    /// The next molecule; `None` after the last.
    fn molecule(&mut self) -> Result<Option<Molecule>, Qm9Error> {
        match self.parse() {
            Ok(None) if self.n_molecule == 0 => {
                Err(Qm9Error::EmptyFile { path: self.path.clone() })
            }
            Ok(molecule) => {
                self.n_molecule += 1;
                Ok(molecule)
            }
            Err(fault) => {
                let (path, line) = (self.path.clone(), self.lines.number());
                Err(match fault {
                    LineFault::Problem(problem) => Qm9Error::Line { path, line, problem },
                    LineFault::Io(source) if self.packed => Qm9Error::Unpack { path, line, source },
                    LineFault::Io(source) => Qm9Error::Io { path, source },
                })
            }
        }
    }

    /// Each molecule says in its second line which format it is in.
    fn parse(&mut self) -> Result<Option<Molecule>, LineFault> {
        let Some(first) = self.lines.next_filled()? else {
            return Ok(None);
        };
        let n_node = match first.parse() {
            Ok(n_node) if (1..=MAX_ATOM).contains(&n_node) => n_node,
            _ => {
                let value = shown(first);
                return Err(self.no_count(value).into());
            }
        };
        self.stated = n_node;
        let second = self.lines.expect("the line of properties")?;
        if raw::is_comment(second) {
            let comment = raw::comment(second)?;
            return raw::rest(&mut self.lines, n_node, comment).map(Some);
        }
        if extended::is_comment(second) {
            let comment = extended::comment(second)?;
            return extended::rest(&mut self.lines, n_node, &comment).map(Some);
        }
        Err(Problem::Comment { value: shown(second) }.into())
    }

    /// What a line says that stands in the place of a count.
    fn no_count(&self, value: String) -> Problem {
        let is_atom = value.split_whitespace().count() >= 4
            && value.split_whitespace().any(looks_like_symbol);
        if self.n_molecule > 0 && is_atom {
            return Problem::TooManyAtoms { stated: self.stated, value };
        }
        Problem::AtomCount { value, max: MAX_ATOM }
    }
}

/// Whether a name in a folder is that of one of QM9's files.
fn is_molecule_file(name: &str) -> bool {
    let stem = name.strip_suffix(".xz").unwrap_or(name);
    stem.starts_with("dsgdb9nsd_") && stem.strip_suffix(".xyz").is_some()
}

#[cfg(test)]
mod tests;
