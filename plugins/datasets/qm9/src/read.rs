//! From a path to molecules.

use std::fs::{self, File};
use std::io::{BufReader, Cursor, Read, Seek};
use std::ops::ControlFlow;
use std::path::Path;

use batchlab_core::MemoryBudget;
use batchlab_structures::{ReadError, Source};

use crate::arrays;
use crate::error::Qm9Error;
use crate::molecule::{Molecule, Spelling};

/// Receives a molecule; returns whether to continue.
pub(crate) type Visited = Result<ControlFlow<()>, Qm9Error>;

/// Passes on one molecule after the other: of a file, of every `dsgdb9nsd_*.xyz` of a directory or
/// an archive, or of `bytes`, for which the path is just a name.
///
/// Files are recognised by content, never by name: whatever `batchlab-structures` reads, and arrays
/// in an npz file.
pub(crate) fn read(
    path: &Path,
    bytes: Option<&[u8]>,
    memory: &MemoryBudget,
    visit: &mut dyn FnMut(Molecule) -> Visited,
) -> Result<(), Qm9Error> {
    let head = match bytes {
        Some(bytes) => bytes[..bytes.len().min(16)].to_vec(),
        None => head(path)?,
    };
    if head.starts_with(b"PK\x03\x04") {
        if let Some(bytes) = bytes {
            return arrays(path, Cursor::new(bytes), memory, visit);
        }
        let file = File::open(path).map_err(io(path))?;
        return arrays(path, BufReader::new(file), memory, visit);
    }
    let is_database = head.starts_with(b"SQLite format 3\0");
    let mut spelling = if is_database { Spelling::Database(None) } else { Spelling::Text };
    let read =
        Source { path, bytes, wanted: Some(is_molecule), arrays: &[], memory }.read(&mut |entry| {
            let (path, line) = (entry.path.clone(), entry.line);
            visit(Molecule::of(entry, &mut spelling).map_err(|problem| Qm9Error::Line {
                path,
                line,
                problem,
            })?)
        });
    match read {
        Err(Qm9Error::Read(ReadError::NoneKnown { path, n_other })) => {
            Err(Qm9Error::NoMolecule { path, n_other })
        }
        read => read.map(drop),
    }
}

fn arrays(
    path: &Path,
    file: impl Read + Seek,
    memory: &MemoryBudget,
    visit: &mut dyn FnMut(Molecule) -> Visited,
) -> Result<(), Qm9Error> {
    for molecule in arrays::read(path, file, memory)? {
        if visit(molecule)?.is_break() {
            break;
        }
    }
    Ok(())
}

/// The first bytes of a file; empty for anything but a file.
fn head(path: &Path) -> Result<Vec<u8>, Qm9Error> {
    let mut head = Vec::new();
    if fs::metadata(path).map_err(io(path))?.is_file() {
        let file = File::open(path).map_err(io(path))?;
        file.take(16).read_to_end(&mut head).map_err(io(path))?;
    }
    Ok(head)
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> Qm9Error + '_ {
    |source| ReadError::Io { path: path.to_owned(), source }.into()
}

fn is_molecule(name: &str) -> bool {
    let name = name.strip_suffix(".xz").unwrap_or(name);
    name.starts_with("dsgdb9nsd_") && name.strip_suffix(".xyz").is_some()
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
