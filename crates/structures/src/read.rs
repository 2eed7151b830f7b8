//! From a path to entries.

use std::cell::{Cell, RefCell};
use std::io::{self, BufRead, Read as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use batchlab_core::MemoryBudget;
use batchlab_core::memory::OverBudget;

use crate::error::{Problem, ReadError, shown_path};
use crate::format::aflow::Content;
#[cfg(feature = "ase")]
use crate::format::ase;
use crate::format::{Format, aflow, cif, is_xyz, json, poscar, recognise, table, xyz};
use crate::limits::MAX_ENTRY;
use crate::lines::Fault;
use crate::source::{Source, Stream};
use crate::structure::Entry;

/// Counts of the files read and skipped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Read {
    /// Files, or archive entries, that were read.
    pub n_file: u64,
    /// Skipped files of a directory or archive: not wanted, or in an unknown format.
    pub n_other: u64,
    /// The first of the skipped files.
    pub other: Vec<PathBuf>,
    /// CIF data blocks without sites.
    pub n_block: u64,
    /// Files whose elements were guessed, or whose symbols and numbers disagree.
    pub n_guessed: u64,
    /// What was guessed in the first of these files.
    pub guessed: Vec<String>,
}

/// Maximum number of skipped files to name.
const MAX_NAMED: usize = 3;

impl Read {
    /// Notes for the user: which files were skipped, and what was guessed.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let list = |n: u64, first: &[String], separator: &str| {
            let more = match n.saturating_sub(first.len() as u64) {
                0 => String::new(),
                n => format!(" and {n} more"),
            };
            first.join(separator) + &more
        };
        let mut notes = Vec::new();
        if self.n_other > 0 {
            let names: Vec<String> = self.other.iter().map(|path| shown_path(path)).collect();
            let names = list(self.n_other, &names, ", ");
            notes.push(format!("note: skipped files in unknown formats: {names}"));
        }
        if self.n_guessed > 0 {
            notes.push(format!("warning: {}", list(self.n_guessed, &self.guessed, "; ")));
        }
        notes
    }

    fn guess(&mut self, path: &Path, guess: &str) {
        self.n_guessed += 1;
        if self.guessed.len() < MAX_NAMED {
            self.guessed.push(format!("{}: {guess}", shown_path(path)));
        }
    }

    fn pass_over(&mut self, path: &Path) {
        self.n_other += 1;
        if self.other.len() < MAX_NAMED {
            self.other.push(path.to_owned());
        }
    }
}

/// Passes every entry behind a path to `visit`, until it breaks or fails.
///
/// The path leads to a file, a directory (read recursively, sorted by name) or an archive. In
/// directories and archives, files of other formats are skipped and counted; a damaged file of a
/// known format ends the reading.
///
/// # Errors
/// If something cannot be read, with file, line, value and remedy; or any error of `visit`.
pub fn read<E: From<ReadError>>(
    path: &Path,
    visit: &mut dyn FnMut(Entry) -> Result<ControlFlow<()>, E>,
) -> Result<Read, E> {
    let memory = &MemoryBudget::default();
    Source { path, bytes: None, wanted: None, arrays: &[], memory }.read(visit)
}

impl Source<'_> {
    /// See [`read`].
    pub fn read<E: From<ReadError>>(
        &self,
        visit: &mut dyn FnMut(Entry) -> Result<ControlFlow<()>, E>,
    ) -> Result<Read, E> {
        let mut fault = None;
        let mut counts = Read::default();
        let mut until_fault = |entry| match visit(entry) {
            Ok(flow) => flow,
            Err(error) => {
                fault = Some(error);
                ControlFlow::Break(())
            }
        };
        let visited =
            self.visit(&mut |stream| stream_of(stream, self, &mut counts, &mut until_fault));
        if let Some(error) = fault {
            return Err(error);
        }
        visited?;
        if counts.n_file == 0 {
            let (path, n_other) = (self.path.to_owned(), counts.n_other);
            return Err(ReadError::NoneKnown { path, n_other }.into());
        }
        Ok(counts)
    }
}

fn stream_of(
    stream: Stream,
    source: &Source<'_>,
    counts: &mut Read,
    visit: &mut dyn FnMut(Entry) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, ReadError> {
    let Stream { path, head, content, packed, optional } = stream;
    if head.is_empty() && !optional {
        return Err(ReadError::Empty { path: path.to_owned() });
    }
    // A mandatory file is recognised by its name, even if its first line is damaged.
    let by_name = (!optional && is_xyz(path)).then_some(Format::Xyz);
    let Some(format) = recognise(head, path).or(by_name) else {
        if optional {
            counts.pass_over(path);
            return Ok(ControlFlow::Continue(()));
        }
        let found = "in an unknown format";
        let remedy = "use extended XYZ, POSCAR, CIF, CSV, an ASE database, or entries of AFLOW";
        return Err(ReadError::Format { path: path.to_owned(), found, remedy });
    };
    let (mut content, taken) = Asked::new(content, source.memory, format.bytes_per_byte());
    let mut each = |line, (structure, property): Content| {
        taken.give_back();
        if structure.as_ref().is_some_and(|found| found.atomic_number.is_empty()) {
            return Err(Problem::NoAtoms.into());
        }
        let entry = Entry { path: path.to_owned(), line, structure, property };
        if visit(entry).is_break() { Err(Fault::Stopped) } else { Ok(()) }
    };
    let take = &|n_byte| taken.add(n_byte);
    let read = match format {
        Format::Ase if packed => {
            let (found, remedy) = ("a packed SQLite database", "unpack it, and set the path to it");
            return Err(ReadError::Format { path: path.to_owned(), found, remedy });
        }
        #[cfg(feature = "ase")]
        Format::Ase => ase::read(path, source.arrays, &mut each),
        #[cfg(not(feature = "ase"))]
        Format::Ase => return Err(ReadError::NoAse { path: path.to_owned() }),
        Format::Poscar => poscar::read(&mut content, &mut each)
            .map(|guess| guess.into_iter().for_each(|guess| counts.guess(path, &guess))),
        Format::Json => json::read(&mut content, &mut each),
        Format::AflowOut => aflow::out(&mut content, &mut each),
        Format::Table => table::read(&mut content, take, &mut each),
        Format::Xyz => xyz::read(&mut content, source.arrays, &mut each),
        Format::Cif => cif::read(&mut content, take, &mut each).map(|n| counts.n_block += n),
    };
    // The checksum of a compressed stream is at its very end.
    let read = read.and_then(|()| if packed { drain(content.stream) } else { Ok(()) });
    counts.n_file += 1;
    let path = path.to_owned();
    // Errors of the stream come back as read errors.
    let read = read.map_err(|(line, fault)| match taken.over() {
        Some(over) => (line, Problem::Memory(over).into()),
        None => (line, fault),
    });
    match read {
        Ok(()) => Ok(ControlFlow::Continue(())),
        Err((_, Fault::Stopped)) => Ok(ControlFlow::Break(())),
        Err((line, Fault::Problem(problem))) => Err(ReadError::Line { path, line, problem }),
        Err((_, Fault::Io(source))) if packed => Err(ReadError::damaged(&path, source)),
        Err((_, Fault::Io(source))) => Err(ReadError::Io { path, source }),
    }
}

/// A stream that reserves memory for the data derived from its bytes before it passes them on.
struct Asked<'a> {
    stream: &'a mut dyn BufRead,
    taken: Rc<Taken>,
    bytes_per_byte: u64,
    /// Bytes of the buffer for which memory has already been reserved.
    n_ready: usize,
}

/// Granularity of reservations, in bytes.
const ASKED_AT_ONCE: u64 = 16 << 10;

/// Memory reserved for the current entry.
struct Taken {
    memory: MemoryBudget,
    n_byte: Cell<u64>,
    over: RefCell<Option<OverBudget>>,
}

impl<'a> Asked<'a> {
    fn new(
        stream: &'a mut dyn BufRead,
        memory: &MemoryBudget,
        bytes_per_byte: u64,
    ) -> (Self, Rc<Taken>) {
        let (n_byte, over) = (Cell::new(0), RefCell::new(None));
        let taken = Rc::new(Taken { memory: memory.clone(), n_byte, over });
        (Self { stream, taken: taken.clone(), bytes_per_byte, n_ready: 0 }, taken)
    }
}

impl Taken {
    fn add(&self, n_byte: u64) -> Result<(), OverBudget> {
        self.memory.take(n_byte, "one entry")?;
        self.n_byte.set(self.n_byte.get() + n_byte);
        Ok(())
    }

    fn take(&self, n_byte: u64) -> io::Result<()> {
        self.add(n_byte).map_err(|over| {
            *self.over.borrow_mut() = Some(over.clone());
            io::Error::other(over)
        })
    }

    /// The entry was passed on.
    fn give_back(&self) {
        self.memory.give_back(self.n_byte.take());
    }

    fn over(&self) -> Option<OverBudget> {
        self.over.borrow_mut().take()
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl io::Read for Asked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let ready = self.fill_buf()?;
        let n = ready.len().min(buffer.len());
        buffer[..n].copy_from_slice(&ready[..n]);
        self.consume(n);
        Ok(n)
    }
}

impl BufRead for Asked<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let ready = self.stream.fill_buf()?;
        if self.n_ready == 0 {
            // A small part of the buffer: the reservation belongs to the current entry.
            let n = (ASKED_AT_ONCE / self.bytes_per_byte).min(ready.len() as u64);
            self.taken.take(n * self.bytes_per_byte)?;
            self.n_ready = n as usize;
        }
        Ok(&ready[..self.n_ready])
    }

    fn consume(&mut self, n: usize) {
        self.n_ready -= n;
        self.stream.consume(n);
    }
}

/// Reads to the end of what a reader left, such as velocities after a structure.
fn drain(stream: &mut dyn BufRead) -> Result<(), (usize, Fault)> {
    let rest = io::copy(&mut stream.take(MAX_ENTRY), &mut io::sink());
    match rest.map_err(|error| (1, Fault::Io(error)))? {
        MAX_ENTRY => Err((1, Problem::TooLong.into())),
        _ => Ok(()),
    }
}
