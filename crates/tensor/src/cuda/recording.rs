//! Work of the GPU that is recorded once and then launched with a single call: CUDA graphs.
//!
//! dfdx's stream cannot be captured. During a recording, kernels and products go to a separate
//! stream, where the driver captures them instead of executing them; the result is launched on
//! dfdx's stream, in order. What dfdx itself requests meanwhile, memory and zeroing it, is executed
//! immediately:
//!
//! - A recording holds addresses of memory that was freed before it ended. Memory therefore comes
//!   from a pool that is exclusive to the recordings of one trainer ([`Memory`]): nobody else is
//!   given it, and each recording writes to it before it reads.
//! - Where zeros are needed, the recording also fills them in.
//!
//! All threads share the pool from which memory comes. Therefore nothing is recorded while several
//! threads have trainers.

use std::cell::Cell;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use batchlab_core::ModelError;
use cudarc::driver::sys;

use super::device::Gpu;
use super::error::Error;
use super::pool::Pool;
use crate::matrix::engine;

type Result<T> = std::result::Result<T, Error>;

/// Number of threads with trainers on a GPU.
static N_THREAD: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The stream on which this thread records, or null.
    static STREAM: Cell<sys::CUstream> = const { Cell::new(std::ptr::null_mut()) };
    /// Number of trainers of this thread.
    static N_TRAINER: Cell<usize> = const { Cell::new(0) };
}

/// Whether this thread, which has a trainer, may record.
pub(super) fn is_possible() -> bool {
    N_THREAD.load(Ordering::Relaxed) == 1
}

/// The stream on which this thread records, if it does.
pub(super) fn stream() -> Option<sys::CUstream> {
    Some(STREAM.get()).filter(|stream| !stream.is_null())
}

/// The exclusive memory pool of a trainer's recordings. Trainers stay on their thread.
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
    /// See [`Pool::take_peak_bytes`]; 0 if nothing has been recorded.
    pub(super) fn take_peak_bytes(&self) -> Result<u64> {
        self.pool.as_ref().map_or(Ok(0), |(_, pool)| pool.take_peak_bytes())
    }

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
            // Launched recordings may still be running.
            let _ = gpu.wait();
            pool.destroy();
        }
    }
}

/// Work that can be launched repeatedly.
pub struct Recording {
    gpu: &'static Gpu,
    graph: sys::CUgraphExec,
}

impl Recording {
    /// Records the GPU work requested by `work` without executing it. If the work fails, or cannot
    /// be recorded, nothing is left behind.
    pub(super) fn of(
        gpu: &'static Gpu,
        memory: &mut Memory,
        work: &mut dyn FnMut() -> std::result::Result<(), ModelError>,
    ) -> std::result::Result<Self, ModelError> {
        let recorder = memory.begin(gpu).map_err(engine)?;
        work()?;
        recorder.end().map_err(engine)
    }

    /// The first difference from another recording.
    #[cfg(feature = "cuda-check")]
    pub(super) fn difference(&self, other: &Self) -> Option<String> {
        crate::emulation::difference(self.graph.cast(), other.graph.cast())
    }

    /// Launches it, after all work queued before.
    #[allow(unsafe_code, reason = "calls of the driver that cudarc does not wrap")]
    pub(super) fn start(&self) -> Result<()> {
        self.gpu.bind()?;
        // SAFETY: the graph lives as long as `self`; the memory it uses, as long as the trainer
        // that launches it.
        unsafe { sys::cuGraphLaunch(self.graph, self.gpu.stream()) }
            .result()
            .map_err(Error::driver("start a recorded step"))
    }
}

#[allow(unsafe_code, reason = "calls of the driver that cudarc does not wrap")]
impl Drop for Recording {
    fn drop(&mut self) {
        // SAFETY: nobody else has the handle; the driver keeps what is still running.
        let _ = unsafe { sys::cuGraphExecDestroy(self.graph) };
    }
}

/// Work of this thread is recorded during its lifetime.
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
        made.map_err(Error::driver(
            "make a recorded step ready (training.cuda_graphs = false does without)",
        ))?;
        Ok(Recording { gpu: self.gpu, graph: runnable })
    }

    /// Resumes executing work, whatever fails.
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
        ended
            .map_err(Error::driver("record a step (training.cuda_graphs = false does without)"))?;
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
