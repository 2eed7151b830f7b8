//! QM9's own archive: a tar file of one small text per molecule, read as a stream.
//!
//! Nothing is unpacked to disk and no name inside becomes a path: an entry is taken if its name is
//! that of a molecule, and everything else is passed over.

use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};

use tar::Header;

use crate::error::{Qm9Error, shown};

/// A header, and the multiple to which contents are filled up.
pub(crate) const BLOCK: usize = 512;

/// The largest file of a molecule has less than 4,000 bytes.
const MAX_MEMBER: u64 = 1 << 20;

/// What fills an archive up after its end: with GNU tar less than 10,240 bytes.
const MAX_FILLING: u64 = 1 << 24;

/// An archive that is being read.
pub(crate) struct Archive {
    path: PathBuf,
    stream: Box<dyn BufRead + Send>,
    n_found: usize,
}

/// Whether these are the first bytes of an archive: the sum over a header stands in it.
pub(crate) fn is_archive(head: &[u8]) -> bool {
    let Ok(head) = <&[u8; BLOCK]>::try_from(head) else { return false };
    head[0] != 0 && has_right_sum(head)
}

fn has_right_sum(block: &[u8; BLOCK]) -> bool {
    // The sum's own eight bytes count as spaces.
    let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u32::from(byte)).sum::<u32>();
    let expected = sum(&block[..148]) + 8 * u32::from(b' ') + sum(&block[156..]);
    Header::from_byte_slice(block).cksum().is_ok_and(|stated| stated == expected)
}

impl Archive {
    /// `stream` begins with the first header.
    pub(crate) fn new(path: &Path, stream: Box<dyn BufRead + Send>) -> Self {
        Self { path: path.to_owned(), stream, n_found: 0 }
    }

    /// The next molecule's file: its name for messages, and its content.
    pub(crate) fn next(&mut self) -> Result<Option<(PathBuf, Vec<u8>)>, Qm9Error> {
        loop {
            let Some(header) = self.header()? else {
                self.drain()?;
                return match self.n_found {
                    0 => Err(self.fault("it holds no file named `dsgdb9nsd_*.xyz`")),
                    _ => Ok(None),
                };
            };
            let Ok(n_byte) = header.entry_size() else {
                return Err(self.fault("the length of an entry is no number"));
            };
            let name = String::from_utf8_lossy(&header.path_bytes()).into_owned();
            let file = name.rsplit('/').next().unwrap_or_default();
            let wanted = header.entry_type().is_file() && is_molecule(file);
            // A content is filled up to whole blocks.
            let Some(n_filled) = n_byte.checked_next_multiple_of(BLOCK as u64) else {
                return Err(self.fault("the length of an entry is impossible"));
            };
            if !wanted {
                self.skip(n_filled)?;
                continue;
            }
            if n_byte > MAX_MEMBER {
                let name = shown(file);
                return Err(self.fault(&format!(
                    "{name} is said to have {n_byte} bytes, and no molecule has more than {MAX_MEMBER}"
                )));
            }
            let mut content = vec![0; n_byte as usize];
            self.stream.read_exact(&mut content).map_err(|error| self.failed(&error))?;
            self.skip(n_filled - n_byte)?;
            self.n_found += 1;
            return Ok(Some((self.path.join(shown(file)), content)));
        }
    }

    /// The next header; `None` at the mark of the end.
    fn header(&mut self) -> Result<Option<Header>, Qm9Error> {
        let mut block = [0; BLOCK];
        self.stream.read_exact(&mut block).map_err(|error| self.failed(&error))?;
        if block == [0; BLOCK] {
            return Ok(None);
        }
        if !has_right_sum(&block) {
            return Err(self.fault("the checksum of an entry's header is wrong"));
        }
        Ok(Some(Header::from_byte_slice(&block).clone()))
    }

    /// Reads what follows the mark of the end: only at its very end does a packed stream say whether
    /// all of it was right.
    fn drain(&mut self) -> Result<(), Qm9Error> {
        let mut block = [0; BLOCK];
        let mut n_byte = 0;
        loop {
            let n = match self.stream.read(&mut block) {
                Ok(0) => return Ok(()),
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.failed(&error)),
            };
            n_byte += n as u64;
            if n_byte > MAX_FILLING || block[..n].iter().any(|&byte| byte != 0) {
                return Err(self.fault("something follows the mark of its end"));
            }
        }
    }

    fn skip(&mut self, n_byte: u64) -> Result<(), Qm9Error> {
        let skipped = io::copy(&mut self.stream.by_ref().take(n_byte), &mut io::sink())
            .map_err(|error| self.failed(&error))?;
        if skipped == n_byte { Ok(()) } else { Err(self.fault("it ends within an entry")) }
    }

    fn failed(&self, error: &io::Error) -> Qm9Error {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => self.fault("it ends before the mark of its end"),
            _ => self.fault(&error.to_string()),
        }
    }

    fn fault(&self, problem: &str) -> Qm9Error {
        let place = match self.n_found {
            0 => String::new(),
            n => format!(", after {n} molecules"),
        };
        Qm9Error::Archive { path: self.path.clone(), problem: format!("{problem}{place}") }
    }
}

/// Whether a name is that of one of QM9's files.
pub(crate) fn is_molecule(name: &str) -> bool {
    name.starts_with("dsgdb9nsd_") && name.strip_suffix(".xyz").is_some()
}

#[cfg(test)]
pub(crate) mod tests;
