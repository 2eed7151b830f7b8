//! Prepares batches: plan, then collate, in turn or ahead in another thread.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use batchlab_core::{BatchBuffer, BatchPlan, BatchStream, Graphs, Needs, PaddedBatch, collate};

use crate::RunError;

/// Batches of fixed composition are kept until they take this much memory; those that come later
/// are collated each time.
const MAX_KEPT_BYTES: usize = 2 << 30;

/// A batch that is ready for the device.
#[derive(Default)]
pub(super) struct Prepared {
    pub(super) plan: BatchPlan,
    pub(super) plan_ns: i64,
    pub(super) collate_ns: i64,
    own: BatchBuffer,
    kept: Option<Arc<BatchBuffer>>,
}

impl Prepared {
    pub(super) fn batch(&self) -> PaddedBatch<'_> {
        self.kept.as_deref().unwrap_or(&self.own).batch()
    }
}

/// Where batches come from.
pub(super) enum Pipeline {
    /// Each is prepared when it is asked for.
    InTurn(Box<Producer>),
    /// Another thread prepares them ahead.
    Ahead(Ahead),
}

impl Pipeline {
    /// `depth` is the number of batches prepared ahead; 0 means in turn.
    pub(super) fn new(producer: Producer, depth: u32) -> Self {
        match depth {
            0 => Self::InTurn(Box::new(producer)),
            depth => Self::Ahead(Ahead::start(producer, depth as usize)),
        }
    }

    /// Puts the next batch into `prepared`, whose memory is used again. `Ok(false)`: the stream has
    /// ended.
    pub(super) fn next(&mut self, prepared: &mut Prepared) -> Result<bool, RunError> {
        match self {
            Self::InTurn(producer) => producer.prepare(prepared),
            Self::Ahead(ahead) => ahead.next(prepared),
        }
    }
}

/// Asks a stream for plans and collates them.
pub(super) struct Producer {
    graphs: Arc<Graphs>,
    stream: Box<dyn BatchStream>,
    needs: Needs,
    kept: HashMap<u64, Arc<BatchBuffer>>,
    kept_bytes: usize,
}

impl Producer {
    pub(super) fn new(graphs: Arc<Graphs>, stream: Box<dyn BatchStream>, needs: Needs) -> Self {
        Self { graphs, stream, needs, kept: HashMap::new(), kept_bytes: 0 }
    }

    fn prepare(&mut self, prepared: &mut Prepared) -> Result<bool, RunError> {
        let start = Instant::now();
        if !self.stream.next(&mut prepared.plan)? {
            return Ok(false);
        }
        let planned = Instant::now();
        self.collate(prepared)?;
        prepared.plan_ns = nanoseconds(start, planned);
        prepared.collate_ns = nanoseconds(planned, Instant::now());
        Ok(true)
    }

    fn collate(&mut self, prepared: &mut Prepared) -> Result<(), RunError> {
        let Some(recipe) = prepared.plan.recipe.filter(|_| self.kept_bytes < MAX_KEPT_BYTES) else {
            prepared.kept = None;
            return Ok(collate(&self.graphs, &prepared.plan, self.needs, &mut prepared.own)?);
        };
        if let Some(kept) = self.kept.get(&recipe) {
            prepared.kept = Some(Arc::clone(kept));
            return Ok(());
        }
        let mut buffer = BatchBuffer::new();
        collate(&self.graphs, &prepared.plan, self.needs, &mut buffer)?;
        self.kept_bytes += size_of_val(buffer.batch().words);
        let kept = Arc::new(buffer);
        self.kept.insert(recipe, Arc::clone(&kept));
        prepared.kept = Some(kept);
        Ok(())
    }
}

/// A thread that prepares batches, and two queues: full ones come, empty ones go back.
pub(super) struct Ahead {
    full: Option<Receiver<Result<Option<Prepared>, RunError>>>,
    empty: Sender<Prepared>,
    thread: Option<JoinHandle<()>>,
}

impl Ahead {
    fn start(mut producer: Producer, depth: usize) -> Self {
        // One batch is always in the thread's hands, so the queue holds one less.
        let (send_full, full) = sync_channel(depth - 1);
        let (empty, receive_empty) = channel::<Prepared>();
        let work = move || {
            loop {
                let mut prepared = receive_empty.try_recv().unwrap_or_default();
                let result = producer.prepare(&mut prepared).map(|more| more.then_some(prepared));
                let is_last = !matches!(result, Ok(Some(_)));
                // The run may have ended meanwhile.
                if send_full.send(result).is_err() || is_last {
                    return;
                }
            }
        };
        Self { full: Some(full), empty, thread: Some(std::thread::spawn(work)) }
    }

    fn next(&mut self, prepared: &mut Prepared) -> Result<bool, RunError> {
        let full = self.full.as_ref().ok_or(RunError::Pipeline)?;
        let Some(next) = full.recv().map_err(|_| RunError::Pipeline)?? else { return Ok(false) };
        // The thread may have ended after its last batch: then nobody wants the memory back.
        let _ = self.empty.send(std::mem::replace(prepared, next));
        Ok(true)
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        // Closing the queue ends the thread at its next send.
        self.full = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Time between two moments.
pub(super) fn nanoseconds(start: Instant, end: Instant) -> i64 {
    i64::try_from(end.duration_since(start).as_nanos()).unwrap_or(i64::MAX)
}
