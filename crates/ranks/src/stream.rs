//! The batches of one rank.

use std::num::NonZeroU64;

use batchlab_core::{
    BatchContext, BatchEvent, BatchPlan, BatchStream, Batcher, BatcherError, Cursor, Level, View,
};

use crate::{Assignment, Cost, Epochs, Step};

/// A rank's share of the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// From 0.
    pub rank: usize,
    /// Number of ranks.
    pub n_rank: usize,
    /// How graphs are assigned.
    pub assignment: Assignment,
    /// What `assignment` balances.
    pub cost: Cost,
}

/// One rank's batches of a training stream.
///
/// Every rank plans the steps of a whole epoch on its own, because they depend only on sizes and
/// the seed. All ranks therefore have the same number of steps without communicating. If a rank has
/// no graphs in a step, its plan has no members.
///
/// Batches that are padded have the shape on which all ranks agree: the ranks with less work would
/// wait anyway, and an engine that compiles for each shape meets fewer of them. Batches without
/// padding stay without it. A batch has no `cache_key`, as its graphs may be regrouped.
pub struct RankStream {
    epochs: Epochs,
    share: Share,
    steps: Vec<Step>,
    start: Cursor,
    is_padded: bool,
    n_done: usize,
}

impl RankStream {
    /// Opens the stream and plans the first epoch.
    ///
    /// # Errors
    /// A strategy or a view of the nodes of one graph, more ranks than there is work for, and
    /// errors of the batcher.
    pub fn open(
        batcher: &dyn Batcher,
        view: View,
        ctx: BatchContext,
        share: Share,
    ) -> Result<Self, BatcherError> {
        let (View::ManyGraphs(graphs), Level::Graphs) = (&view, batcher.level()) else {
            return Err(BatcherError::Options(format!(
                "ranks share whole graphs, but \"{}\" batches the nodes of one graph; train on one \
                 rank",
                batcher.label()
            )));
        };
        let graphs = std::sync::Arc::clone(graphs);
        let epochs = Epochs::new(batcher.open(view, ctx)?, &graphs);
        let mut stream = Self {
            epochs,
            share,
            steps: Vec::new(),
            start: Cursor::default(),
            is_padded: false,
            n_done: 0,
        };
        stream.plan_epoch()?;
        stream.check_work()?;
        Ok(stream)
    }

    fn plan_epoch(&mut self) -> Result<(), BatcherError> {
        let planned = self.epochs.next_epoch()?;
        let Share { n_rank, assignment, cost, .. } = self.share;
        self.steps = assignment.steps(&planned.epoch, n_rank, cost);
        self.is_padded = planned.epoch.is_padded();
        self.start = planned.start;
        self.n_done = 0;
        Ok(())
    }

    /// Rejects ranks that would never have any graphs.
    fn check_work(&self) -> Result<(), BatcherError> {
        let busy = |step: &Step| step.ranks.iter().filter(|graphs| !graphs.is_empty()).count();
        let most = self.steps.iter().map(busy).max().unwrap_or(0);
        let n_rank = self.share.n_rank;
        if most >= n_rank {
            return Ok(());
        }
        Err(BatcherError::Options(format!(
            "with {n_rank} ranks and assignment \"{}\", the largest step of an epoch has graphs for only \
             {most} of them; use at most {most} ranks, a smaller batch_size, or more graphs",
            self.share.assignment
        )))
    }
}

impl BatchStream for RankStream {
    fn next(&mut self, plan: &mut BatchPlan) -> Result<bool, BatcherError> {
        if self.n_done == self.steps.len() {
            self.plan_epoch()?;
        }
        let step = &self.steps[self.n_done];
        self.n_done += 1;
        step.plan(self.share.rank, self.is_padded, plan);
        plan.cursor.clone_from(&self.start);
        plan.cursor.batch = self.n_done as u64;
        Ok(true)
    }

    fn seek(&mut self, cursor: &Cursor) -> Result<(), BatcherError> {
        self.epochs.seek(&Cursor { batch: 0, ..cursor.clone() })?;
        self.plan_epoch()?;
        if self.start.epoch != cursor.epoch || cursor.batch > self.steps.len() as u64 {
            let reason = format!("the epoch has only {} steps", self.steps.len());
            return Err(BatcherError::BadCursor {
                epoch: cursor.epoch,
                batch: cursor.batch,
                reason,
            });
        }
        self.n_done = cursor.batch as usize;
        Ok(())
    }

    /// Batches of all ranks.
    fn batches_per_epoch(&self) -> Option<NonZeroU64> {
        self.epochs.stream().batches_per_epoch()
    }

    fn metrics(&self) -> Vec<(String, f64)> {
        self.epochs.stream().metrics()
    }

    fn take_events(&mut self) -> Vec<BatchEvent> {
        self.epochs.stream_mut().take_events()
    }
}
