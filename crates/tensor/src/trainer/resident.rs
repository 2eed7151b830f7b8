//! Batches that stay on the device.

use std::collections::HashMap;
use std::rc::Rc;

use batchlab_core::model::BatchKey;

use crate::{Backend, DeviceBatch};

/// Batches by their key, up to a limit of bytes; those that were not used for longest go first.
pub(super) struct ResidentBatches<D: Backend> {
    batches: HashMap<BatchKey, Kept<D>>,
    limit: u64,
    n_byte: u64,
    n_use: u64,
}

struct Kept<D: Backend> {
    batch: Rc<DeviceBatch<D>>,
    /// Number of its last use.
    last_use: u64,
}

impl<D: Backend> ResidentBatches<D> {
    pub(super) fn new(limit: u64) -> Self {
        Self { batches: HashMap::new(), limit, n_byte: 0, n_use: 0 }
    }

    pub(super) fn get(&mut self, key: BatchKey) -> Option<Rc<DeviceBatch<D>>> {
        self.n_use += 1;
        let kept = self.batches.get_mut(&key)?;
        kept.last_use = self.n_use;
        Some(Rc::clone(&kept.batch))
    }

    /// Keeps a batch, unless it alone is larger than the limit. What has to go for it is freed when no
    /// slot holds it.
    pub(super) fn keep(&mut self, key: BatchKey, batch: &Rc<DeviceBatch<D>>) {
        let n_byte = batch.n_byte();
        if n_byte > self.limit {
            return;
        }
        while self.n_byte + n_byte > self.limit {
            let oldest = self.batches.iter().min_by_key(|(_, kept)| kept.last_use);
            let Some(oldest) = oldest.map(|(&key, _)| key) else { break };
            if let Some(kept) = self.batches.remove(&oldest) {
                self.n_byte -= kept.batch.n_byte();
            }
        }
        self.n_byte += n_byte;
        let last_use = self.n_use;
        self.batches.insert(key, Kept { batch: Rc::clone(batch), last_use });
    }
}
