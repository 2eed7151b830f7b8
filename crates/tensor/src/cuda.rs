//! Kernels for NVIDIA GPUs: dfdx's `Cuda` as a [`Backend`].
//!
//! dfdx gives memory and tape; what is computed is computed by kernels of our own, plain CUDA C++
//! that NVRTC compiles for the GPU at hand when it is opened, and by cuBLAS. No kernel of dfdx runs
//! in a training step.

mod adam;
mod arena;
mod attention;
mod blas;
mod compile;
mod device;
mod elementwise;
pub(crate) mod error;
mod geometry;
mod gradient;
mod kernels;
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

use std::ops::Range;

use batchlab_core::ModelError;
use batchlab_core::model::Loss;
use cudarc::driver::{DevicePtr, DeviceSlice};
use dfdx::prelude::*;

use crate::backend::{
    Attention, LinearLayer, LinearOutput, MessageOutput, MessageResult, RowsToNormalise,
};
use crate::{Activation, Adam, Aggregate, Backend, GaussianBasis, Message, Outputs};

use crate::matrix::engine;
pub(crate) use device::{has_tensor_cores, open};
use error::Error;
use kernels::Kernels;
#[cfg(feature = "cuda-check")]
pub(crate) use recording::want as want_recordings;

type Result<T> = std::result::Result<T, <Cuda as HasErr>::Err>;
type Dense = crate::Dense<Cuda>;
type Buffer = crate::Buffer<Cuda>;
type Segments = crate::Segments<Cuda>;

/// Writes functions of [`Backend`] that are one kernel, or several, of the same name and arguments.
macro_rules! kernels {
    ($(fn $name:ident($($argument:ident: $type:ty),*) -> $output:ty;)*) => {
        $(
            fn $name(&self, $($argument: $type),*) -> Result<$output> {
                Ok(Kernels::of(self)?.$name($($argument),*)?)
            }
        )*
    };
}

impl Backend for Cuda {
    type Words = words::Words;
    type Numbers = words::Words;
    type Arena = arena::Arena;
    type EdgePlan = ();
    type Kept = message::Kept;
    type PendingLoss = loss::Pending;
    type Recording = recording::Recording;
    type RecordingMemory = recording::Memory;

    fn zero_matrix(&self, shape: [usize; 2]) -> Result<Dense> {
        Ok(Kernels::of(self)?.zeros(shape)?)
    }

    fn zeros_buffer(&self, n: usize) -> Result<Buffer> {
        // Never memory of nothing: no document says whether that can be given back.
        let mut buffer = Storage::<f32>::try_alloc_len(self, n.max(1))?;
        gradient::shorten(device::of(self)?, &mut buffer, n);
        if recording::stream().is_some() {
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
            // SAFETY: any bits are a number, and all of them are written now.
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

    fn take_peak_bytes(&self) -> Result<Option<u64>> {
        Ok(Some(device::of(self)?.pool.take_peak_bytes()?))
    }

    fn edge_plan(&self, _: &Segments, _: &Segments, _: usize) -> Result<()> {
        Ok(())
    }

    fn message(
        &self,
        message: &Message<Self>,
        result: MessageResult,
        keep: bool,
    ) -> Result<MessageOutput<Self>> {
        message::message(self, message, result, keep)
    }

    fn message_backward(
        &self,
        gradients: &mut [Option<Buffer>],
        dy: &mut Buffer,
        dedge: Option<&Buffer>,
        message: &Message<Self>,
        result: MessageResult,
        kept: Self::Kept,
    ) -> Result<()> {
        message::message_backward(self, gradients, dy, dedge, message, result, &kept)
    }

    fn linear_backward(
        &self,
        dx: Option<&mut Buffer>,
        dweight: &mut Buffer,
        dbias: Option<&mut Buffer>,
        dy: &mut Buffer,
        layer: &LinearLayer<'_, Self>,
        output: &Dense,
        sum: Option<&Dense>,
    ) -> Result<()> {
        let from = sum.unwrap_or(output);
        Ok(Kernels::of(self)?.linear_backward(dx, dweight, dbias, dy, layer, from)?)
    }

    fn add(&self, a: &Dense, b: &Dense) -> Result<Dense> {
        Ok(Kernels::of(self)?.of_two("add", a, b)?)
    }

    fn multiply(&self, a: &Dense, b: &Dense) -> Result<Dense> {
        Ok(Kernels::of(self)?.of_two("multiply", a, b)?)
    }

    kernels! {
        fn gather(x: &Dense, segments: &Segments) -> Dense;
        fn gather_backward(dx: &mut Buffer, dy: &Buffer, segments: &Segments, width: usize) -> ();
        fn segment(x: &Dense, segments: &Segments, aggregate: Aggregate) -> Dense;
        fn segment_backward(
            dx: &mut Buffer, dy: &Buffer, segments: &Segments, aggregate: Aggregate, width: usize
        ) -> ();
        fn segment_max(x: &Dense, segments: &Segments) -> Dense;
        fn segment_max_backward(
            dx: &mut Buffer, dy: &Buffer, x: &Dense, largest: &Dense, segments: &Segments
        ) -> ();
        fn segment_softmax(x: &Dense, segments: &Segments) -> Dense;
        fn segment_softmax_backward(
            dx: &mut Buffer, dy: &Buffer, output: &Dense, segments: &Segments
        ) -> ();
        fn propagate(
            x: &Dense, weight: Option<&Dense>, from: &Segments, to: &Segments, aggregate: Aggregate
        ) -> Dense;
        fn propagate_backward(
            dx: &mut Buffer, dy: &mut Buffer, weight: Option<&Dense>, from: &Segments,
            to: &Segments, aggregate: Aggregate, width: usize
        ) -> ();
        fn attend(attention: &Attention<'_, Self>) -> [Dense; 2];
        fn attend_backward(
            dx: &mut Buffer, dscores: &mut [Buffer; 2], dy: &Buffer,
            attention: &Attention<'_, Self>, results: [&Dense; 2]
        ) -> ();
        fn head_scores(x: &Dense, weight: &Dense) -> Dense;
        fn head_scores_backward(
            dx: &mut Buffer, dweight: &mut Buffer, dy: &Buffer, x: &Dense, weight: &Dense
        ) -> ();
        fn mean_of_heads(x: &Dense, n_head: usize) -> Dense;
        fn mean_of_heads_backward(
            dx: &mut Buffer, dy: &Buffer, n_head: usize, width: usize
        ) -> ();
        fn normalise(rows: &RowsToNormalise<'_, Self>) -> [Dense; 2];
        fn normalise_backward(
            dx: Option<&mut Buffer>, dnorm: &mut [Buffer; 2], dy: &mut Buffer,
            rows: &RowsToNormalise<'_, Self>, statistics: &Dense
        ) -> ();
        fn add_row(x: &Dense, row: &Dense) -> Dense;
        fn add_row_backward(drow: &mut Buffer, dy: &Buffer) -> ();
        fn linear(layer: &LinearLayer<'_, Self>, keep_sum: bool) -> LinearOutput<Self>;
        fn accumulate(da: &mut Buffer, dy: &Buffer) -> ();
        fn accumulate_product(da: &mut Buffer, dy: &Buffer, b: &Dense) -> ();
        fn scale_rows(x: &Dense, factor: &Dense) -> Dense;
        fn scale_rows_backward(
            dx: Option<&mut Buffer>, dfactor: Option<&mut Buffer>, dy: &Buffer, x: &Dense,
            factor: &Dense
        ) -> ();
        fn block(
            x: &Dense, rows: &Range<usize>, columns: &Range<usize>, shape: [usize; 2]
        ) -> Dense;
        fn block_backward(
            dx: &mut Buffer, dy: &Buffer, n_column: usize, rows: &Range<usize>,
            columns: &Range<usize>
        ) -> ();
        fn edge_geometry(displacement: &Dense, epsilon: f32) -> [Dense; 2];
        fn cosine_cutoff(distance: &Dense, cutoff: f32) -> Dense;
        fn norms_beside(s: &Dense, mixed: &Dense, epsilon: f32) -> Dense;
        fn norms_beside_backward(
            ds: Option<&mut Buffer>, dmixed: Option<&mut Buffer>, dy: &Buffer, mixed: &Dense,
            output: &Dense
        ) -> ();
        fn add_received(state: [&Dense; 2], received: &Dense, limit: f32) -> [Dense; 2];
        fn add_received_backward(
            dreceived: &mut Buffer, dy: [&Buffer; 2], received: &Dense, limit: f32
        ) -> ();
        fn equivariant_update(
            state: [&Dense; 2], gates: &Dense, mixed: &Dense, limit: f32
        ) -> [Dense; 2];
        fn equivariant_update_backward(
            dgates: Option<&mut Buffer>, dmixed: Option<&mut Buffer>, dy: [&Buffer; 2],
            gates: &Dense, mixed: &Dense, limit: f32
        ) -> ();
        fn gaussians(distance: &Dense, basis: &GaussianBasis) -> Dense;
        fn loss(
            loss: Loss, prediction: &Dense, outputs: &Outputs<Self>
        ) -> (loss::Pending, Buffer);
        fn read_loss(loss: &loss::Pending) -> f64;
        fn accumulate_scaled(dx: &mut Buffer, scale: &Buffer, unit: &Buffer) -> ();
    }

    /// In place: the parameters that come back are those that were given.
    fn adam(
        &self,
        step: Adam,
        decay: &[f32],
        parameters: &[&Dense],
        gradients: &[Buffer],
        moments: &mut [[Buffer; 2]],
    ) -> Result<Vec<Dense>> {
        Kernels::of(self)?.adam(step, decay, parameters, gradients, moments)?;
        Ok(parameters.iter().map(|&parameter| parameter.clone()).collect())
    }
}
