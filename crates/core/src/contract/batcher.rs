//! A batcher decides the members and the shape of every batch.

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

pub use crate::batching::label::{NamedStrategies, label};

/// A description of a batching strategy, selected by `[batcher] name = "..."`.
///
/// A batcher **only decides**: it sees graph sizes (or the structure of one large graph) and names
/// the members of each batch. Copying, padding and masking are done by
/// [`collate`](crate::collate()), with the same code for every batcher, so a difference between two
/// strategies is never a difference between two implementations.
///
/// For most strategies on many graphs it is enough to say how a group is formed;
/// [`crate::grouping`] handles epochs, padding, resuming and fixed composition:
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
    /// Name of the strategy in results and figures, for example `static-64`: by default
    /// [`label()`], which includes every option that differs from its default. It identifies the
    /// algorithm, not the batch size.
    fn label(&self) -> String {
        label(self)
    }

    /// Options that appear in the label even at their default, for example `padding`.
    fn always_in_label(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether the strategy batches whole graphs or the nodes of one graph.
    fn level(&self) -> Level;

    /// Whether a batch contains everything that its outputs depend on, for any model. Such
    /// strategies compute the same function of the data and can be ranked by time per output; the
    /// others drop nodes or edges and are ranked by time to a given accuracy. Batches of whole
    /// graphs always qualify; for the nodes of one graph, in general only the whole graph does.
    fn is_whole(&self) -> bool {
        self.level() == Level::Graphs
    }

    /// The study's B: at most B - 1 real graphs plus one slot for padding. `None` if the strategy
    /// has no such limit.
    fn batch_size(&self) -> Option<u32>;

    /// Opens a stream over one subset of the data. Called once per subset and purpose, before the
    /// first step; the elapsed time is recorded as `prepare`.
    ///
    /// # Errors
    /// Options that cannot work on this view.
    fn open(&self, view: View, ctx: BatchContext) -> Result<Box<dyn BatchStream>, BatcherError>;
}

/// A running batcher. It may be moved to a prefetching thread.
pub trait BatchStream: Send {
    /// Decides the next batch and writes it to `plan`, replacing its content.
    ///
    /// Called once per step. Training streams never end; evaluation streams return `Ok(false)`
    /// after one pass. After an error the stream is not called again.
    ///
    /// # Errors
    /// A graph that fits no batch, or an epoch that yields no batch.
    fn next(&mut self, plan: &mut BatchPlan) -> Result<bool, BatcherError>;

    /// Continues after the batch that carried this cursor; with 0 instead of its number in the
    /// epoch, at the beginning of that epoch. Called at most once, when a run is resumed; on several
    /// ranks, after batches of the first epoch have been planned, so it resets everything.
    ///
    /// # Errors
    /// A cursor written by another stream.
    fn seek(&mut self, cursor: &Cursor) -> Result<(), BatcherError>;

    /// Number of batches per training epoch, if known. Where batches vary in size, gradients are
    /// scaled by the mean number of outputs per batch, which follows from this number
    /// ([`crate::weighting`]).
    fn batches_per_epoch(&self) -> Option<NonZeroU64> {
        None
    }

    /// Named numbers such as an estimated budget, written to the `metrics` table once, after
    /// opening.
    fn metrics(&self) -> Vec<(String, f64)> {
        Vec::new()
    }

    /// Events about single graphs since the last call, written to the `events` table. A stream
    /// reports each graph once, even over many epochs; after `seek` it does not report again.
    fn take_events(&mut self) -> Vec<BatchEvent> {
        Vec::new()
    }
}

/// An event about one graph during batching.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchEvent {
    /// Kind of event, for example `oversize`.
    pub kind: &'static str,
    /// Identifier of the graph in the store, if the event concerns one.
    pub graph: Option<u32>,
    /// Message for the user.
    pub message: String,
}

/// What a stream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Endless, with a new random order every epoch.
    Training,
    /// One pass over all graphs, in the order of the view.
    Evaluation,
}

/// What a batcher receives when it opens.
#[derive(Clone)]
pub struct BatchContext {
    /// Purpose of the stream.
    pub purpose: Purpose,
    /// Seed of all random decisions.
    pub seed: u64,
    /// Progress reports of expensive preparation.
    pub progress: Arc<dyn Progress>,
    /// Caches the results of expensive preparation between runs.
    pub cache: Arc<dyn ByteCache>,
    /// Original cost in nanoseconds of preparation served from the cache, so that a hit is charged
    /// like a miss.
    pub spared_ns: Arc<AtomicU64>,
    /// Size in bytes of a batch with the fields that the model needs.
    pub footprint: Footprint,
}

impl BatchContext {
    /// A context without progress reports or cache, for a model without optional fields.
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

    /// Order of `n` members in one epoch: a random permutation for training, the order of the view
    /// for evaluation.
    #[must_use]
    pub fn permutation(&self, epoch: u64, n: usize) -> Vec<u32> {
        self.shuffled("order", epoch, n)
    }

    /// Order of `n` batches of fixed composition in one epoch.
    #[must_use]
    pub fn batch_permutation(&self, epoch: u64, n: usize) -> Vec<u32> {
        self.shuffled("batch order", epoch, n)
    }

    /// Result of expensive preparation: from the cache if present, otherwise computed and cached.
    ///
    /// The key must contain the strategy and everything that the value depends on; for a graph use
    /// [`OneGraph::structure_hash`](crate::graphs::OneGraph::structure_hash).
    ///
    /// # Errors
    /// Errors from `compute`.
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
        // Includes the cost of nested preparation that was served from the cache.
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

/// A preparation result and the nanoseconds it took to compute.
#[derive(Serialize, Deserialize)]
struct Kept<T> {
    ns: u64,
    value: T,
}

/// Keeps bytes under a key between runs, for preparation that takes minutes. The implementation for
/// `()` caches nothing.
pub trait ByteCache: Send + Sync {
    /// The bytes stored under this key, if still available.
    fn get(&self, _key: &str) -> Option<Vec<u8>> {
        None
    }
    /// Stores bytes. Failing to do so is not an error.
    fn put(&self, _key: &str, _bytes: &[u8]) {}
    /// Nanoseconds on a monotonic clock with an arbitrary origin; used to time preparation.
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
        // Computing the order requires the scores.
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
