//! From a path to molecules: files, folders, compression, and which format a molecule is in.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek};
use std::path::{Path, PathBuf};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};

use crate::archive::{Archive, BLOCK, is_archive, is_molecule};
use crate::arrays::Arrays;
use crate::error::{Problem, Qm9Error, shown};
use crate::lines::{LineFault, Lines};
use crate::molecule::{Molecule, looks_like_symbol};
use crate::{database, extended, raw};

/// The largest number of atoms that is believed; QM9's largest molecule has 29.
pub(crate) const MAX_ATOM: usize = 1000;

/// A packed file may ask for this much memory to be unpacked; xz at its highest level needs 65 MB.
const MAX_UNPACK_MEMORY: u64 = 1 << 28;

/// Formats that are recognised by their first bytes only to say what to do about them.
const OTHER_FORMATS: [(&[u8], &str, &str); 2] = [
    (b"\x28\xb5\x2f\xfd", "a zstd file", "unpack it (`unzstd`) or pack it as xz"),
    (b"\x89HDF", "an HDF5 file", "write it as extended XYZ"),
];

/// The molecules of a file, folder or archive in order, read one at a time.
///
/// After the first error nothing more comes.
pub struct Molecules {
    /// Files that are still to be opened, last first.
    waiting: Vec<PathBuf>,
    archive: Option<Archive>,
    current: Option<Current>,
}

/// What molecules come from.
enum Current {
    Text(Reader),
    Arrays(Box<Arrays>),
    Database(std::vec::IntoIter<Molecule>),
}

/// What a file turned out to be.
enum Opened {
    Archive(Archive),
    Current(Current),
}

/// An open text.
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
    /// Files are recognised by content, never by name: text in either format, plain or packed with
    /// xz, gzip or bzip2; QM9's own archive, packed or not, which is read as a stream; arrays in an
    /// npz file; a database of ASE.
    pub fn open(path: &Path) -> Result<Self, Qm9Error> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => Qm9Error::NotFound { path: path.to_owned() },
            _ => Qm9Error::Io { path: path.to_owned(), source },
        };
        if !fs::metadata(path).map_err(failed)?.is_dir() {
            // Whether it is a file is looked at when it is opened.
            return Ok(Self { waiting: vec![path.to_owned()], archive: None, current: None });
        }
        let mut waiting = Vec::new();
        for entry in fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let name = name.to_str().map(|name| name.strip_suffix(".xz").unwrap_or(name));
            if name.is_some_and(is_molecule) {
                waiting.push(entry.path());
            }
        }
        if waiting.is_empty() {
            return Err(Qm9Error::EmptyFolder { path: path.to_owned() });
        }
        waiting.sort_unstable_by(|a, b| b.cmp(a));
        Ok(Self { waiting, archive: None, current: None })
    }

    /// Reads bytes that are in memory already; `name` stands for the path in errors.
    pub fn from_bytes(name: &str, bytes: &'static [u8]) -> Result<Self, Qm9Error> {
        let mut molecules = Self::none();
        molecules.begin(open_stream(Path::new(name), Cursor::new(bytes))?);
        Ok(molecules)
    }

    fn none() -> Self {
        Self { waiting: Vec::new(), archive: None, current: None }
    }

    fn begin(&mut self, opened: Opened) {
        match opened {
            Opened::Archive(archive) => self.archive = Some(archive),
            Opened::Current(current) => self.current = Some(current),
        }
    }

    fn step(&mut self) -> Result<Option<Molecule>, Qm9Error> {
        loop {
            if let Some(current) = &mut self.current
                && let Some(molecule) = current.molecule()?
            {
                return Ok(Some(molecule));
            }
            self.current = None;
            if let Some(archive) = &mut self.archive
                && let Some((path, content)) = archive.next()?
            {
                let reader = Reader::new(path, Box::new(Cursor::new(content)), true);
                self.current = Some(Current::Text(reader));
                continue;
            }
            self.archive = None;
            let Some(path) = self.waiting.pop() else {
                return Ok(None);
            };
            let failed = |source| Qm9Error::Io { path: path.clone(), source };
            if !fs::metadata(&path).map_err(failed)?.is_file() {
                // Opening a pipe or a socket could wait for ever.
                let (found, remedy) = ("no file and no folder", "name one of these");
                return Err(Qm9Error::OtherFormat { path, found, remedy });
            }
            let file = File::open(&path).map_err(failed)?;
            self.begin(open_stream(&path, BufReader::with_capacity(1 << 16, file))?);
        }
    }
}

impl Iterator for Molecules {
    type Item = Result<Molecule, Qm9Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            *self = Self::none();
        }
        step.transpose()
    }
}

/// Looks at the first bytes, and unpacks.
fn open_stream(
    path: &Path,
    mut stream: impl BufRead + Seek + Send + 'static,
) -> Result<Opened, Qm9Error> {
    let failed = |source| Qm9Error::Io { path: path.to_owned(), source };
    let start = stream.fill_buf().map_err(failed)?;
    if let Some(&(_, found, remedy)) =
        OTHER_FORMATS.iter().find(|(magic, ..)| start.starts_with(magic))
    {
        return Err(Qm9Error::OtherFormat { path: path.to_owned(), found, remedy });
    }
    if start.starts_with(b"PK\x03\x04") {
        return Ok(Opened::Current(Current::Arrays(Box::new(Arrays::read(path, stream)?))));
    }
    if start.starts_with(b"SQLite format 3\0") {
        let molecules = database::read(path)?.into_iter();
        return Ok(Opened::Current(Current::Database(molecules)));
    }
    let unpacked: Box<dyn Read + Send> = if start.starts_with(b"\xfd7zXZ\0") {
        let decoder = Stream::new_stream_decoder(MAX_UNPACK_MEMORY, CONCATENATED)
            .map_err(|error| failed(error.into()))?;
        Box::new(XzDecoder::new_stream(stream, decoder))
    } else if start.starts_with(b"\x1f\x8b") {
        Box::new(MultiGzDecoder::new(stream))
    } else if start.starts_with(b"BZh") {
        Box::new(MultiBzDecoder::new(stream))
    } else {
        return content(path, Box::new(stream), false);
    };
    content(path, Box::new(BufReader::with_capacity(1 << 16, unpacked)), true)
}

/// An archive, or a text.
fn content(
    path: &Path,
    mut stream: Box<dyn BufRead + Send>,
    packed: bool,
) -> Result<Opened, Qm9Error> {
    let mut head = Vec::with_capacity(BLOCK);
    stream.by_ref().take(BLOCK as u64).read_to_end(&mut head).map_err(|source| {
        let path = path.to_owned();
        if packed {
            Qm9Error::Unpack { path, line: 1, source }
        } else {
            Qm9Error::Io { path, source }
        }
    })?;
    let is_archive = is_archive(&head);
    let whole = Box::new(Cursor::new(head).chain(stream));
    Ok(if is_archive {
        Opened::Archive(Archive::new(path, whole))
    } else {
        Opened::Current(Current::Text(Reader::new(path.to_owned(), whole, packed)))
    })
}

impl Current {
    fn molecule(&mut self) -> Result<Option<Molecule>, Qm9Error> {
        match self {
            Self::Text(reader) => reader.molecule(),
            Self::Arrays(arrays) => Ok(arrays.next()),
            Self::Database(molecules) => Ok(molecules.next()),
        }
    }
}

impl Reader {
    fn new(path: PathBuf, stream: Box<dyn BufRead + Send>, packed: bool) -> Self {
        Self { path, packed, lines: Lines::new(stream), n_molecule: 0, stated: 0 }
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

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
