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
    is_torn: bool,
}

impl Entries {
    /// Opens a journal.
    ///
    /// # Errors
    /// A file that cannot be opened.
    pub fn open(path: &Path) -> Result<Self, RunError> {
        let file = File::open(path).map_err(failed(path))?;
        let n_byte = file.metadata().map_err(failed(path))?.len();
        Ok(Self { file: BufReader::new(file), n_byte, end: 0, is_torn: false })
    }

    /// Bytes after the last entry that was read. At the end of the iteration: the torn tail.
    #[must_use]
    pub fn n_byte_left(&self) -> u64 {
        self.n_byte - self.end
    }

    fn read(&mut self) -> Option<Entry> {
        let mut header = [0; HEADER];
        self.file.read_exact(&mut header).ok()?;
        let length = u64::from_le_bytes(header[4..12].try_into().ok()?);
        // A length of chance must not ask for more memory than the file has bytes.
        let fits = length <= self.n_byte.saturating_sub(self.end + HEADER as u64);
        if header[..4] != MAGIC || !fits {
            return None;
        }
        let mut body = vec![0; length as usize];
        self.file.read_exact(&mut body).ok()?;
        if Sha256::digest(&body)[..] != header[12..] {
            return None;
        }
        let batches = decode(&body)?;
        self.end += HEADER as u64 + length;
        Some(Entry { batches, end: self.end })
    }
}

impl Iterator for Entries {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        if self.is_torn {
            return None;
        }
        let entry = self.read();
        self.is_torn = entry.is_none();
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
            batches.push((table, rows.ok()?));
        }
        body = rest;
    }
    Some(batches)
}
