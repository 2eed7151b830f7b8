//! The two streams: groups drawn anew every epoch, and groups that stay the same.

use std::sync::Arc;

use super::{GroupOrder, N_SAMPLE, NodeContext, NodePadding, OutputPadding, PlanWriter, share};
use crate::graphs::Level;
use crate::plan::{BatchPlan, Cursor, Shape};
use crate::{BatchContext, BatchStream, BatcherError, Purpose};

/// Groups drawn anew every epoch, or the one pass of an evaluation.
pub(super) struct FreshStream<C> {
    ctx: BatchContext,
    output: Arc<[u32]>,
    writer: PlanWriter<C>,
    n_batch: usize,
    padding: OutputPadding,
    /// Positions of the epoch's outputs, `[n_output]`.
    order: Vec<u32>,
    group: Vec<u32>,
    cursor: Cursor,
}

impl<C: NodeContext> FreshStream<C> {
    pub(super) fn new(
        ctx: BatchContext,
        output: Arc<[u32]>,
        mut writer: PlanWriter<C>,
        n_batch: usize,
        padding: NodePadding,
    ) -> Self {
        let max_output = output.len().div_ceil(n_batch);
        let sample = || first_sizes(&ctx, &output, &mut writer, n_batch);
        let padding = OutputPadding::new(padding, max_output, sample);
        let order = ctx.permutation(0, output.len());
        let cursor = Cursor::default();
        Self { ctx, output, writer, n_batch, padding, order, group: Vec::new(), cursor }
    }

    fn start_epoch(&mut self, epoch: u64) {
        self.order = self.ctx.permutation(epoch, self.output.len());
        self.cursor = Cursor { epoch, ..Cursor::default() };
    }
}

/// Real sizes of the first batches, over as many epochs as it takes.
fn first_sizes<C: NodeContext>(
    ctx: &BatchContext,
    output: &[u32],
    writer: &mut PlanWriter<C>,
    n_batch: usize,
) -> Vec<Shape> {
    let n_sample = match ctx.purpose {
        Purpose::Training => N_SAMPLE,
        Purpose::Evaluation => N_SAMPLE.min(n_batch),
    };
    let (mut plan, mut group, mut order) = (BatchPlan::default(), Vec::new(), Vec::new());
    let mut sizes = Vec::with_capacity(n_sample);
    for number in 0..n_sample {
        let index = number % n_batch;
        if index == 0 {
            order = ctx.permutation((number / n_batch) as u64, output.len());
        }
        take_group(output, &order, n_batch, index, &mut group);
        writer.write(index, number as u64, &group, &mut plan);
        sizes.push(plan.real);
    }
    sizes
}

fn take_group(output: &[u32], order: &[u32], n_batch: usize, index: usize, group: &mut Vec<u32>) {
    group.clear();
    let positions = &order[share(order.len(), n_batch, index)];
    group.extend(positions.iter().map(|&position| output[position as usize]));
}

impl<C: NodeContext> BatchStream for FreshStream<C> {
    fn next(&mut self, plan: &mut BatchPlan) -> Result<bool, BatcherError> {
        if self.cursor.batch as usize == self.n_batch {
            if self.ctx.purpose == Purpose::Evaluation {
                return Ok(false);
            }
            self.start_epoch(self.cursor.epoch + 1);
        }
        let index = self.cursor.batch as usize;
        let number = self.cursor.epoch * self.n_batch as u64 + self.cursor.batch;
        take_group(&self.output, &self.order, self.n_batch, index, &mut self.group);
        self.writer.write(index, number, &self.group, plan);
        self.cursor.batch += 1;
        plan.shape = self.padding.shape(plan.real);
        plan.cursor.clone_from(&self.cursor);
        Ok(true)
    }

    fn seek(&mut self, cursor: &Cursor) -> Result<(), BatcherError> {
        check_cursor(cursor, self.n_batch, 0)?;
        self.start_epoch(cursor.epoch);
        self.cursor.batch = cursor.batch;
        Ok(())
    }

    fn metrics(&self) -> Vec<(String, f64)> {
        let mut metrics = vec![("batches_per_epoch".into(), self.n_batch as f64)];
        metrics.extend(self.padding.metrics());
        metrics
    }
}

/// Groups that stay the same, with their plans.
pub(super) struct KeptStream {
    ctx: BatchContext,
    plans: Vec<BatchPlan>,
    by: Option<Box<dyn GroupOrder>>,
    order: Vec<u32>,
    /// Carries the last group of the epoch before.
    cursor: Cursor,
    metrics: Vec<(String, f64)>,
    started: bool,
}

impl KeptStream {
    pub(super) fn new<C: NodeContext>(
        ctx: BatchContext,
        writer: &mut PlanWriter<C>,
        group: &[Vec<u32>],
        by: Option<Box<dyn GroupOrder>>,
        padding: NodePadding,
    ) -> Self {
        ctx.progress.start("contexts of the output nodes", Some(group.len() as u64));
        let plan = |(index, output): (usize, &Vec<u32>)| {
            let mut plan = BatchPlan::default();
            writer.write(index, index as u64, output, &mut plan);
            plan.cache_key = Some(index as u64);
            ctx.progress.advance(1);
            plan
        };
        let mut plans: Vec<BatchPlan> = group.iter().enumerate().map(plan).collect();
        ctx.progress.finish();

        let max_output = group.iter().map(Vec::len).max().unwrap_or(0);
        let sizes = || plans.iter().map(|plan| plan.real).collect();
        let padding = OutputPadding::new(padding, max_output, sizes);
        for plan in &mut plans {
            plan.shape = padding.shape(plan.real);
        }
        let mut metrics = vec![("batches_per_epoch".into(), plans.len() as f64)];
        metrics.extend(padding.metrics());
        Self {
            ctx,
            plans,
            by,
            order: Vec::new(),
            cursor: Cursor::default(),
            metrics,
            started: false,
        }
    }

    fn start_epoch(&mut self, epoch: u64, last: Option<u32>) -> Result<(), BatcherError> {
        let n = self.plans.len();
        self.started = true;
        self.order = match (&self.by, self.ctx.purpose) {
            (Some(by), Purpose::Training) => by.order(epoch, last),
            _ => self.ctx.batch_permutation(epoch, n),
        };
        self.cursor = Cursor { epoch, batch: 0, carried: last.into_iter().collect() };
        let mut sorted = self.order.clone();
        sorted.sort_unstable();
        if sorted.into_iter().eq(0..n as u32) {
            return Ok(());
        }
        Err(BatcherError::Options(format!(
            "the order of epoch {epoch} does not name each of the {n} groups once"
        )))
    }
}

impl BatchStream for KeptStream {
    fn next(&mut self, plan: &mut BatchPlan) -> Result<bool, BatcherError> {
        if !self.started {
            self.start_epoch(0, None)?;
        } else if self.cursor.batch as usize == self.plans.len() {
            if self.ctx.purpose == Purpose::Evaluation {
                return Ok(false);
            }
            self.start_epoch(self.cursor.epoch + 1, self.order.last().copied())?;
        }
        let group = self.order[self.cursor.batch as usize];
        self.cursor.batch += 1;
        copy(&self.plans[group as usize], plan);
        plan.cursor.clone_from(&self.cursor);
        Ok(true)
    }

    fn seek(&mut self, cursor: &Cursor) -> Result<(), BatcherError> {
        check_cursor(cursor, self.plans.len(), usize::from(cursor.epoch > 0))?;
        self.start_epoch(cursor.epoch, cursor.carried.first().copied())?;
        self.cursor.batch = cursor.batch;
        Ok(())
    }

    fn metrics(&self) -> Vec<(String, f64)> {
        self.metrics.clone()
    }
}

/// `n_carried` groups are carried over from the epoch before.
fn check_cursor(cursor: &Cursor, n_batch: usize, n_carried: usize) -> Result<(), BatcherError> {
    let carried = &cursor.carried;
    let reason = if cursor.batch as usize > n_batch {
        format!("the epoch has only {n_batch} batches")
    } else if carried.len() != n_carried || carried.iter().any(|&group| group as usize >= n_batch) {
        format!("it carries {carried:?}, which this stream did not write")
    } else {
        return Ok(());
    };
    Err(BatcherError::BadCursor { epoch: cursor.epoch, batch: cursor.batch, reason })
}

/// Copies everything but the cursor, without allocating where memory suffices.
fn copy(from: &BatchPlan, to: &mut BatchPlan) {
    to.clear(Level::Nodes);
    to.members.extend_from_slice(&from.members);
    to.output_row.extend_from_slice(&from.output_row);
    to.edges = from.edges;
    to.listed.sender.extend_from_slice(&from.listed.sender);
    to.listed.receiver.extend_from_slice(&from.listed.receiver);
    to.listed.weight.extend_from_slice(&from.listed.weight);
    to.real = from.real;
    to.shape = from.shape;
    to.cache_key = from.cache_key;
}
