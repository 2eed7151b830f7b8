//! Reads a journal up to its last complete entry.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use batchlab_core::record::Table;
use sha2::{Digest, Sha256};

use super::{HEADER, MAGIC, failed, number};
use crate::RunError;

/// What was recorded at one time.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Rows by table.
    pub batches: Vec<(Table, RecordBatch)>,
    /// Where the entry ends in the journal, in bytes.
    pub end: u64,
}

/// The complete entries of a journal, in order.
#[derive(Debug)]
pub struct Entries {
    file: BufReader<File>,
    n_byte: u64,
    end: u64,
    tail: Option<Tail>,
}

/// How a journal ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// With its last entry.
    Whole,
    /// Within an entry, as a process leaves it that was killed while it wrote.
    Torn,
    /// There is an entry of which other bytes came back than were written. Whole entries may follow.
    Damaged,
}

impl Entries {
    /// Opens a journal.
    ///
    /// # Errors
    /// A file that cannot be opened.
    pub fn open(path: &Path) -> Result<Self, RunError> {
        let file = File::open(path).map_err(failed(path))?;
        let n_byte = file.metadata().map_err(failed(path))?.len();
        Ok(Self { file: BufReader::new(file), n_byte, end: 0, tail: None })
    }

    /// Bytes after the last entry that was read. At the end of the iteration: the torn tail.
    #[must_use]
    pub fn n_byte_left(&self) -> u64 {
        self.n_byte - self.end
    }

    /// How the journal ends; known when the iteration has ended.
    #[must_use]
    pub fn tail(&self) -> Option<Tail> {
        self.tail
    }

    fn read(&mut self) -> Result<Entry, Tail> {
        if self.n_byte == self.end {
            return Err(Tail::Whole);
        }
        let mut header = [0; HEADER];
        self.file.read_exact(&mut header).map_err(|_| Tail::Torn)?;
        let [magic, length, checksum] = [&header[..4], &header[4..12], &header[12..]];
        if *magic != MAGIC {
            return Err(Tail::Damaged);
        }
        let length = u64::from_le_bytes(length.try_into().map_err(|_| Tail::Damaged)?);
        // A length of chance must not ask for more memory than the file has bytes.
        if length > self.n_byte.saturating_sub(self.end + HEADER as u64) {
            return Err(Tail::Torn);
        }
        let mut body = vec![0; length as usize];
        self.file.read_exact(&mut body).map_err(|_| Tail::Torn)?;
        if Sha256::digest(&body)[..] != *checksum {
            return Err(Tail::Damaged);
        }
        let batches = decode(&body).ok_or(Tail::Damaged)?;
        self.end += HEADER as u64 + length;
        Ok(Entry { batches, end: self.end })
    }
}

impl Iterator for Entries {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        if self.tail.is_some() {
            return None;
        }
        self.read().map_err(|tail| self.tail = Some(tail)).ok()
    }
}

fn decode(mut body: &[u8]) -> Option<Vec<(Table, RecordBatch)>> {
    let mut batches = Vec::new();
    while let Some((&first, rest)) = body.split_first() {
        let table = Table::ALL.into_iter().find(|&table| number(table) == first)?;
        let (length, rest) = rest.split_first_chunk::<8>()?;
        let (stream, rest) = rest.split_at_checked(u64::from_le_bytes(*length) as usize)?;
        for rows in StreamReader::try_new(stream, None).ok()? {
            batches.push((table, rows.ok()?));
        }
        body = rest;
    }
    Some(batches)
}
