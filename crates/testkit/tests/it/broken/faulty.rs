//! A correct batcher with one mistake at a time.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, ThreadId};

use batchlab_core::grouping::{Composition, EpochGraphs, GroupOptions, Grouping, open_groups};
use batchlab_core::padding::{BatchSize, Padding};
use batchlab_core::{
    BatchContext, BatchPlan, BatchStream, Batcher, BatcherError, Cursor, GraphSize, Level, Purpose,
    View,
};
use serde::{Deserialize, Serialize};

/// The mistake. Comments describe the real mistakes that they represent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fault {
    None,
    /// Training ends after one epoch.
    Ends,
    /// The last graph of every larger batch is lost: it did not fit and was not kept.
    Drops,
    /// The first graph of a larger batch is repeated.
    Repeats,
    /// An evaluation never delivers its last batch, because it is not full.
    DropsTail,
    /// An evaluation runs in reverse order.
    Backwards,
    /// An evaluation is shuffled like training.
    ShufflesEvaluation,
    /// One graph too many: no slot is left for padding.
    OneTooMany,
    /// Padding edges, but no node at which they could end.
    NoPaddingNode,
    /// The real size of the plan has an extra edge.
    WrongRealSize,
    /// An extra weight: padding has a weight.
    PaddingWeighs,
    /// A counter of openings is shared by all runs of the process.
    GlobalCounter,
    /// The seed is ignored.
    IgnoresSeed,
    /// Batches depend on the thread that requests them.
    ThreadLocal,
    /// Positions in the view are used as identifiers.
    Positions,
    /// Weights of an earlier plan remain in the caller's plan.
    StaleWeights,
    /// Batches are frozen at construction and only shuffled, without declaring it.
    Frozen,
    /// Two different batches have the same cache key.
    SharedCacheKey,
    /// Resuming repeats a batch.
    RepeatsBatch,
    /// Resuming loses the graphs that were carried into the epoch.
    ForgetsCarried,
    /// Restoring does not clear pending graphs: correct only before anything was drawn.
    RestoresOnTop,
    /// Resuming continues after the last batch that was *decided*, from state kept elsewhere.
    ResumesAhead,
    /// There is no position before the first batch of an epoch.
    NeverBegins,
    /// Without graphs there are empty batches.
    EmptyBatches,
    /// One large graph is mistaken for an empty set of graphs.
    AnyLevel,
    /// A single graph does not form a batch.
    NeedsTwo,
    /// Graphs without edges are dropped.
    LeavesOutEdgeless,
    /// Very large graphs are dropped silently.
    LeavesOutLarge,
    /// A metric counts the calls.
    CountsCalls,
    /// A metric is NaN.
    MetricIsNan,
    /// An option is not serialised.
    ForgetsOption,
}

/// A fixed number of graphs in every batch, with one mistake.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Faulty {
    pub(crate) fault: Fault,
    pub(crate) batch_size: BatchSize,
    #[serde(skip)]
    pub(crate) option: u64,
}

impl Faulty {
    pub(crate) fn new(fault: Fault, batch_size: BatchSize) -> Self {
        let option = u64::from(fault == Fault::ForgetsOption);
        Self { fault, batch_size, option }
    }
}

static N_OPENED: AtomicU64 = AtomicU64::new(0);

#[typetag::serde(name = "faulty")]
impl Batcher for Faulty {
    fn label(&self) -> String {
        "faulty".into()
    }

    fn level(&self) -> Level {
        Level::Graphs
    }

    fn batch_size(&self) -> Option<u32> {
        Some(self.batch_size.get())
    }

    fn open(
        &self,
        view: View,
        mut ctx: BatchContext,
    ) -> Result<Box<dyn BatchStream>, BatcherError> {
        let View::ManyGraphs(graphs) = view else {
            if self.fault == Fault::AnyLevel {
                return Ok(Box::new(Nothing { is_endless: false }));
            }
            return Err(BatcherError::WrongLevel { expected: Level::Graphs, got: Level::Nodes });
        };
        if graphs.is_empty() && self.fault == Fault::EmptyBatches {
            return Ok(Box::new(Nothing { is_endless: true }));
        }
        let mut graphs = graphs.to_vec();
        let purpose = ctx.purpose;
        let seed = ctx.seed;
        let is_evaluation = purpose == Purpose::Evaluation;
        ctx.seed += self.option;
        match self.fault {
            Fault::Backwards if is_evaluation => graphs.reverse(),
            Fault::GlobalCounter => ctx.seed += 1000 * N_OPENED.fetch_add(1, Ordering::Relaxed),
            Fault::IgnoresSeed => ctx.seed = 0,
            Fault::LeavesOutEdgeless => graphs.retain(|graph| graph.n_edge > 0),
            Fault::LeavesOutLarge => graphs.retain(|graph| graph.n_node < 1000),
            Fault::NeedsTwo if graphs.len() < 2 => graphs.clear(),
            Fault::ShufflesEvaluation if is_evaluation => {
                let order = batchlab_core::random::permutation(seed, "order", 0, graphs.len());
                graphs = order.iter().map(|&position| graphs[position as usize]).collect();
            }
            _ => {}
        }
        let too_many = u32::from(self.fault == Fault::OneTooMany);
        let slots = BatchSize::try_from(self.batch_size.get() + too_many)?;
        let mut options = GroupOptions::new(slots, MULTIPLE_OF_8);
        if matches!(self.fault, Fault::Frozen | Fault::SharedCacheKey) {
            options.composition = Composition::Fixed;
        }
        let open = || {
            let grouping = Count {
                n_graph: slots.max_graph() as usize,
                pending: Vec::new(),
                restores_on_top: self.fault == Fault::RestoresOnTop,
            };
            open_groups(
                View::ManyGraphs(graphs.clone().into()),
                ctx.clone(),
                grouping,
                options.clone(),
            )
        };
        let n_batch = if is_evaluation { count(open()?) } else { 0 };
        Ok(Box::new(Stream {
            inner: open()?,
            fault: self.fault,
            purpose,
            n_batch,
            n_next: 0,
            key: (seed, graphs.clone().into_iter().map(|g| (g.n_node, g.n_edge)).collect()),
            position: graphs
                .iter()
                .zip(0..)
                .map(|(graph, position)| (graph.id, position))
                .collect(),
            size: graphs.iter().map(|graph| (graph.id, *graph)).collect(),
            opened_on: thread::current().id(),
            n_call: AtomicU64::new(0),
        }))
    }
}

const MULTIPLE_OF_8: Padding = Padding::Multiple(std::num::NonZeroU32::new(8).expect("8 is not 0"));

fn count(mut stream: Box<dyn BatchStream>) -> u64 {
    let mut plan = BatchPlan::default();
    let mut n_batch = 0;
    while stream.next(&mut plan).unwrap_or(false) {
        n_batch += 1;
    }
    n_batch
}

struct Nothing {
    is_endless: bool,
}

impl BatchStream for Nothing {
    fn next(&mut self, plan: &mut BatchPlan) -> Result<bool, BatcherError> {
        plan.clear(Level::Graphs);
        Ok(self.is_endless)
    }
    fn seek(&mut self, _: &Cursor) -> Result<(), BatcherError> {
        Ok(())
    }
}

/// Seed and sizes: the run that a note belongs to.
type Key = (u64, Vec<(u32, u32)>);

struct Stream {
    inner: Box<dyn BatchStream>,
    fault: Fault,
    purpose: Purpose,
    n_batch: u64,
    n_next: u64,
    key: Key,
    position: BTreeMap<u32, u32>,
    size: BTreeMap<u32, GraphSize>,
    opened_on: ThreadId,
    n_call: AtomicU64,
}

/// Last position of each run; see [`Fault::ResumesAhead`].
static NOTES: Mutex<BTreeMap<Key, Cursor>> = Mutex::new(BTreeMap::new());

impl BatchStream for Stream {
    fn next(&mut self, plan: &mut BatchPlan) -> Result<bool, BatcherError> {
        let is_training = self.purpose == Purpose::Training;
        let stale = std::mem::take(&mut plan.output_weight);
        self.n_next += 1;
        if !is_training
            && self.fault == Fault::DropsTail
            && self.n_next == self.n_batch
            && self.n_batch > 1
        {
            return Ok(false);
        }
        if !self.inner.next(plan)? {
            return Ok(false);
        }
        match self.fault {
            Fault::Ends if plan.cursor.epoch > 0 => return Ok(false),
            Fault::Drops if is_training && plan.members.len() > 1 => {
                plan.members.pop();
                self.measure(plan);
            }
            Fault::Repeats if is_training && plan.members.len() > 1 => {
                *plan.members.last_mut().expect("it has two") = plan.members[0];
                self.measure(plan);
            }
            Fault::NoPaddingNode => plan.shape.n_node = plan.real.n_node,
            Fault::WrongRealSize => plan.real.n_edge += 1,
            Fault::PaddingWeighs => plan.output_weight = vec![1.0; plan.members.len() + 1],
            Fault::ThreadLocal if thread::current().id() != self.opened_on => {
                plan.members.reverse();
            }
            Fault::Positions => {
                for id in &mut plan.members {
                    *id = self.position[id];
                }
            }
            Fault::StaleWeights => plan.output_weight = stale,
            Fault::Frozen => plan.cache_key = None,
            Fault::SharedCacheKey => plan.cache_key = plan.cache_key.map(|cache_key| cache_key / 2),
            Fault::ResumesAhead => {
                let mut notes = NOTES.lock().expect("nobody panics with it");
                notes.insert(self.key.clone(), plan.cursor.clone());
            }
            _ => {}
        }
        Ok(true)
    }

    fn seek(&mut self, cursor: &Cursor) -> Result<(), BatcherError> {
        let mut cursor = cursor.clone();
        match self.fault {
            Fault::RepeatsBatch => cursor.batch -= 1,
            Fault::ForgetsCarried => cursor.carried.clear(),
            Fault::NeverBegins => cursor.batch = cursor.batch.max(1),
            Fault::ResumesAhead => {
                let notes = NOTES.lock().expect("nobody panics with it");
                cursor = notes.get(&self.key).unwrap_or(&cursor).clone();
            }
            _ => {}
        }
        self.inner.seek(&cursor)
    }

    fn metrics(&self) -> Vec<(String, f64)> {
        let n_call = self.n_call.fetch_add(1, Ordering::Relaxed);
        match self.fault {
            Fault::CountsCalls => vec![("n_call".into(), n_call as f64)],
            Fault::MetricIsNan => vec![("mean".into(), f64::NAN)],
            _ => Vec::new(),
        }
    }
}

impl Stream {
    /// Recounts the members; the padded shape grows if necessary.
    fn measure(&self, plan: &mut BatchPlan) {
        let members = std::mem::take(&mut plan.members);
        plan.real = batchlab_core::Shape::default();
        for id in &members {
            plan.push_graph(self.size[id]);
        }
        plan.shape.n_node = plan.shape.n_node.max(plan.real.n_node + 1);
        plan.shape.n_edge = plan.shape.n_edge.max(plan.real.n_edge);
    }
}

/// The next graphs, regardless of size.
struct Count {
    n_graph: usize,
    pending: Vec<GraphSize>,
    /// With one graph drawn ahead, like a grouping that looks for a graph that does not fit.
    restores_on_top: bool,
}

impl Grouping for Count {
    fn next_group(
        &mut self,
        graphs: &mut EpochGraphs<'_>,
        group: &mut Vec<GraphSize>,
    ) -> Result<bool, BatcherError> {
        let n_drawn = self.n_graph + usize::from(self.restores_on_top);
        while self.pending.len() < n_drawn {
            let Some(graph) = graphs.next() else { return Ok(false) };
            self.pending.push(graph);
        }
        group.extend(self.pending.drain(..self.n_graph));
        Ok(true)
    }

    fn emit_partial(&mut self, group: &mut Vec<GraphSize>) -> Result<bool, BatcherError> {
        group.append(&mut self.pending);
        Ok(!group.is_empty())
    }

    fn pending(&self) -> &[GraphSize] {
        &self.pending
    }

    fn restore(&mut self, carried: &[GraphSize]) {
        if !self.restores_on_top {
            self.pending.clear();
        }
        let is_there = |graph: &GraphSize| self.pending.iter().any(|other| other.id == graph.id);
        let new: Vec<GraphSize> =
            carried.iter().copied().filter(|graph| !is_there(graph)).collect();
        self.pending.extend(new);
    }
}
