//! Work of the GPU that is recorded once and then started with one call: CUDA's graphs.
//!
//! The stream that dfdx works on cannot be recorded. While something is, kernels and products go to a
//! stream of their own, where the driver writes them down instead of doing them; what was written down
//! is started on dfdx's stream, in its order. What dfdx asks for meanwhile, memory and zeros in it, it
//! gets at once:
//!
//! - A recording holds the addresses of memory that was freed before it ended. So memory comes from a
//!   pool that the recordings of one trainer have to themselves ([`Memory`]): nobody else is given it,
//!   and each recording writes to it before it reads.
//! - Where zeros are needed, the recording fills them in as well.
//!
//! The pool that memory comes from is one for all threads. So nothing is recorded where several threads
//! have trainers.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{LazyLock, PoisonError};

use batchlab_core::ModelError;
use cudarc::driver::sys;

use super::device::Gpu;
use super::error::Error;
use super::pool::Pool;
use crate::matrix::engine;

type Result<T> = std::result::Result<T, Error>;

/// Whether steps are recorded. Not by default: no real GPU has done it yet.
static WANTED: LazyLock<AtomicBool> = LazyLock::new(|| {
    AtomicBool::new(std::env::var("BATCHLAB_CUDA_GRAPHS").is_ok_and(|value| value == "1"))
});

/// Threads that have trainers on a GPU.
static N_THREAD: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The stream on which this thread records, or null.
    static STREAM: Cell<sys::CUstream> = const { Cell::new(std::ptr::null_mut()) };
    /// Trainers of this thread.
    static N_TRAINER: Cell<usize> = const { Cell::new(0) };
}

/// Replaces what the environment says.
#[cfg(feature = "cuda-check")]
pub(crate) fn want(wanted: bool) {
    WANTED.store(wanted, Ordering::Relaxed);
}

/// Whether this thread, which has a trainer, may record.
pub(super) fn is_possible() -> bool {
    WANTED.load(Ordering::Relaxed) && N_THREAD.load(Ordering::Relaxed) == 1
}

/// The stream on which this thread records, if it does.
pub(super) fn stream() -> Option<sys::CUstream> {
    Some(STREAM.get()).filter(|stream| !stream.is_null())
}

/// Where the memory comes from that the recordings of a trainer use: theirs alone. Trainers stay on
/// their thread.
pub struct Memory {
    pool: Option<(&'static Gpu, Pool)>,
}

impl Default for Memory {
    fn default() -> Self {
        if N_TRAINER.replace(N_TRAINER.get() + 1) == 0 {
            N_THREAD.fetch_add(1, Ordering::Relaxed);
        }
        Self { pool: None }
    }
}

impl Memory {
    fn begin(&mut self, gpu: &'static Gpu) -> Result<Recorder> {
        let pool = match self.pool.take() {
            Some((_, pool)) => pool,
            None => Pool::new(&gpu.device)?,
        };
        Recorder::begin(gpu, &self.pool.insert((gpu, pool)).1)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        N_TRAINER.set(N_TRAINER.get() - 1);
        if N_TRAINER.get() == 0 {
            N_THREAD.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some((gpu, pool)) = self.pool.take() {
            // Recordings that were started may still be at work.
            let _ = gpu.wait();
            pool.destroy();
        }
    }
}

/// Work that can be started again and again.
pub struct Recording {
    gpu: &'static Gpu,
    graph: sys::CUgraphExec,
}

impl Recording {
    /// Records what `work` asks of the GPU, which is not done yet. Work that fails, or that cannot be
    /// recorded, leaves nothing behind.
    pub(super) fn of(
        gpu: &'static Gpu,
        memory: &mut Memory,
        work: &mut dyn FnMut() -> std::result::Result<(), ModelError>,
    ) -> std::result::Result<Self, ModelError> {
        let recorder = memory.begin(gpu).map_err(engine)?;
        work()?;
        recorder.end().map_err(engine)
    }

    /// Starts it, after all work queued before.
    #[allow(unsafe_code, reason = "calls of the driver that cudarc does not wrap")]
    pub(super) fn start(&self) -> Result<()> {
        self.gpu.bind()?;
        // SAFETY: the graph lives as long as `self`; what it works on, as long as the trainer that
        // starts it.
        unsafe { sys::cuGraphLaunch(self.graph, self.gpu.stream()) }
            .result()
            .map_err(Error::driver("start a recorded step"))
    }
}

#[allow(unsafe_code, reason = "calls of the driver that cudarc does not wrap")]
impl Drop for Recording {
    fn drop(&mut self) {
        // SAFETY: nobody else has the handle; the driver keeps what is still at work.
        let _ = unsafe { sys::cuGraphExecDestroy(self.graph) };
    }
}

/// While it lives, work of this thread is recorded.
struct Recorder {
    gpu: &'static Gpu,
    has_ended: bool,
}

#[allow(unsafe_code, reason = "calls of the driver that cudarc does not wrap")]
impl Recorder {
    fn begin(gpu: &'static Gpu, pool: &Pool) -> Result<Self> {
        gpu.bind()?;
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED;
        // SAFETY: the stream lives as long as the process.
        unsafe { sys::cuStreamBeginCapture_v2(gpu.recorder(), mode) }
            .result()
            .map_err(Error::driver("begin to record a step"))?;
        let recorder = Self { gpu, has_ended: false };
        STREAM.set(gpu.recorder());
        pool.use_on(&gpu.device)?;
        gpu.blas.lock().unwrap_or_else(PoisonError::into_inner).work_on(gpu.recorder())?;
        Ok(recorder)
    }

    fn end(mut self) -> Result<Recording> {
        let graph = self.stop()?;
        let mut runnable = std::ptr::null_mut();
        // SAFETY: it fills in the handle before it returns; the graph is not used after it.
        let made =
            unsafe { sys::cuGraphInstantiateWithFlags(&raw mut runnable, graph, 0) }.result();
        // SAFETY: nobody else has the handle.
        let _ = unsafe { sys::cuGraphDestroy(graph) };
        made.map_err(Error::driver("make a recorded step ready"))?;
        Ok(Recording { gpu: self.gpu, graph: runnable })
    }

    /// Goes back to doing work, whatever fails.
    fn stop(&mut self) -> Result<sys::CUgraph> {
        self.has_ended = true;
        STREAM.set(std::ptr::null_mut());
        let mut graph = std::ptr::null_mut();
        // SAFETY: it fills in the handle before it returns.
        let ended =
            unsafe { sys::cuStreamEndCapture(self.gpu.recorder(), &raw mut graph) }.result();
        self.gpu.pool.use_on(&self.gpu.device)?;
        let blas = self.gpu.blas.lock().unwrap_or_else(PoisonError::into_inner);
        blas.work_on(self.gpu.stream())?;
        ended.map_err(Error::driver("record a step"))?;
        Ok(graph)
    }
}

#[allow(unsafe_code, reason = "calls of the driver that cudarc does not wrap")]
impl Drop for Recorder {
    fn drop(&mut self) {
        if !self.has_ended
            && let Ok(graph) = self.stop()
        {
            // SAFETY: nobody else has the handle.
            let _ = unsafe { sys::cuGraphDestroy(graph) };
        }
    }
}
