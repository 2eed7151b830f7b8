//! The planned batches of a batcher, epoch by epoch.

use std::collections::HashMap;

use batchlab_core::{BatchPlan, BatchStream, BatcherError, Cursor, GraphSize};

use crate::{Batch, Epoch};

/// Plans the epochs of a training stream, one after the other. Only sizes are needed, so every rank
/// plans the batches of all ranks.
pub struct Epochs {
    stream: Box<dyn BatchStream>,
    by_id: HashMap<u32, GraphSize>,
    plan: BatchPlan,
    /// The first batch of the next epoch, whose end can only be seen from there.
    next: Option<(Cursor, Batch)>,
}

/// The batches of one epoch.
#[derive(Debug, Clone)]
pub struct PlannedEpoch {
    /// Position of the stream before the first batch.
    pub start: Cursor,
    /// The batches.
    pub epoch: Epoch,
}

impl Epochs {
    /// `stream` is open for training on these graphs.
    #[must_use]
    pub fn new(stream: Box<dyn BatchStream>, graphs: &[GraphSize]) -> Self {
        let by_id = graphs.iter().map(|&graph| (graph.id, graph)).collect();
        Self { stream, by_id, plan: BatchPlan::default(), next: None }
    }

    /// The stream whose batches are planned.
    #[must_use]
    pub fn stream(&self) -> &dyn BatchStream {
        &*self.stream
    }

    /// The same, to take its events.
    pub fn stream_mut(&mut self) -> &mut dyn BatchStream {
        &mut *self.stream
    }

    /// Continues at the epoch that begins at this position.
    ///
    /// # Errors
    /// A cursor written by another stream.
    pub fn seek(&mut self, start: &Cursor) -> Result<(), BatcherError> {
        self.next = None;
        self.stream.seek(start)
    }

    /// Plans the next epoch.
    ///
    /// # Errors
    /// Those of the stream, and a stream that ends.
    pub fn next_epoch(&mut self) -> Result<PlannedEpoch, BatcherError> {
        let (start, first) = match self.next.take() {
            Some(next) => next,
            None => self.next_batch()?,
        };
        let mut batches = vec![first];
        let next = loop {
            let (at, batch) = self.next_batch()?;
            if at.epoch != start.epoch {
                break (at, batch);
            }
            batches.push(batch);
        };
        self.next = Some(next);
        Ok(PlannedEpoch { start: Cursor { batch: 0, ..start }, epoch: Epoch::new(batches) })
    }

    fn next_batch(&mut self) -> Result<(Cursor, Batch), BatcherError> {
        let plan = &mut self.plan;
        if !self.stream.next(plan)? {
            return Err(BatcherError::Options("the stream ended during training".into()));
        }
        if !plan.output_weight.is_empty() {
            let message = "graphs with weights of their own cannot be shared by ranks";
            return Err(BatcherError::Options(message.into()));
        }
        let known = |id: &u32| {
            let unknown = || BatcherError::Options(format!("graph {id} is not in this subset"));
            self.by_id.get(id).copied().ok_or_else(unknown)
        };
        let graphs = plan.members.iter().map(known).collect::<Result<_, _>>()?;
        Ok((plan.cursor.clone(), Batch { graphs, shape: plan.shape }))
    }
}
