//! Kernels for NVIDIA GPUs: dfdx's `Cuda` as a [`Backend`](crate::Backend).
//!
//! dfdx provides memory. All computation is done by our own kernels, plain CUDA C++ that NVRTC
//! compiles for the present GPU when it is opened, and by cuBLAS.

mod adam;
mod arena;
mod attention;
mod blas;
mod block;
mod compile;
mod device;
mod elementwise;
pub(crate) mod error;
mod event;
#[cfg(all(test, feature = "cuda-check"))]
mod faults;
mod geometry;
mod gradient;
mod kernels;
pub(crate) mod libraries;
mod linear;
mod loss;
mod message;
mod module;
mod normalise;
mod pinned;
mod pool;
mod raw;
mod recording;
mod segment;
#[cfg(test)]
mod tests;
mod words;

use batchlab_core::ModelError;
use cudarc::driver::{DevicePtr, DeviceSlice};
use dfdx::prelude::*;

use crate::DeviceMemory;
use crate::matrix::engine;
pub(crate) use device::{has_tensor_cores, open};
use error::Error;
pub(crate) use kernels::Kernels;

type Result<T> = std::result::Result<T, <Cuda as HasErr>::Err>;
type Dense = crate::Dense<Cuda>;
type Buffer = crate::Buffer<Cuda>;
type Segments = crate::Segments<Cuda>;

impl DeviceMemory for Cuda {
    type Words = words::Words;
    type Numbers = words::Words;
    type Arena = arena::Arena;
    type EdgePlan = ();
    type Kept = message::Kept;
    type PendingLoss = loss::Pending;
    type FetchedLoss = loss::Fetched;
    type Recording = recording::Recording;
    type RecordingMemory = recording::Memory;

    // They would have to be compiled by NVIDIA's compiler when this program is built.
    const HAS_DFDX_KERNELS: bool = false;

    fn zero_matrix(&self, shape: [usize; 2]) -> Result<Dense> {
        Ok(Kernels::of(self)?.zeros(shape)?)
    }

    fn zeros_buffer(&self, n: usize) -> Result<Buffer> {
        // Never allocate zero bytes: it is undocumented whether such an allocation can be freed.
        let allocate = || Storage::<f32>::try_alloc_len(self, n.max(1));
        let is_recorded = recording::stream().is_some();
        // dfdx fills it now, which a recording would not repeat.
        let buffer =
            if is_recorded || n == 0 { libraries::without_fills(allocate) } else { allocate() };
        let mut buffer = buffer.map_err(Error::dfdx(format!("allocate {n} numbers")))?;
        gradient::shorten(device::of(self)?, &mut buffer, n);
        if is_recorded {
            words::fill(device::of(self)?, raw::of_buffer(&buffer), 0.0, n)?;
        }
        Ok(buffer)
    }

    fn new_gradient(&self, n: usize) -> Result<Buffer> {
        gradient::unwritten(self, n)
    }

    fn records(&self) -> bool {
        recording::is_possible()
    }

    fn record(
        &self,
        memory: &mut recording::Memory,
        work: &mut dyn FnMut() -> std::result::Result<(), ModelError>,
    ) -> std::result::Result<recording::Recording, ModelError> {
        let gpu = device::of(self).map_err(engine)?;
        recording::Recording::of(gpu, memory, work)
    }

    #[cfg(feature = "cuda-check")]
    fn difference(one: &recording::Recording, other: &recording::Recording) -> Option<String> {
        one.difference(other)
    }

    fn start(&self, recording: &recording::Recording) -> Result<()> {
        Ok(recording.start()?)
    }

    fn address(matrix: &Dense) -> u64 {
        raw::of_tensor(matrix)
    }

    fn address_of_arena(arena: &Self::Arena) -> u64 {
        arena.address()
    }

    fn begin_upload(&self, arena: &mut Self::Arena, n_word: usize) -> Result<()> {
        Ok(arena.begin_upload(self, n_word)?)
    }

    fn put_words(&self, arena: &mut Self::Arena, host: &[u32]) -> Result<words::Words> {
        Ok(arena.put(host)?)
    }

    fn put_numbers(&self, arena: &mut Self::Arena, host: &[f32]) -> Result<words::Words> {
        Ok(arena.put(bytemuck::cast_slice(host))?)
    }

    fn put_matrix(
        &self,
        arena: &mut Self::Arena,
        reclaimed: Option<Dense>,
        host: &[f32],
        shape: [usize; 2],
    ) -> Result<Dense> {
        Ok(arena.put_matrix(self, reclaimed, host, shape)?)
    }

    fn finish_upload(&self, arena: &mut Self::Arena) -> Result<()> {
        Ok(arena.finish_upload()?)
    }

    fn begin_use(&self, arena: &Self::Arena) -> Result<()> {
        Ok(arena.begin_use()?)
    }

    fn end_use(&self, arena: &Self::Arena) -> Result<()> {
        Ok(arena.end_use()?)
    }

    #[allow(unsafe_code, reason = "memory that has no values yet")]
    fn write(&self, buffer: &mut Buffer, host: &[f32]) -> Result<()> {
        let gpu = device::of(self)?;
        if buffer.len() != host.len() {
            // SAFETY: any bit pattern is a valid number, and all of them are written now.
            **buffer = unsafe { gpu.device.alloc(host.len()) }
                .map_err(Error::driver(format!("find room for {} numbers", host.len())))?;
        }
        if host.is_empty() {
            return Ok(());
        }
        Ok(words::copy(gpu, *buffer.device_ptr(), host)?)
    }

    fn read(&self, buffer: &Buffer) -> Result<Vec<f32>> {
        let gpu = device::of(self)?;
        let values =
            gpu.device.dtoh_sync_copy(buffer).map_err(Error::driver("copy from the GPU"))?;
        Ok(values)
    }

    fn is_contiguous(tensor: &Dense) -> bool {
        raw::is_contiguous(tensor)
    }

    fn wait(&self) -> Result<()> {
        Ok(device::of(self)?.wait()?)
    }

    fn arithmetic() -> &'static str {
        "cuda"
    }

    fn take_peak_bytes(&self, recordings: &recording::Memory) -> Result<Option<u64>> {
        // At most this much at a time: both peaks need not coincide.
        Ok(Some(device::of(self)?.pool.take_peak_bytes()? + recordings.take_peak_bytes()?))
    }

    fn edge_plan(&self, _: &Segments, _: &Segments, _: usize) -> Result<()> {
        Ok(())
    }
}
