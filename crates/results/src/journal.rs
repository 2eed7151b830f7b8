//! The journal of a run: every record is on disk before any sink has completed its files.
//!
//! It is one file of entries. Each entry contains the records of all tables since the previous
//! entry, so that a journal truncated at any point still describes a consistent state of the run:
//!
//! ```text
//! entry := "BLJ1", length of the body (u64, little-endian), SHA-256 of the body, body
//! body  := for each table with rows: its number (u8), length (u64), an Arrow IPC stream
//! ```
//!
//! Entries with a wrong checksum are skipped: reading continues with the next intact entry, so that
//! damage affects only the entries that it hits. Anything after the last intact entry is either a
//! truncated entry or damage, which readers distinguish.

mod entries;

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::ArrowError;
use batchlab_core::record::Table;
use batchlab_files::open_to_change;
use sha2::{Digest, Sha256};

pub use entries::{Entries, Entry};

use crate::ResultsError;

const MAGIC: [u8; 4] = *b"BLJ1";
/// Magic, length and checksum.
const HEADER: usize = 4 + 8 + 32;

/// A journal open for writing.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    end: u64,
}

impl Journal {
    /// Creates a journal.
    ///
    /// # Errors
    /// A file that already exists or cannot be created.
    pub fn create(path: &Path) -> Result<Self, ResultsError> {
        let file = File::create_new(path).map_err(ResultsError::write(path))?;
        Ok(Self { path: path.to_owned(), file, end: 0 })
    }

    /// Continues a journal whose entries end at `end`; anything after is truncated.
    ///
    /// # Errors
    /// A file that cannot be changed.
    pub fn cut(path: &Path, end: u64) -> Result<Self, ResultsError> {
        let file = open_to_change(path, OpenOptions::new().write(true))
            .map_err(ResultsError::write(path))?;
        let mut journal = Self { path: path.to_owned(), file, end };
        journal
            .rewind()
            .and_then(|()| journal.file.sync_all())
            .map_err(ResultsError::write(path))?;
        Ok(journal)
    }

    /// Appends an entry and passes it to the system, so that it survives the end of this process.
    /// Tables without rows are omitted.
    ///
    /// # Errors
    /// A full or failing disk. The journal then ends with the previous entry.
    ///
    /// # Panics
    /// Never: rows of a table have its schema.
    pub fn append(&mut self, batches: &[(Table, RecordBatch)]) -> Result<(), ResultsError> {
        let entry = encode(batches).expect("rows of a table can be encoded");
        if entry.len() == HEADER {
            return Ok(());
        }
        if let Err(error) = self.file.write_all(&entry) {
            // A partial entry would be skipped later, but would take up space on a full disk.
            let _ = self.rewind();
            return Err(ResultsError::write(&self.path)(error));
        }
        self.end += entry.len() as u64;
        Ok(())
    }

    /// Fsyncs the journal, so that it survives a crash of the machine.
    ///
    /// # Errors
    /// A full or failing disk.
    pub fn sync(&mut self) -> Result<(), ResultsError> {
        self.file.sync_data().map_err(ResultsError::write(&self.path))
    }

    /// End of the last entry, in bytes.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    fn rewind(&mut self) -> io::Result<()> {
        self.file.set_len(self.end)?;
        self.file.seek(SeekFrom::Start(self.end)).map(drop)
    }
}

fn encode(batches: &[(Table, RecordBatch)]) -> Result<Vec<u8>, ArrowError> {
    let mut entry = vec![0; HEADER];
    for (table, rows) in batches.iter().filter(|(_, rows)| rows.num_rows() > 0) {
        entry.push(number(*table));
        let length = entry.len();
        entry.extend([0; 8]);
        let mut stream = StreamWriter::try_new(&mut entry, &rows.schema())?;
        stream.write(rows)?;
        stream.finish()?;
        drop(stream);
        let n_byte = (entry.len() - length - 8) as u64;
        entry[length..length + 8].copy_from_slice(&n_byte.to_le_bytes());
    }
    let n_byte = (entry.len() - HEADER) as u64;
    let checksum = Sha256::digest(&entry[HEADER..]);
    entry[..4].copy_from_slice(&MAGIC);
    entry[4..12].copy_from_slice(&n_byte.to_le_bytes());
    entry[12..HEADER].copy_from_slice(&checksum);
    Ok(entry)
}

/// The number of a table in a journal; it must never change.
fn number(table: Table) -> u8 {
    match table {
        Table::Runs => 0,
        Table::Steps => 1,
        Table::Evals => 2,
        Table::Events => 3,
        Table::Metrics => 4,
        Table::Blocks => 5,
    }
}

#[cfg(test)]
mod tests;
