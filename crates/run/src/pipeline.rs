//! Prepares batches: plans and collates them, either on request or ahead of time in another thread.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use batchlab_core::batcher::BatchEvent;
use batchlab_core::model::{BatchKey, ModelSize, Slot, Trainer};
use batchlab_core::weighting::Weighting;
use batchlab_core::{
    BatchBuffer, BatchContext, BatchFields, BatchPlan, BatchStream, Batcher, BatcherError, Graphs,
    ModelError, PaddedBatch, View, collate,
};
use batchlab_ranks::{RankStream, Share};

use crate::RunError;
use crate::memory;

/// Memory limit for kept batches of fixed composition; beyond it, batches are collated each time.
const MAX_KEPT_BYTES: usize = 2 << 30;

#[derive(Default)]
pub(crate) struct Prepared {
    pub(crate) plan: BatchPlan,
    pub(crate) plan_ns: i64,
    pub(crate) collate_ns: i64,
    pub(crate) events: Vec<BatchEvent>,
    own: BatchBuffer,
    kept: Option<Arc<BatchBuffer>>,
}

impl Prepared {
    pub(crate) fn batch(&self) -> PaddedBatch<'_> {
        self.kept.as_deref().unwrap_or(&self.own).batch()
    }
}

/// Stream number of training among the [keys](BatchKey) of a run; evaluations count from 1.
pub(crate) const TRAINING: u64 = 0;

/// Copies a batch to the device, unless it recurs and is already there.
pub(crate) fn upload(
    trainer: &mut dyn Trainer,
    slot: Slot,
    prepared: &Prepared,
    stream: u64,
) -> Result<(), ModelError> {
    let batch = prepared.batch();
    match prepared.plan.cache_key {
        Some(recipe) => trainer.upload_kept(slot, BatchKey { stream, recipe }, &batch),
        None => trainer.upload(slot, &batch),
    }
}

pub(crate) enum Pipeline {
    OnDemand(Box<Producer>),
    Prefetched(Prefetcher),
}

impl Pipeline {
    /// `depth` is the number of prefetched batches; 0 means that each is prepared on request.
    ///
    /// # Errors
    /// A failure to create a thread.
    pub(crate) fn new(producer: Producer, depth: u32) -> Result<Self, RunError> {
        Ok(match depth {
            0 => Self::OnDemand(Box::new(producer)),
            depth => Self::Prefetched(Prefetcher::start(producer, depth as usize)?),
        })
    }

    /// Puts the next batch into `prepared`, whose memory is reused. `Ok(false)`: the stream has
    /// ended.
    pub(crate) fn next(&mut self, prepared: &mut Prepared) -> Result<bool, RunError> {
        match self {
            Self::OnDemand(producer) => producer.prepare(prepared),
            Self::Prefetched(prefetcher) => prefetcher.next(prepared),
        }
    }

    /// Starts prefetching the batches after this one. Work before this call, such as an evaluation,
    /// must not prefetch for later steps.
    pub(crate) fn go_on(&mut self) {
        if let Self::Prefetched(prefetcher) = self {
            prefetcher.go_on();
        }
    }

    /// The kept batches, for another stream of the same plans; empty if a thread has them.
    pub(crate) fn into_kept(self) -> KeptBatches {
        match self {
            Self::OnDemand(producer) => producer.kept,
            Self::Prefetched(_) => KeptBatches::default(),
        }
    }
}

/// Collated batches that recur, by recipe.
pub(crate) struct KeptBatches {
    batches: HashMap<u64, Arc<BatchBuffer>>,
    pub(crate) n_byte: usize,
    /// Size in bytes beyond which no more batches are kept.
    limit: usize,
}

impl KeptBatches {
    pub(crate) fn up_to(self, limit: usize) -> Self {
        Self { limit, ..self }
    }
}

impl Default for KeptBatches {
    fn default() -> Self {
        Self { batches: HashMap::new(), n_byte: 0, limit: MAX_KEPT_BYTES }
    }
}

pub(crate) struct Producer {
    graphs: Arc<Graphs>,
    stream: Box<dyn BatchStream>,
    needs: BatchFields,
    weighting: Weighting,
    kept: KeptBatches,
    /// Size of the model and its activations.
    model: ModelSize,
    /// Number of simultaneously existing batches: prefetched, being prepared, and on the device.
    n_batch: u64,
    /// Maximum bytes of a step.
    limit: u64,
    /// Batches to pass over, those of other ranks: before the next batch, and before each later one.
    n_skipped: [usize; 2],
}

impl Producer {
    pub(crate) fn new(
        graphs: Arc<Graphs>,
        stream: Box<dyn BatchStream>,
        needs: BatchFields,
    ) -> Result<Self, RunError> {
        let weighting = Weighting::default();
        Ok(Self {
            graphs,
            stream,
            needs,
            weighting,
            kept: KeptBatches::default(),
            model: ModelSize::default(),
            n_batch: 2,
            limit: memory::limit()?,
            n_skipped: [0, 0],
        })
    }

    /// Takes over the batches kept by an earlier stream of the same plans.
    pub(crate) fn keeping(self, kept: KeptBatches) -> Self {
        Self { kept, ..self }
    }

    /// For training a model of this size with this many prefetched batches.
    pub(crate) fn for_training(self, model: ModelSize, depth: u32) -> Self {
        Self { model, n_batch: 2 + u64::from(depth), ..self }
    }

    pub(crate) fn weighted(self, weighting: Weighting) -> Self {
        Self { weighting, ..self }
    }

    /// Prepares only the batches of one of `n_rank` ranks, which take turns.
    pub(crate) fn of_rank(self, (rank, n_rank): (usize, usize)) -> Self {
        Self { n_skipped: [rank, n_rank - 1], ..self }
    }

    fn prepare(&mut self, prepared: &mut Prepared) -> Result<bool, RunError> {
        let start = Instant::now();
        let [first, later] = self.n_skipped;
        self.n_skipped = [later, later];
        for _ in 0..=first {
            if !self.stream.next(&mut prepared.plan)? {
                return Ok(false);
            }
        }
        prepared.events = self.stream.take_events();
        self.weighting.weigh(&self.graphs, &mut prepared.plan);
        let planned = Instant::now();
        self.collate(prepared)?;
        prepared.plan_ns = nanoseconds(start, planned);
        prepared.collate_ns = nanoseconds(planned, Instant::now());
        Ok(true)
    }

    fn collate(&mut self, prepared: &mut Prepared) -> Result<(), RunError> {
        let cache_key = prepared.plan.cache_key;
        let kept = cache_key.and_then(|cache_key| self.kept.batches.get(&cache_key));
        prepared.kept = kept.map(Arc::clone);
        if prepared.kept.is_some() {
            return Ok(());
        }
        self.check_memory(&prepared.plan)?;
        let Some(cache_key) = cache_key.filter(|_| self.kept.n_byte < self.kept.limit) else {
            return Ok(collate(&self.graphs, &prepared.plan, &self.needs, &mut prepared.own)?);
        };
        let mut buffer = BatchBuffer::new();
        collate(&self.graphs, &prepared.plan, &self.needs, &mut buffer)?;
        self.kept.n_byte += size_of_val(buffer.batch().words);
        let kept = Arc::new(buffer);
        self.kept.batches.insert(cache_key, Arc::clone(&kept));
        prepared.kept = Some(kept);
        Ok(())
    }

    /// Rejects a step that does not fit into memory, before the system kills the process.
    fn check_memory(&self, plan: &BatchPlan) -> Result<(), RunError> {
        let width = self.graphs.batch_feature_width(&self.needs);
        let own = self.graphs.own_footprint(&self.needs).n_byte(plan.shape);
        let batch = BatchBuffer::n_byte(plan.level, plan.shape, &self.needs, width) as u64 + own;
        let kept = self.model.n_kept_byte(plan.shape.n_node, plan.shape.n_edge);
        let needed = batch
            .saturating_mul(self.n_batch)
            .saturating_add(kept)
            .saturating_add(u64::try_from(self.model.n_byte()).unwrap_or(u64::MAX));
        if needed <= self.limit {
            return Ok(());
        }
        Err(RunError::config(format!(
            "a step on a batch of {} nodes and {} edges, padding included, takes about {needed} bytes \
             ({}), but only {} may be used; use a smaller batch_size, budget, padding or model, or \
             set {}, for example to {}",
            plan.shape.n_node,
            plan.shape.n_edge,
            memory::readable(needed.into()),
            memory::readable(self.limit.into()),
            memory::VARIABLE,
            memory::enough(needed.into()),
        )))
    }
}

/// A thread that prepares one batch for each buffer it receives.
pub(crate) struct Prefetcher {
    /// Both are closed to end the thread.
    full: Option<Receiver<Result<Option<Prepared>, RunError>>>,
    empty: Option<Sender<Prepared>>,
    thread: Option<JoinHandle<()>>,
    depth: usize,
    /// Batches requested but not yet taken.
    n_ahead: usize,
    /// Buffers for reuse.
    spare: Vec<Prepared>,
}

impl Prefetcher {
    fn start(mut producer: Producer, depth: usize) -> Result<Self, RunError> {
        let (send_full, full) = channel();
        let (empty, receive_empty) = channel::<Prepared>();
        let work = move || {
            for mut prepared in receive_empty {
                let result = producer.prepare(&mut prepared).map(|more| more.then_some(prepared));
                let is_last = !matches!(result, Ok(Some(_)));
                // The run may have ended in the meantime.
                if send_full.send(result).is_err() || is_last {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("prefetch".into()).spawn(work);
        let thread = Some(thread.map_err(RunError::Thread)?);
        Ok(Self {
            full: Some(full),
            empty: Some(empty),
            thread,
            depth,
            n_ahead: 0,
            spare: Vec::new(),
        })
    }

    fn next(&mut self, prepared: &mut Prepared) -> Result<bool, RunError> {
        if self.n_ahead == 0 {
            self.ask();
        }
        let full = self.full.as_ref().ok_or(RunError::Pipeline)?;
        let Some(next) = full.recv().map_err(|_| RunError::Pipeline)?? else { return Ok(false) };
        self.n_ahead -= 1;
        self.spare.push(std::mem::replace(prepared, next));
        Ok(true)
    }

    fn go_on(&mut self) {
        while self.n_ahead < self.depth {
            self.ask();
        }
    }

    fn ask(&mut self) {
        self.n_ahead += 1;
        if let Some(empty) = &self.empty {
            // Fails only if the thread has ended after its last batch.
            let _ = empty.send(self.spare.pop().unwrap_or_default());
        }
    }
}

impl Drop for Prefetcher {
    fn drop(&mut self) {
        (self.full, self.empty) = (None, None);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Opens a batcher's stream, or one rank's share of it. The nanoseconds include the original cost of
/// preparation served from the cache.
pub(crate) fn open_timed(
    batcher: &dyn Batcher,
    view: View,
    ctx: BatchContext,
    share: Option<Share>,
) -> Result<(Box<dyn BatchStream>, i64), BatcherError> {
    let (start, spared_ns) = (Instant::now(), Arc::clone(&ctx.spared_ns));
    let stream = match share {
        None => batcher.open(view, ctx)?,
        Some(share) => Box::new(RankStream::open(batcher, view, ctx, share)?),
    };
    let spared = i64::try_from(spared_ns.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
    Ok((stream, nanoseconds(start, Instant::now()).saturating_add(spared)))
}

pub(crate) fn nanoseconds(start: Instant, end: Instant) -> i64 {
    i64::try_from(end.duration_since(start).as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;
    use batchlab_core::graphs::{Edges, ManyGraphs, Topology};
    use batchlab_core::grouping::{Composition, EpochGraphs, GroupOptions, Grouping, open_groups};
    use batchlab_core::padding::{BatchSize, Padding};
    use batchlab_core::{BatchContext, BatcherError, Cursor, GraphSize, Level, Purpose};

    /// Groups of three, carried over from one epoch of ten to the next.
    #[derive(Default)]
    struct Three(Vec<GraphSize>);

    impl Grouping for Three {
        fn next_group(
            &mut self,
            graphs: &mut EpochGraphs<'_>,
            group: &mut Vec<GraphSize>,
        ) -> Result<bool, BatcherError> {
            self.0.extend(graphs.take(3 - self.0.len()));
            let is_complete = self.0.len() == 3;
            if is_complete {
                group.append(&mut self.0);
            }
            Ok(is_complete)
        }
        fn emit_partial(&mut self, group: &mut Vec<GraphSize>) -> Result<bool, BatcherError> {
            group.append(&mut self.0);
            Ok(!group.is_empty())
        }
        fn pending(&self) -> &[GraphSize] {
            &self.0
        }
        fn restore(&mut self, carried: &[GraphSize]) {
            self.0 = carried.to_vec();
        }
    }

    fn pipeline(
        depth: u32,
        purpose: Purpose,
        composition: Composition,
        cursor: Option<&Cursor>,
    ) -> Pipeline {
        let many = ManyGraphs::new(&[2, 3, 4, 5, 6, 2, 3, 4, 5, 6], Edges::FullyConnected).unwrap();
        let graphs = Arc::new(Graphs::new("ten", Topology::Many(many)).unwrap());
        let members: Vec<u32> = (0..10).collect();
        let options = GroupOptions {
            composition,
            ..GroupOptions::new(BatchSize::try_from(4).unwrap(), Padding::None)
        };
        let ctx = BatchContext::new(purpose, 1);
        let mut stream =
            open_groups(graphs.view(&members), ctx, Three::default(), options).unwrap();
        if let Some(cursor) = cursor {
            stream.seek(cursor).unwrap();
        }
        let producer = Producer::new(graphs, stream, BatchFields::default()).unwrap();
        Pipeline::new(producer, depth).unwrap()
    }

    /// The next batches: their plans and contents.
    fn take(pipeline: &mut Pipeline, n: usize) -> Vec<(BatchPlan, Vec<u32>)> {
        let mut prepared = Prepared::default();
        let mut batch = || {
            let more = pipeline.next(&mut prepared).unwrap();
            pipeline.go_on();
            more.then(|| (prepared.plan.clone(), prepared.batch().sender.to_vec()))
        };
        (0..n).map_while(|_| batch()).collect()
    }

    #[test]
    fn batches_prepared_ahead_are_the_same() {
        for composition in [Composition::EveryEpoch, Composition::Fixed] {
            let reference = take(&mut pipeline(0, Purpose::Training, composition, None), 20);
            assert_eq!(reference.len(), 20);
            for depth in [1, 2, 4] {
                let mut ahead = pipeline(depth, Purpose::Training, composition, None);
                assert!(take(&mut ahead, 20) == reference, "depth {depth}");
            }
        }
    }

    /// The relevant cursor is that of the trained batch, not of batches prefetched after it.
    #[test]
    fn a_run_resumes_at_the_batch_it_trained_twice() {
        let every_epoch = Composition::EveryEpoch;
        let reference = take(&mut pipeline(0, Purpose::Training, every_epoch, None), 20);
        for depth in [0, 1, 4] {
            let mut done = Vec::new();
            let mut cursor = None;
            for n in [3, 4, 13] {
                let mut part = pipeline(depth, Purpose::Training, every_epoch, cursor.as_ref());
                done.extend(take(&mut part, n));
                cursor = done.last().map(|(plan, _)| plan.cursor.clone());
            }
            assert!(done == reference, "depth {depth}");
        }
    }

    #[test]
    fn an_evaluation_ends() {
        for depth in [0, 1, 4] {
            let mut once = pipeline(depth, Purpose::Evaluation, Composition::EveryEpoch, None);
            assert_eq!(take(&mut once, 99).len(), 4, "depth {depth}");
        }
    }

    /// Counts the requested batches.
    struct Counting(Arc<AtomicU64>);

    impl BatchStream for Counting {
        fn next(&mut self, plan: &mut BatchPlan) -> Result<bool, BatcherError> {
            plan.clear(Level::Graphs);
            plan.push_graph(GraphSize { id: 0, n_node: 1, n_edge: 0 });
            plan.shape = plan.real;
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok(true)
        }
        fn seek(&mut self, _: &Cursor) -> Result<(), BatcherError> {
            Ok(())
        }
    }

    #[test]
    fn nothing_is_prepared_between_a_batch_and_its_step() {
        let many = ManyGraphs::new(&[1], Edges::FullyConnected).unwrap();
        let graphs = Arc::new(Graphs::new("one", Topology::Many(many)).unwrap());
        let n_asked = Arc::new(AtomicU64::new(0));
        let stream = Box::new(Counting(Arc::clone(&n_asked)));
        let producer = Producer::new(graphs, stream, BatchFields::default()).unwrap();
        let mut pipeline = Pipeline::new(producer, 1).unwrap();
        let mut prepared = Prepared::default();
        let after_a_while = || {
            std::thread::sleep(std::time::Duration::from_millis(20));
            n_asked.load(Ordering::SeqCst)
        };
        assert_eq!(after_a_while(), 0);
        for n_step in 1..5 {
            assert!(pipeline.next(&mut prepared).unwrap());
            assert_eq!(after_a_while(), n_step);
            pipeline.go_on();
        }
    }

    #[test]
    fn batches_of_fixed_composition_are_collated_once() {
        let mut fixed = pipeline(0, Purpose::Training, Composition::Fixed, None);
        let mut prepared = Prepared::default();
        let mut seen: HashMap<u64, *const BatchBuffer> = HashMap::new();
        for _ in 0..12 {
            assert!(fixed.next(&mut prepared).unwrap());
            let kept = Arc::as_ptr(prepared.kept.as_ref().unwrap());
            let first = *seen.entry(prepared.plan.cache_key.unwrap()).or_insert(kept);
            assert_eq!(first, kept);
        }
        assert_eq!(seen.len(), 4);
    }
}
