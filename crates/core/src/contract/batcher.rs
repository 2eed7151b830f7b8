//! Batchers decide the members and the shape of every batch.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::contract::footprint::Footprint;
use crate::contract::graphs::{Level, View};
use crate::contract::plan::{BatchPlan, Cursor};
use crate::contract::progress::Progress;
use crate::{BatcherError, random};

pub use crate::batching::label::label;

/// A description of a batching strategy, selected by `[batcher] name = "..."`.
///
/// A batcher **decides only**: it sees sizes (or the structure of one large graph) and names the
/// members of every batch. Copying, padding and masking are [`collate`](crate::collate())'s, the
/// same code for every batcher, so that a difference between two strategies is never a difference
/// between two implementations.
///
/// Most strategies on many graphs only define how a group is formed; [`crate::grouping`] does
/// epochs, padding, resuming and fixed composition for them:
///
/// ```
/// use batchlab_core::grouping::{EpochGraphs, Grouping, open_groups};
/// use batchlab_core::registry::from_toml;
/// use batchlab_core::{
///     BatchContext, BatchStream, Batcher, BatcherError, GraphSize, Level, Padding, View,
/// };
///
/// batchlab_core::batcher_options! {
///     /// As many graphs as there are slots, in the order in which they come.
///     pub struct InOrder with GroupOptions {}
///     padding = Padding::None
/// }
///
/// #[typetag::serde(name = "in-order")]
/// impl Batcher for InOrder {
///     fn level(&self) -> Level {
///         Level::Graphs
///     }
///     fn batch_size(&self) -> Option<u32> {
///         Some(self.batch_size.get())
///     }
///     fn open(&self, view: View, ctx: BatchContext) -> Result<Box<dyn BatchStream>, BatcherError> {
///         let n_graph = self.batch_size.max_graph() as usize;
///         let grouping = FirstComeGrouping { n_graph, pending: Vec::new() };
///         open_groups(view, ctx, grouping, self.group_options())
///     }
/// }
/// batchlab_core::register!(Batcher, InOrder, example = from_toml("batch_size = 32"));
///
/// struct FirstComeGrouping {
///     n_graph: usize,
///     pending: Vec<GraphSize>,
/// }
///
/// impl Grouping for FirstComeGrouping {
///     fn next_group(
///         &mut self,
///         graphs: &mut EpochGraphs<'_>,
///         group: &mut Vec<GraphSize>,
///     ) -> Result<bool, BatcherError> {
///         while self.pending.len() < self.n_graph {
///             let Some(graph) = graphs.next() else { return Ok(false) };
///             self.pending.push(graph);
///         }
///         group.append(&mut self.pending);
///         Ok(true)
///     }
///     fn emit_partial(&mut self, group: &mut Vec<GraphSize>) -> Result<bool, BatcherError> {
///         group.append(&mut self.pending);
///         Ok(!group.is_empty())
///     }
///     fn pending(&self) -> &[GraphSize] {
///         &self.pending
///     }
///     fn restore(&mut self, carried: &[GraphSize]) {
///         self.pending = carried.to_vec();
///     }
/// }
///
/// let batcher: Box<dyn Batcher> = Box::new(from_toml::<InOrder>("batch_size = 8"));
/// assert_eq!(batcher.label(), "in-order");
/// ```
#[typetag::serde(tag = "name")]
pub trait Batcher: std::fmt::Debug + Send + Sync {
    /// The name of the strategy in results and figures, for example `static-64`: [`label()`], which
    /// tells apart what differs. It says which algorithm, not which batch size.
    fn label(&self) -> String {
        label(self)
    }

    /// Options that are part of the label even at their default, for example `padding`.
    fn always_in_label(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether the strategy works on many graphs or on the nodes of one.
    fn level(&self) -> Level;

    /// Whether a batch holds all that its outputs depend on, for any model. Strategies of which this is
    /// true compute the same function of the data, so that the time per output ranks them; others choose
    /// among nodes or edges, and are ranked by the time to an accuracy. Whole graphs hold all; of the
    /// nodes of one graph, in general only the whole graph does.
    fn is_whole(&self) -> bool {
        self.level() == Level::Graphs
    }

    /// The study's B: at most B - 1 real graphs and one slot for padding. `None` where the notion
    /// does not exist.
    fn batch_size(&self) -> Option<u32>;

    /// Opens a stream over one subset of the data. Called once per subset and purpose, before the
    /// first step; the time it takes is recorded as `prepare`.
    ///
    /// # Errors
    /// Options that cannot work on this view.
    fn open(&self, view: View, ctx: BatchContext) -> Result<Box<dyn BatchStream>, BatcherError>;
}

/// A running batcher. It may move to another thread, which prefetches.
pub trait BatchStream: Send {
    /// Decides the next batch and writes it into `plan`, whose former content is gone.
    ///
    /// Called once per step. Training streams never end; evaluation streams return `Ok(false)`
    /// after one pass. After an error the stream is not called again.
    ///
    /// # Errors
    /// A graph that fits no batch, or an epoch without a batch.
    fn next(&mut self, plan: &mut BatchPlan) -> Result<bool, BatcherError>;

    /// Continues after the batch that carried this cursor. Called at most once, before the first
    /// `next`, when a run is resumed.
    ///
    /// # Errors
    /// A cursor that another stream has written.
    fn seek(&mut self, cursor: &Cursor) -> Result<(), BatcherError>;

    /// The number of batches in every epoch of training, if the stream knows it. Where batches are not all
    /// of one size, gradients are scaled by the mean number of outputs that follows from it
    /// ([`crate::weighting`]).
    fn batches_per_epoch(&self) -> Option<NonZeroU64> {
        None
    }

    /// Numbers such as an estimated budget, as (name, value); they are written to the table
    /// `metrics` once, after opening.
    fn metrics(&self) -> Vec<(String, f64)> {
        Vec::new()
    }

    /// What has happened to single graphs since the last call; written to the table `events`. A
    /// stream reports each graph once, also over many epochs; a stream that was resumed with `seek`
    /// repeats no report.
    fn take_events(&mut self) -> Vec<BatchEvent> {
        Vec::new()
    }
}

/// An event about one graph on its way into a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchEvent {
    /// For example `oversize`.
    pub kind: &'static str,
    /// The graph's identifier in the store, where there is one.
    pub graph: Option<u32>,
    /// Message for the user.
    pub message: String,
}

/// What a stream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Endless, a new random order every epoch.
    Training,
    /// One pass over all graphs, which arrive in the order of the view.
    Evaluation,
}

/// What a batcher is given when it opens.
#[derive(Clone)]
pub struct BatchContext {
    /// What the stream is for.
    pub purpose: Purpose,
    /// Seed of every random decision.
    pub seed: u64,
    /// Where costly preparation reports.
    pub progress: Arc<dyn Progress>,
    /// Keeps the result of costly preparation between runs.
    pub cache: Arc<dyn ByteCache>,
    /// Nanoseconds that preparation took when it was computed whose result the cache has given, so that a
    /// strategy costs the same whether or not it was used before.
    pub spared_ns: Arc<AtomicU64>,
    /// Bytes that a batch takes with the fields that the model needs.
    pub footprint: Footprint,
}

impl BatchContext {
    /// A context without progress reports or a cache, for a model without optional needs.
    #[must_use]
    pub fn new(purpose: Purpose, seed: u64) -> Self {
        Self {
            purpose,
            seed,
            progress: Arc::new(()),
            cache: Arc::new(()),
            spared_ns: Arc::default(),
            footprint: Footprint::default(),
        }
    }

    /// The order of `n` members in one epoch: a random permutation for training, the order of the
    /// view for evaluation.
    #[must_use]
    pub fn permutation(&self, epoch: u64, n: usize) -> Vec<u32> {
        self.shuffled("order", epoch, n)
    }

    /// The order of `n` batches of fixed composition in one epoch.
    #[must_use]
    pub fn batch_permutation(&self, epoch: u64, n: usize) -> Vec<u32> {
        self.shuffled("batch order", epoch, n)
    }

    /// What costly preparation computes: taken from the cache if it is there, else computed and kept.
    ///
    /// The key names the strategy and everything that the value follows from; for a graph that is
    /// [`OneGraph::structure_hash`](crate::graphs::OneGraph::structure_hash).
    ///
    /// # Errors
    /// Those of `compute`.
    pub fn prepared<T: Serialize + DeserializeOwned, E>(
        &self,
        key: &str,
        compute: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let kept = self.cache.get(key);
        if let Some(Kept { ns, value }) = kept.and_then(|bytes| serde_json::from_slice(&bytes).ok())
        {
            self.spared_ns.fetch_add(ns, Ordering::Relaxed);
            return Ok(value);
        }
        let (start, before) = (self.cache.now_ns(), self.spared_ns.load(Ordering::Relaxed));
        let value = compute()?;
        // With what was spared within.
        let within = self.spared_ns.load(Ordering::Relaxed) - before;
        let ns = self.cache.now_ns().saturating_sub(start).saturating_add(within);
        if let Ok(bytes) = serde_json::to_vec(&Kept { ns, value: &value }) {
            self.cache.put(key, &bytes);
        }
        Ok(value)
    }

    fn shuffled(&self, purpose: &str, epoch: u64, n: usize) -> Vec<u32> {
        match self.purpose {
            Purpose::Training => random::permutation(self.seed, purpose, epoch, n),
            Purpose::Evaluation => (0..n as u32).collect(),
        }
    }
}

/// What preparation computed, and the nanoseconds that it took.
#[derive(Serialize, Deserialize)]
struct Kept<T> {
    ns: u64,
    value: T,
}

/// Keeps bytes under a key between runs, for preparation that takes minutes. The implementation
/// `()` keeps nothing.
pub trait ByteCache: Send + Sync {
    /// What was stored under this key, if it is still there.
    fn get(&self, _key: &str) -> Option<Vec<u8>> {
        None
    }
    /// Stores bytes; failing to do so is not an error.
    fn put(&self, _key: &str, _bytes: &[u8]) {}
    /// Nanoseconds on a clock that never goes back, from any beginning: what preparation takes is kept with
    /// its result.
    fn now_ns(&self) -> u64;
}

impl ByteCache for () {
    fn now_ns(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct InMemory {
        values: Mutex<BTreeMap<String, Vec<u8>>>,
        clock: AtomicU64,
    }

    impl ByteCache for InMemory {
        fn get(&self, key: &str) -> Option<Vec<u8>> {
            self.values.lock().unwrap().get(key).cloned()
        }
        fn put(&self, key: &str, bytes: &[u8]) {
            self.values.lock().unwrap().insert(key.into(), bytes.to_vec());
        }
        fn now_ns(&self) -> u64 {
            self.clock.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn what_the_cache_spares_is_what_computing_took() {
        let cache = Arc::new(InMemory::default());
        let open = || BatchContext {
            cache: Arc::clone(&cache) as Arc<dyn ByteCache>,
            ..BatchContext::new(Purpose::Training, 0)
        };
        let work = |ns| cache.clock.fetch_add(ns, Ordering::Relaxed);
        let spared_ns = |ctx: &BatchContext| ctx.spared_ns.load(Ordering::Relaxed);
        let scores = |ctx: &BatchContext| {
            ctx.prepared("scores", || {
                work(20);
                Ok::<_, BatcherError>(7)
            })
        };
        // Computing the order takes the scores.
        let order = |ctx: &BatchContext| {
            let all = ctx.prepared("order", || {
                work(3);
                scores(ctx)
            });
            all.unwrap()
        };

        let first = open();
        assert_eq!((scores(&first).unwrap(), spared_ns(&first)), (7, 0));
        let second = open();
        assert_eq!((order(&second), spared_ns(&second)), (7, 20));
        let third = open();
        assert_eq!((order(&third), spared_ns(&third)), (7, 23));
    }
}
