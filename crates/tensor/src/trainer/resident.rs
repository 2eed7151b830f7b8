//! Batches cached on the device.

use std::collections::HashMap;
use std::rc::Rc;

use batchlab_core::model::BatchKey;

use crate::{Backend, DeviceBatch};

/// Batches by key, up to a limit of bytes, with least-recently-used eviction.
pub(super) struct ResidentBatches<D: Backend> {
    batches: HashMap<BatchKey, Kept<D>>,
    limit: u64,
    n_use: u64,
}

struct Kept<D: Backend> {
    batch: Rc<DeviceBatch<D>>,
    /// Counter value of its last use.
    last_use: u64,
}

impl<D: Backend> ResidentBatches<D> {
    pub(super) fn new(limit: u64) -> Self {
        Self { batches: HashMap::new(), limit, n_use: 0 }
    }

    pub(super) fn get(&mut self, key: BatchKey) -> Option<Rc<DeviceBatch<D>>> {
        self.n_use += 1;
        let kept = self.batches.get_mut(&key)?;
        kept.last_use = self.n_use;
        let batch = Rc::clone(&kept.batch);
        // Steps since the last call may have partitioned the edges of a batch into tasks.
        self.make_room(0);
        Some(batch)
    }

    /// Caches a batch, unless it alone exceeds the limit. Evicted batches are freed when no slot
    /// holds them.
    pub(super) fn keep(&mut self, key: BatchKey, batch: &Rc<DeviceBatch<D>>) {
        let n_byte = batch.n_byte();
        if n_byte > self.limit {
            return;
        }
        self.make_room(n_byte);
        let last_use = self.n_use;
        self.batches.insert(key, Kept { batch: Rc::clone(batch), last_use });
    }

    /// Evicts batches until the rest plus this many bytes are within the limit.
    fn make_room(&mut self, n_byte: u64) {
        let kept: u64 = self.batches.values().map(|kept| kept.batch.n_byte()).sum();
        let mut total = kept + n_byte;
        while total > self.limit {
            let oldest = self.batches.iter().min_by_key(|(_, kept)| kept.last_use);
            let Some(oldest) = oldest.map(|(&key, _)| key) else { break };
            if let Some(kept) = self.batches.remove(&oldest) {
                total -= kept.batch.n_byte();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use batchlab_core::graphs::{Edges, Graphs, ManyGraphs, Topology};
    use batchlab_core::{BatchBuffer, BatchFields, BatchPlan, Level, collate};

    use super::*;
    use crate::DeviceMemory;
    use crate::Direction;
    use crate::dfdx::tensor::Cpu;

    fn batch(graph: u32) -> Rc<DeviceBatch<Cpu>> {
        let many = ManyGraphs::new(&[20, 20], Edges::FullyConnected).expect("two graphs");
        let graphs = Graphs::new("two", Topology::Many(many)).expect("two graphs");
        let mut plan = BatchPlan::default();
        plan.clear(Level::Graphs);
        let size = graphs.view(&[graph]);
        plan.push_graph(size.many_graphs().expect("graphs")[0]);
        plan.shape = plan.real;
        let needs = BatchFields { sender_order: true, ..BatchFields::default() };
        let mut buffer = BatchBuffer::new();
        collate(&graphs, &plan, &needs, &mut buffer).expect("a plan");
        let batch = DeviceBatch::upload(&Cpu::default(), None, &buffer.batch(), &needs, 0);
        Rc::new(batch.expect("a batch"))
    }

    #[test]
    fn divisions_of_edges_that_are_made_later_count() {
        let key = |recipe| BatchKey { stream: 0, recipe };
        let (first, second) = (batch(0), batch(1));
        let arrays = first.n_byte();
        let mut resident = ResidentBatches::new(2 * arrays);
        resident.keep(key(0), &first);
        resident.keep(key(1), &second);
        assert!(resident.get(key(0)).is_some() && resident.get(key(1)).is_some());

        let edges = first.edges(Direction::ToReceiver).expect("edges");
        let n_edge = 20 * 19;
        assert!(first.n_byte() >= arrays + 2 * 4 * n_edge, "both ends of each edge");
        assert_eq!(first.n_byte(), arrays + Cpu::edge_plan_bytes(&edges.plan), "once");
        assert!(resident.get(key(1)).is_some());
        assert!(resident.get(key(0)).is_none(), "no longer both");
    }
}
