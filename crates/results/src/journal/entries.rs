//! Reads a journal, skipping damage, up to its last complete entry.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use batchlab_core::record::Table;
use batchlab_files::open;
use sha2::{Digest, Sha256};

use super::{HEADER, MAGIC, number};
use crate::ResultsError;

/// Longer journals are not read.
const MAX_LEN: u64 = 16 << 30;
/// Maximum distance to search for the next entry after damage.
const MAX_GAP: u64 = 64 << 20;

/// Records written at one time.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Rows by table, with the columns of the current schema.
    pub batches: Vec<(Table, RecordBatch)>,
    /// Byte range of the entry in the journal.
    pub place: Range<u64>,
}

/// The complete entries of a journal, in order. Damage between entries is skipped, and reported
/// when the iteration has ended.
#[derive(Debug)]
pub struct Entries {
    file: BufReader<File>,
    n_byte: u64,
    /// End of the last entry.
    end: u64,
    damaged: Vec<Range<u64>>,
    n_byte_torn: u64,
}

/// Why there is no entry at an offset.
enum Fault {
    /// The journal ends before the entry does.
    Torn,
    /// The bytes differ from those written.
    Damaged,
}

impl Entries {
    /// Opens a journal.
    ///
    /// # Errors
    /// A file that cannot be opened.
    pub fn open(path: &Path) -> Result<Self, ResultsError> {
        let file = open(path).map_err(ResultsError::read(path))?;
        let n_byte = file.metadata().map_err(ResultsError::read(path))?.len();
        if n_byte > MAX_LEN {
            let reason = format!("it has {n_byte} bytes, more than the journal of any run");
            return Err(ResultsError::damaged(path, reason));
        }
        let file = BufReader::new(file);
        Ok(Self { file, n_byte, end: 0, damaged: Vec::new(), n_byte_torn: 0 })
    }

    /// Length in bytes of an incomplete last entry, as left by a killed process.
    #[must_use]
    pub fn n_byte_torn(&self) -> u64 {
        self.n_byte_torn
    }

    /// Damaged byte ranges, usually one entry each.
    #[must_use]
    pub fn damaged(&self) -> &[Range<u64>] {
        &self.damaged
    }

    fn read(&mut self, at: u64) -> Result<Entry, Fault> {
        self.file.seek(SeekFrom::Start(at)).map_err(|_| Fault::Damaged)?;
        let mut header = [0; HEADER];
        self.file.read_exact(&mut header).map_err(|_| Fault::Torn)?;
        let [magic, length, checksum] = [&header[..4], &header[4..12], &header[12..]];
        if *magic != MAGIC {
            return Err(Fault::Damaged);
        }
        let length = u64::from_le_bytes(length.try_into().map_err(|_| Fault::Damaged)?);
        let left = self.n_byte.saturating_sub(at + HEADER as u64);
        // A damaged length must not allocate more memory than the file has bytes. If the rest is a
        // complete body, the entry was not truncated: its length is damaged.
        let mut body = vec![0; length.min(left) as usize];
        self.file.read_exact(&mut body).map_err(|_| Fault::Torn)?;
        if Sha256::digest(&body)[..] != *checksum {
            return Err(if length > left { Fault::Torn } else { Fault::Damaged });
        }
        if length > left {
            return Err(Fault::Damaged);
        }
        let batches = decode(&body).ok_or(Fault::Damaged)?;
        Ok(Entry { batches, place: at..at + HEADER as u64 + length })
    }

    /// Finds the next entry after an offset without one, or else the start of an incomplete last
    /// entry.
    fn next_after(&mut self, at: u64) -> (Option<Entry>, Option<u64>) {
        let (mut from, mut torn) = (at + 1, None);
        while let Some(place) = self.find_magic(from) {
            match self.read(place) {
                Ok(entry) => return (Some(entry), None),
                Err(Fault::Torn) => torn = torn.or(Some(place)),
                Err(Fault::Damaged) => {}
            }
            from = place + 1;
        }
        (None, torn)
    }

    /// Finds the next possible start of an entry.
    fn find_magic(&mut self, from: u64) -> Option<u64> {
        self.file.seek(SeekFrom::Start(from)).ok()?;
        let mut last = [0; MAGIC.len()];
        for (read, byte) in (1_u64..).zip(self.file.by_ref().take(MAX_GAP).bytes()) {
            last.rotate_left(1);
            last[MAGIC.len() - 1] = byte.ok()?;
            if read >= MAGIC.len() as u64 && last == MAGIC {
                return Some(from + read - MAGIC.len() as u64);
            }
        }
        None
    }
}

impl Iterator for Entries {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        let at = self.end;
        if at >= self.n_byte {
            return None;
        }
        let (entry, fault) = match self.read(at) {
            Ok(entry) => (Some(entry), None),
            Err(fault) => (None, Some(fault)),
        };
        let entry = match fault {
            None => entry,
            Some(fault) => {
                let (next, torn) = self.next_after(at);
                let is_torn = matches!(fault, Fault::Torn) && next.is_none();
                let begin = next.as_ref().map(|entry| entry.place.start);
                // The bytes up to here are damaged.
                let end = if is_torn { at } else { begin.or(torn).unwrap_or(self.n_byte) };
                if end > at {
                    self.damaged.push(at..end);
                }
                if next.is_none() {
                    self.n_byte_torn = self.n_byte - end;
                }
                next
            }
        };
        self.end = entry.as_ref().map_or(self.n_byte, |entry| entry.place.end);
        entry
    }
}

fn decode(mut body: &[u8]) -> Option<Vec<(Table, RecordBatch)>> {
    let mut batches = Vec::new();
    while let Some((&first, rest)) = body.split_first() {
        let table = Table::ALL.into_iter().find(|&table| number(table) == first)?;
        let (length, rest) = rest.split_first_chunk::<8>()?;
        let (stream, rest) = rest.split_at_checked(u64::from_le_bytes(*length) as usize)?;
        for rows in StreamReader::try_new(stream, None).ok()? {
            batches.push((table, table.conform(&rows.ok()?).ok()?));
        }
        body = rest;
    }
    Some(batches)
}
