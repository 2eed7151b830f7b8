//! Epochs, composition, padding and resuming for all strategies that group whole graphs.
//!
//! A strategy only implements [`Grouping`]; [`open_groups`] turns it into a stream.

use std::collections::HashMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::batching::batch_order::{self, DistanceOrder, OrderOptions};
use crate::batching::padding::{BatchSize, Padding, PaddingRule};
use crate::contract::graphs::{GraphSize, Level, View};
use crate::contract::plan::{BatchPlan, Cursor, Shape};
use crate::{BatchContext, BatchEvent, BatchStream, BatcherError, Purpose};

/// When groups are formed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Composition {
    /// Every epoch anew, from the order of that epoch.
    #[default]
    EveryEpoch,
    /// Once before training; afterwards only the order of the batches changes.
    Fixed,
}

/// Treatment of an incomplete group at the end of an epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EpochBoundary {
    /// The group is completed with graphs of the next epoch, as in the study.
    #[default]
    CarryOver,
    /// The group is delivered incomplete.
    EmitPartial,
}

/// Options shared by all strategies on groups.
#[derive(Debug, Clone)]
pub struct GroupOptions {
    /// B, the number of graph slots; `None`: as many as each batch needs.
    pub batch_size: Option<BatchSize>,
    /// How groups are padded.
    pub padding: Padding,
    /// The shape of [`Padding::Constant`].
    pub constant: Shape,
    /// When groups are formed.
    pub composition: Composition,
    /// The order of groups of fixed composition.
    pub order: OrderOptions,
    /// Treatment of an incomplete group at the end of an epoch.
    pub epoch_boundary: EpochBoundary,
    /// Events that the stream reports; see [`BatchStream::take_events`].
    pub events: Vec<BatchEvent>,
}

impl GroupOptions {
    /// Groups formed anew every epoch, with incomplete groups carried over to the next.
    #[must_use]
    pub fn new(batch_size: BatchSize, padding: Padding) -> Self {
        Self {
            batch_size: Some(batch_size),
            padding,
            constant: Shape::default(),
            composition: Composition::default(),
            order: OrderOptions::default(),
            epoch_boundary: EpochBoundary::default(),
            events: Vec::new(),
        }
    }
}

/// How a strategy forms groups from the graphs of an epoch.
///
/// The stream manages epochs; a grouping only sees graphs arrive. Graphs drawn but not yet
/// delivered are *pending*. The whole state of a grouping must be a function of its pending graphs,
/// because these are all that a checkpoint stores.
///
/// # Looking ahead
///
/// A grouping that chooses among the next graphs first draws a *window* of them. The graphs in the
/// window are the pending ones, so no other state needs to be saved, and graphs that are left at
/// the end of an epoch are carried into the next. In this example windows are sorted by size, so
/// that batches contain similar graphs:
///
/// ```
/// use batchlab_core::grouping::{EpochGraphs, Grouping};
/// use batchlab_core::{BatcherError, GraphSize};
///
/// struct Sorted {
///     /// Graphs in a batch.
///     n_graph: usize,
///     /// Graphs in a window, a multiple of `n_graph`: then no graph waits for ever.
///     window: usize,
///     pending: Vec<GraphSize>,
/// }
///
/// impl Grouping for Sorted {
///     fn next_group(
///         &mut self,
///         graphs: &mut EpochGraphs<'_>,
///         group: &mut Vec<GraphSize>,
///     ) -> Result<bool, BatcherError> {
///         if self.pending.len() < self.n_graph {
///             let n_more = self.window - self.pending.len();
///             self.pending.extend(graphs.take(n_more));
///             self.pending.sort_by_key(|graph| (graph.n_node, graph.id));
///         }
///         if self.pending.len() < self.n_graph {
///             return Ok(false); // the epoch has ended; what was drawn stays pending
///         }
///         group.extend(self.pending.drain(..self.n_graph));
///         Ok(true)
///     }
///
///     fn emit_partial(&mut self, group: &mut Vec<GraphSize>) -> Result<bool, BatcherError> {
///         group.append(&mut self.pending); // fewer than a batch are left
///         Ok(!group.is_empty())
///     }
///
///     fn pending(&self) -> &[GraphSize] {
///         &self.pending
///     }
///
///     fn restore(&mut self, carried: &[GraphSize]) {
///         self.pending = carried.to_vec();
///     }
/// }
/// ```
pub trait Grouping: Send {
    /// Forms the next group from the pending graphs and as many of `graphs` as needed, and writes
    /// it to `group`, which is empty. `Ok(false)` means that the epoch ended before a group was
    /// complete; the graphs drawn stay pending and `group` stays empty.
    ///
    /// # Errors
    /// A graph that fits no group.
    fn next_group(
        &mut self,
        graphs: &mut EpochGraphs<'_>,
        group: &mut Vec<GraphSize>,
    ) -> Result<bool, BatcherError>;

    /// Forms a group from pending graphs alone, because no more will arrive. Called until it
    /// returns `Ok(false)`, which means that no graphs are pending.
    ///
    /// # Errors
    /// A graph that fits no group.
    fn emit_partial(&mut self, group: &mut Vec<GraphSize>) -> Result<bool, BatcherError>;

    /// The pending graphs, in an order from which [`Grouping::restore`] can rebuild the state.
    fn pending(&self) -> &[GraphSize];

    /// Resets the state and starts with these graphs pending.
    fn restore(&mut self, carried: &[GraphSize]);

    /// Numbers for the table `metrics`; see [`BatchStream::metrics`].
    fn metrics(&self) -> Vec<(String, f64)> {
        Vec::new()
    }
}

/// The remaining graphs of one epoch, in order.
pub struct EpochGraphs<'a> {
    graphs: &'a [GraphSize],
    order: &'a [u32],
    drawn: &'a mut usize,
}

impl Iterator for EpochGraphs<'_> {
    type Item = GraphSize;
    fn next(&mut self) -> Option<GraphSize> {
        let &position = self.order.get(*self.drawn)?;
        *self.drawn += 1;
        Some(self.graphs[position as usize])
    }
}

/// Opens a stream of groups over many graphs.
///
/// # Errors
/// A view of one graph, an empty view, an order that is not available for these groups, or a
/// grouping that fails while a sample is drawn.
pub fn open_groups<G: Grouping + 'static>(
    view: View,
    ctx: BatchContext,
    grouping: G,
    options: GroupOptions,
) -> Result<Box<dyn BatchStream>, BatcherError> {
    let View::ManyGraphs(graphs) = view else { return Err(view.is_not(Level::Graphs)) };
    if graphs.is_empty() {
        return Err(BatcherError::NoBatch { n_graph: 0, reason: "the subset is empty".into() });
    }
    options.order.check(options.composition == Composition::Fixed)?;
    let fixed = options.composition == Composition::Fixed && ctx.purpose == Purpose::Training;
    let mut former = GroupFormer::new(graphs, ctx, grouping, options.epoch_boundary);
    let n_sample = former.graphs.len().max(SAMPLED_GRAPHS);
    let mut failure = None;
    let slots = options.batch_size.map(BatchSize::get);
    let padding = options.padding.resolve(options.constant, slots, || {
        former.sample(n_sample).unwrap_or_else(|error| {
            failure = Some(error);
            Vec::new()
        })
    });
    if let Some(error) = failure {
        return Err(error);
    }
    if fixed {
        former.boundary = EpochBoundary::EmitPartial;
        let groups = former.one_epoch()?;
        let histogram = || batch_order::of_sizes(&groups);
        let by = DistanceOrder::open(options.order, former.ctx.seed, histogram)?;
        let metrics = former.grouping.metrics();
        let mut stream = FixedStream {
            ctx: former.ctx,
            padding,
            groups,
            by,
            order: Vec::new(),
            cursor: Cursor::default(),
            metrics,
            events: options.events,
        };
        stream.start_epoch(0, None);
        return Ok(Box::new(stream));
    }
    former.start_epoch(0, &[]);
    Ok(Box::new(GroupStream { former, padding, events: options.events }))
}

/// Number of graphs grouped to sample batch sizes: enough for a few thousand batches of 32, in well
/// under a second.
const SAMPLED_GRAPHS: usize = 100_000;

/// Forms groups epoch by epoch.
struct GroupFormer<G> {
    graphs: Arc<[GraphSize]>,
    ctx: BatchContext,
    grouping: G,
    boundary: EpochBoundary,
    order: Vec<u32>,
    drawn: usize,
    cursor: Cursor,
    group: Vec<GraphSize>,
}

impl<G: Grouping> GroupFormer<G> {
    fn new(
        graphs: Arc<[GraphSize]>,
        ctx: BatchContext,
        grouping: G,
        boundary: EpochBoundary,
    ) -> Self {
        let boundary = match ctx.purpose {
            Purpose::Training => boundary,
            Purpose::Evaluation => EpochBoundary::EmitPartial,
        };
        let mut former = Self {
            graphs,
            ctx,
            grouping,
            boundary,
            order: Vec::new(),
            drawn: 0,
            cursor: Cursor::default(),
            group: Vec::new(),
        };
        former.start_epoch(0, &[]);
        former
    }

    fn start_epoch(&mut self, epoch: u64, carried: &[GraphSize]) {
        self.order = self.ctx.permutation(epoch, self.graphs.len());
        self.drawn = 0;
        let carried_ids = carried.iter().map(|graph| graph.id).collect();
        self.cursor = Cursor { epoch, carried: carried_ids, ..Cursor::default() };
        self.grouping.restore(carried);
    }

    /// Forms the next group into `self.group`. `Ok(false)`: the single pass of an evaluation is
    /// over.
    fn advance(&mut self) -> Result<bool, BatcherError> {
        let mut barren_epochs = 0;
        loop {
            if self.advance_in_epoch()? {
                self.cursor.batch += 1;
                return Ok(true);
            }
            if self.ctx.purpose == Purpose::Evaluation {
                return Ok(false);
            }
            let carried = self.grouping.pending().to_vec();
            barren_epochs = if self.cursor.batch == 0 { barren_epochs + 1 } else { 0 };
            // With carry-over, filling a group may take several epochs of a tiny set, but the
            // number of pending graphs must grow.
            if barren_epochs > 0
                && (carried.is_empty() || carried.len() <= self.cursor.carried.len())
            {
                return Err(BatcherError::NoBatch {
                    n_graph: self.graphs.len(),
                    reason:
                        "an epoch went by without a complete batch; use a smaller batch_size or more graphs"
                            .into(),
                });
            }
            self.start_epoch(self.cursor.epoch + 1, &carried);
        }
    }

    fn advance_in_epoch(&mut self) -> Result<bool, BatcherError> {
        self.group.clear();
        let mut graphs =
            EpochGraphs { graphs: &self.graphs, order: &self.order, drawn: &mut self.drawn };
        if self.grouping.next_group(&mut graphs, &mut self.group)? {
            return Ok(true);
        }
        match self.boundary {
            EpochBoundary::CarryOver => Ok(false),
            EpochBoundary::EmitPartial => self.grouping.emit_partial(&mut self.group),
        }
    }

    /// All groups of epoch 0.
    fn one_epoch(&mut self) -> Result<Vec<Vec<GraphSize>>, BatcherError> {
        self.start_epoch(0, &[]);
        let mut groups = Vec::new();
        while self.advance_in_epoch()? {
            groups.push(self.group.clone());
        }
        if groups.is_empty() {
            let reason = "no batch was complete; use a smaller batch_size or more graphs".into();
            return Err(BatcherError::NoBatch { n_graph: self.graphs.len(), reason });
        }
        Ok(groups)
    }

    /// Real sizes of the first groups, until they contain `n_graph` graphs.
    fn sample(&mut self, n_graph: usize) -> Result<Vec<Shape>, BatcherError> {
        self.start_epoch(0, &[]);
        let mut shapes = Vec::new();
        let mut seen = 0;
        while seen < n_graph && self.advance()? {
            seen += self.group.len();
            shapes.push(total(&self.group));
        }
        Ok(shapes)
    }
}

fn total(group: &[GraphSize]) -> Shape {
    group.iter().fold(Shape::default(), |shape, &graph| shape.with(graph))
}

struct GroupStream<G> {
    former: GroupFormer<G>,
    padding: PaddingRule,
    events: Vec<BatchEvent>,
}

impl<G: Grouping> BatchStream for GroupStream<G> {
    fn next(&mut self, plan: &mut BatchPlan) -> Result<bool, BatcherError> {
        if !self.former.advance()? {
            return Ok(false);
        }
        write_plan(plan, &self.former.group, &self.padding, &self.former.cursor)?;
        Ok(true)
    }

    fn seek(&mut self, cursor: &Cursor) -> Result<(), BatcherError> {
        let bad = |reason: String| BatcherError::BadCursor {
            epoch: cursor.epoch,
            batch: cursor.batch,
            reason,
        };
        let by_id: HashMap<u32, GraphSize> =
            self.former.graphs.iter().map(|&g| (g.id, g)).collect();
        let carried = cursor.carried.iter().map(|id| {
            by_id.get(id).copied().ok_or_else(|| bad(format!("graph {id} is not in this subset")))
        });
        let carried = carried.collect::<Result<Vec<_>, _>>()?;
        self.events.clear();
        self.former.start_epoch(cursor.epoch, &carried);
        while self.former.cursor.batch < cursor.batch {
            if !self.former.advance()? || self.former.cursor.epoch != cursor.epoch {
                return Err(bad(format!(
                    "the epoch has only {} batches",
                    self.former.cursor.batch
                )));
            }
        }
        Ok(())
    }

    fn metrics(&self) -> Vec<(String, f64)> {
        self.former.grouping.metrics()
    }

    fn take_events(&mut self) -> Vec<BatchEvent> {
        std::mem::take(&mut self.events)
    }
}

/// Groups of fixed composition.
struct FixedStream {
    ctx: BatchContext,
    padding: PaddingRule,
    groups: Vec<Vec<GraphSize>>,
    by: Option<DistanceOrder>,
    order: Vec<u32>,
    cursor: Cursor,
    metrics: Vec<(String, f64)>,
    events: Vec<BatchEvent>,
}

impl FixedStream {
    /// `last` is the last group of the previous epoch; only some orders depend on it.
    fn start_epoch(&mut self, epoch: u64, last: Option<u32>) {
        self.cursor = Cursor { epoch, ..Cursor::default() };
        self.order = match &self.by {
            None => self.ctx.batch_permutation(epoch, self.groups.len()),
            Some(by) => {
                self.cursor.last = last;
                by.order(epoch, last)
            }
        };
    }
}

impl BatchStream for FixedStream {
    fn next(&mut self, plan: &mut BatchPlan) -> Result<bool, BatcherError> {
        if self.cursor.batch as usize == self.groups.len() {
            self.start_epoch(self.cursor.epoch + 1, self.order.last().copied());
        }
        let group = self.order[self.cursor.batch as usize];
        self.cursor.batch += 1;
        write_plan(plan, &self.groups[group as usize], &self.padding, &self.cursor)?;
        plan.cache_key = Some(u64::from(group));
        Ok(true)
    }

    fn seek(&mut self, cursor: &Cursor) -> Result<(), BatcherError> {
        let n = self.groups.len();
        let has_last = self.by.is_some() && cursor.epoch > 0;
        let last = cursor.last;
        let reason = if cursor.batch as usize > n {
            format!("the epoch has only {n} batches")
        } else if last.is_some() != has_last || last.is_some_and(|last| last as usize >= n) {
            {
                let last = last.map_or("none".into(), |last| last.to_string());
                format!("last batch of the epoch before: {last}, which this stream did not write")
            }
        } else {
            self.start_epoch(cursor.epoch, last);
            self.cursor.batch = cursor.batch;
            self.events.clear();
            return Ok(());
        };
        Err(BatcherError::BadCursor { epoch: cursor.epoch, batch: cursor.batch, reason })
    }

    fn metrics(&self) -> Vec<(String, f64)> {
        self.metrics.clone()
    }

    fn take_events(&mut self) -> Vec<BatchEvent> {
        std::mem::take(&mut self.events)
    }
}

fn write_plan(
    plan: &mut BatchPlan,
    group: &[GraphSize],
    padding: &PaddingRule,
    cursor: &Cursor,
) -> Result<(), BatcherError> {
    plan.clear(Level::Graphs);
    for &graph in group {
        plan.push_graph(graph);
    }
    plan.shape = padding.shape(plan.real);
    plan.cursor.clone_from(cursor);
    // Sums of sizes saturate.
    if plan.shape.n_node.max(plan.shape.n_edge) == u32::MAX {
        return Err(BatcherError::Options(format!(
            "{} graphs, the first of them graph {}, have more nodes or edges with padding than 32 bits can \
             count; use a smaller batch_size",
            group.len(),
            group[0].id
        )));
    }
    Ok(())
}
