//! The two streams: groups drawn anew every epoch, and groups of fixed composition.

use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;

use super::{N_SAMPLE, NodeContext, NodePadding, OutputPadding, PlanWriter, share};
use crate::batching::batch_order::DistanceOrder;
use crate::contract::graphs::Level;
use crate::contract::plan::{BatchPlan, Cursor, Shape};
use crate::{BatchContext, BatchStream, BatcherError, Purpose};

/// Output nodes in sets that stay together; in the simplest case, sets of one.
pub(super) struct Sets {
    output: Arc<[u32]>,
    /// First output of each set, followed by the number of outputs; empty if each set has one.
    offset: Vec<usize>,
    /// Maximum number of outputs in a group, unless it follows from the largest sets.
    max_output: Option<usize>,
}

impl Sets {
    pub(super) fn single(output: Arc<[u32]>) -> Self {
        Self { output, offset: Vec::new(), max_output: None }
    }

    pub(super) fn of(set: &[Vec<u32>]) -> Self {
        let mut offset = vec![0];
        for set in set {
            offset.push(offset[offset.len() - 1] + set.len());
        }
        let output = set.iter().flatten().copied().collect();
        Self { output, offset, max_output: None }
    }

    /// Empty sets, for batches whose outputs are sampled.
    pub(super) fn sampled(n_batch: NonZeroU32, max_output: usize) -> Self {
        let offset = vec![0; n_batch.get() as usize + 1];
        Self { output: Arc::from([]), offset, max_output: Some(max_output) }
    }

    fn len(&self) -> usize {
        if self.offset.is_empty() { self.output.len() } else { self.offset.len() - 1 }
    }

    fn get(&self, set: u32) -> &[u32] {
        let set = set as usize;
        match self.offset.get(set..set + 2) {
            Some(ends) => &self.output[ends[0]..ends[1]],
            None => &self.output[set..=set],
        }
    }

    /// Total number of outputs in the `n` largest sets.
    fn largest(&self, n: usize) -> usize {
        if let Some(max_output) = self.max_output {
            return max_output;
        }
        let mut size: Vec<usize> = (0..self.len() as u32).map(|set| self.get(set).len()).collect();
        size.sort_unstable_by(|a, b| b.cmp(a));
        size.iter().take(n).sum()
    }
}

/// Groups drawn anew every epoch, or the single pass of an evaluation.
pub(super) struct FreshStream<C> {
    ctx: BatchContext,
    sets: Sets,
    writer: PlanWriter<C>,
    n_batch: usize,
    padding: OutputPadding,
    /// Sets of the epoch, `[n_set]`.
    order: Vec<u32>,
    group: Vec<u32>,
    cursor: Cursor,
}

impl<C: NodeContext> FreshStream<C> {
    /// A group consists of at most `n_set` sets.
    pub(super) fn new(
        ctx: BatchContext,
        sets: Sets,
        mut writer: PlanWriter<C>,
        n_set: NonZeroU32,
        padding: NodePadding,
    ) -> Self {
        let n_batch = sets.len().div_ceil(n_set.get() as usize);
        let max_output = sets.largest(sets.len().div_ceil(n_batch));
        let sample = || first_sizes(&ctx, &sets, &mut writer, n_batch);
        let padding = OutputPadding::new(padding, max_output, sample);
        let order = ctx.permutation(0, sets.len());
        let cursor = Cursor::default();
        Self { ctx, sets, writer, n_batch, padding, order, group: Vec::new(), cursor }
    }

    fn start_epoch(&mut self, epoch: u64) {
        self.order = self.ctx.permutation(epoch, self.sets.len());
        self.cursor = Cursor { epoch, ..Cursor::default() };
    }
}

/// Real sizes of the first batches, over as many epochs as needed.
fn first_sizes<C: NodeContext>(
    ctx: &BatchContext,
    sets: &Sets,
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
            order = ctx.permutation((number / n_batch) as u64, sets.len());
        }
        take_group(sets, &order, n_batch, index, &mut group);
        writer.write(index, number as u64, &group, &mut plan);
        sizes.push(plan.real);
    }
    sizes
}

fn take_group(sets: &Sets, order: &[u32], n_batch: usize, index: usize, group: &mut Vec<u32>) {
    group.clear();
    for &set in &order[share(order.len(), n_batch, index)] {
        group.extend_from_slice(sets.get(set));
    }
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
        take_group(&self.sets, &self.order, self.n_batch, index, &mut self.group);
        self.writer.write(index, number, &self.group, plan);
        self.cursor.batch += 1;
        plan.shape = self.padding.shape(plan.real);
        plan.cursor.clone_from(&self.cursor);
        Ok(true)
    }

    fn seek(&mut self, cursor: &Cursor) -> Result<(), BatcherError> {
        check_cursor(cursor, self.n_batch, false)?;
        self.start_epoch(cursor.epoch);
        self.cursor.batch = cursor.batch;
        Ok(())
    }

    fn batches_per_epoch(&self) -> Option<NonZeroU64> {
        NonZeroU64::new(self.n_batch as u64)
    }

    fn metrics(&self) -> Vec<(String, f64)> {
        let mut metrics = vec![("batches_per_epoch".into(), self.n_batch as f64)];
        metrics.extend(self.padding.metrics());
        metrics
    }
}

/// Groups of fixed composition, with their plans.
pub(super) struct KeptStream {
    ctx: BatchContext,
    plans: Vec<BatchPlan>,
    by: Option<DistanceOrder>,
    order: Vec<u32>,
    cursor: Cursor,
    metrics: Vec<(String, f64)>,
    started: bool,
}

impl KeptStream {
    pub(super) fn new<C: NodeContext>(
        ctx: BatchContext,
        writer: &mut PlanWriter<C>,
        group: &[Vec<u32>],
        by: Option<DistanceOrder>,
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

    /// `last` is the last group of the previous epoch.
    fn start_epoch(&mut self, epoch: u64, last: Option<u32>) {
        self.started = true;
        self.order = match &self.by {
            Some(by) => by.order(epoch, last),
            None => self.ctx.batch_permutation(epoch, self.plans.len()),
        };
        self.cursor = Cursor { epoch, last, ..Cursor::default() };
    }
}

impl BatchStream for KeptStream {
    fn next(&mut self, plan: &mut BatchPlan) -> Result<bool, BatcherError> {
        if !self.started {
            self.start_epoch(0, None);
        } else if self.cursor.batch as usize == self.plans.len() {
            if self.ctx.purpose == Purpose::Evaluation {
                return Ok(false);
            }
            self.start_epoch(self.cursor.epoch + 1, self.order.last().copied());
        }
        let group = self.order[self.cursor.batch as usize];
        self.cursor.batch += 1;
        copy(&self.plans[group as usize], plan);
        plan.cursor.clone_from(&self.cursor);
        Ok(true)
    }

    fn seek(&mut self, cursor: &Cursor) -> Result<(), BatcherError> {
        check_cursor(cursor, self.plans.len(), cursor.epoch > 0)?;
        self.start_epoch(cursor.epoch, cursor.last);
        self.cursor.batch = cursor.batch;
        Ok(())
    }

    fn batches_per_epoch(&self) -> Option<NonZeroU64> {
        NonZeroU64::new(self.plans.len() as u64)
    }

    fn metrics(&self) -> Vec<(String, f64)> {
        self.metrics.clone()
    }
}

/// `has_last`: the cursor includes the last group of the previous epoch.
fn check_cursor(cursor: &Cursor, n_batch: usize, has_last: bool) -> Result<(), BatcherError> {
    let last = cursor.last;
    let reason = if cursor.batch as usize > n_batch {
        format!("the epoch has only {n_batch} batches")
    } else if last.is_some() != has_last || last.is_some_and(|group| group as usize >= n_batch) {
        {
            let last = last.map_or("none".into(), |last| last.to_string());
            format!("last group of the epoch before: {last}, which this stream did not write")
        }
    } else {
        return Ok(());
    };
    Err(BatcherError::BadCursor { epoch: cursor.epoch, batch: cursor.batch, reason })
}

/// Copies everything except the cursor, reusing allocations where possible.
fn copy(from: &BatchPlan, to: &mut BatchPlan) {
    to.clear(Level::Nodes);
    to.members.extend_from_slice(&from.members);
    to.output_row.extend_from_slice(&from.output_row);
    to.edges = from.edges;
    to.output_weight.extend_from_slice(&from.output_weight);
    to.listed.sender.extend_from_slice(&from.listed.sender);
    to.listed.receiver.extend_from_slice(&from.listed.receiver);
    to.listed.weight.extend_from_slice(&from.listed.weight);
    to.real = from.real;
    to.shape = from.shape;
    to.cache_key = from.cache_key;
}
