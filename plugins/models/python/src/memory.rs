//! Batches in shared memory: one file per slot, on an in-memory file system if available.
//!
//! The arena is written once, verbatim; the other process maps the file and sees arrays in it.
//! Using a write call instead of mapped memory turns running out of memory into an error, instead
//! of a signal that kills the process.

use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;

use batchlab_core::{ModelError, PaddedBatch};
use tempfile::{Builder, NamedTempFile};

/// An in-memory file system on Linux.
const SHARED: &str = "/dev/shm";

pub(crate) struct SharedMemory {
    slots: [NamedTempFile; 2],
}

impl SharedMemory {
    pub(crate) fn new() -> Result<Self, ModelError> {
        let new = || {
            let mut file = Builder::new();
            file.prefix("batchlab-");
            // If it is not writable, as in some containers, any other directory works, only slower.
            file.tempfile_in(SHARED).or_else(|_| file.tempfile()).map_err(|error| failed(&error))
        };
        Ok(Self { slots: [new()?, new()?] })
    }

    pub(crate) fn paths(&self) -> [&Path; 2] {
        [self.slots[0].path(), self.slots[1].path()]
    }

    pub(crate) fn write(&self, slot: usize, batch: &PaddedBatch<'_>) -> Result<(), ModelError> {
        let arena: &[u8] = bytemuck::cast_slice(batch.words);
        self.slots[slot].as_file().write_all_at(arena, 0).map_err(|error| failed(&error))
    }
}

fn failed(error: &io::Error) -> ModelError {
    let remedy = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "; it is full: make room (`df -h /dev/shm` shows how much there is), or choose a smaller \
             batch_size"
        }
        _ => "",
    };
    ModelError::Engine(format!("cannot write a batch to shared memory: {error}{remedy}"))
}
