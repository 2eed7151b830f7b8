//! Kernels for NVIDIA GPUs: dfdx's `Cuda` as a [`Backend`].
//!
//! dfdx gives memory and tape; what is computed is computed by kernels of our own, plain CUDA C++
//! that NVRTC compiles for the GPU at hand when it is opened, and by cuBLAS. No kernel of dfdx runs
//! in a training step.

mod adam;
mod arena;
mod blas;
mod device;
mod elementwise;
pub(crate) mod error;
mod geometry;
mod kernels;
mod linear;
mod loss;
mod message;
mod module;
mod pinned;
mod pool;
mod raw;
mod segment;
#[cfg(test)]
mod tests;
mod words;

use std::ops::Range;

use batchlab_core::model::{Loss, LossSum};
use cudarc::driver::{DevicePtr, DeviceSlice};
use dfdx::prelude::*;

use crate::backend::{LinearLayer, LinearOutput, MessageOutput, MessageResult};
use crate::{Activation, Adam, Aggregate, Backend, GaussianBasis, Message, Outputs};

pub(crate) use device::open;
use error::Error;
use kernels::Kernels;

type Result<T> = std::result::Result<T, <Cuda as HasErr>::Err>;
type Dense = crate::Dense<Cuda>;
type Buffer = crate::Buffer<Cuda>;
type Segments = crate::Segments<Cuda>;

impl Backend for Cuda {
    type Words = words::Words;
    type Numbers = words::Words;
    type Arena = arena::Arena;
    type EdgePlan = ();
    type Kept = message::Kept;

    fn begin_upload(&self, arena: &mut Self::Arena, n_word: usize) -> Result<()> {
        Ok(arena.begin_upload(self, n_word)?)
    }

    fn release(&self, words: &mut Self::Words) {
        *words = Self::Words::default();
    }

    fn release_numbers(&self, numbers: &mut Self::Numbers) {
        *numbers = Self::Numbers::default();
    }

    fn put_words(
        &self,
        arena: &mut Self::Arena,
        words: &mut Self::Words,
        host: &[u32],
    ) -> Result<()> {
        *words = arena.put(host)?;
        Ok(())
    }

    fn put_numbers(
        &self,
        arena: &mut Self::Arena,
        numbers: &mut Self::Numbers,
        host: &[f32],
    ) -> Result<()> {
        *numbers = arena.put(bytemuck::cast_slice(host))?;
        Ok(())
    }

    fn put_matrix(
        &self,
        arena: &mut Self::Arena,
        host: &[f32],
        shape: [usize; 2],
    ) -> Result<Dense> {
        Ok(arena.put_matrix(self, host, shape)?)
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

    fn take_peak_bytes(&self) -> Result<Option<u64>> {
        Ok(Some(device::of(self)?.pool.take_peak_bytes()?))
    }

    fn edge_plan(&self, _: &Segments, _: &Segments) -> Result<()> {
        Ok(())
    }

    /// None: a filter is cheaper than keeping one for two edges that no tile holds together.
    fn pair_plan(&self, _: &Segments, _: &Segments, _: &Dense) -> Result<Option<()>> {
        Ok(None)
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

    fn gather(&self, x: &Dense, segments: &Segments) -> Result<Dense> {
        Ok(Kernels::of(self)?.gather(x, segments)?)
    }

    fn gather_backward(
        &self,
        dx: &mut Buffer,
        dy: &Buffer,
        segments: &Segments,
        width: usize,
    ) -> Result<()> {
        Ok(Kernels::of(self)?.gather_backward(dx, dy, segments, width)?)
    }

    fn segment(&self, x: &Dense, segments: &Segments, aggregate: Aggregate) -> Result<Dense> {
        Ok(Kernels::of(self)?.segment(x, segments, aggregate)?)
    }

    fn segment_backward(
        &self,
        dx: &mut Buffer,
        dy: &Buffer,
        segments: &Segments,
        aggregate: Aggregate,
        width: usize,
    ) -> Result<()> {
        Ok(Kernels::of(self)?.segment_backward(dx, dy, segments, aggregate, width)?)
    }

    fn segment_max(&self, x: &Dense, segments: &Segments) -> Result<Dense> {
        Ok(Kernels::of(self)?.segment_max(x, segments)?)
    }

    fn segment_max_backward(
        &self,
        dx: &mut Buffer,
        dy: &Buffer,
        x: &Dense,
        largest: &Dense,
        segments: &Segments,
    ) -> Result<()> {
        Ok(Kernels::of(self)?.segment_max_backward(dx, dy, x, largest, segments)?)
    }

    fn segment_softmax(&self, x: &Dense, segments: &Segments) -> Result<Dense> {
        Ok(Kernels::of(self)?.segment_softmax(x, segments)?)
    }

    fn segment_softmax_backward(
        &self,
        dx: &mut Buffer,
        dy: &Buffer,
        output: &Dense,
        segments: &Segments,
    ) -> Result<()> {
        Ok(Kernels::of(self)?.segment_softmax_backward(dx, dy, output, segments)?)
    }

    fn convolve(
        &self,
        filter: &Dense,
        x: &Dense,
        from: &Segments,
        to: &Segments,
        aggregate: Aggregate,
    ) -> Result<Dense> {
        Ok(Kernels::of(self)?.convolve(filter, x, from, to, aggregate)?)
    }

    fn convolve_backward(
        &self,
        dfilter: Option<&mut Buffer>,
        dx: Option<&mut Buffer>,
        dy: &mut Buffer,
        filter: &Dense,
        x: &Dense,
        from: &Segments,
        to: &Segments,
        aggregate: Aggregate,
    ) -> Result<()> {
        Ok(Kernels::of(self)?.convolve_backward(dfilter, dx, dy, filter, x, from, to, aggregate)?)
    }

    fn linear(&self, layer: &LinearLayer<'_, Self>, keep_sum: bool) -> Result<LinearOutput<Self>> {
        Ok(Kernels::of(self)?.linear(layer, keep_sum)?)
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

    fn activate(&self, x: &Dense, activation: Activation) -> Result<Dense> {
        Ok(Kernels::of(self)?.activate(x, activation)?)
    }

    fn activate_backward(
        &self,
        dx: &mut Buffer,
        dy: &mut Buffer,
        x: &Dense,
        output: &Dense,
        activation: Activation,
    ) -> Result<()> {
        let from = if activation.keeps_input() { x } else { output };
        Ok(Kernels::of(self)?.activate_backward(dx, dy, from, activation)?)
    }

    fn add(&self, a: &Dense, b: &Dense) -> Result<Dense> {
        Ok(Kernels::of(self)?.of_two("add", a, b)?)
    }

    fn multiply(&self, a: &Dense, b: &Dense) -> Result<Dense> {
        Ok(Kernels::of(self)?.of_two("multiply", a, b)?)
    }

    fn accumulate(&self, da: &mut Buffer, dy: &Buffer) -> Result<()> {
        Ok(Kernels::of(self)?.accumulate(da, dy)?)
    }

    fn accumulate_product(&self, da: &mut Buffer, dy: &Buffer, b: &Dense) -> Result<()> {
        Ok(Kernels::of(self)?.accumulate_product(da, dy, b)?)
    }

    fn scale_rows(&self, x: &Dense, factor: &Dense) -> Result<Dense> {
        Ok(Kernels::of(self)?.scale_rows(x, factor)?)
    }

    fn scale_rows_backward(
        &self,
        dx: Option<&mut Buffer>,
        dfactor: Option<&mut Buffer>,
        dy: &Buffer,
        x: &Dense,
        factor: &Dense,
    ) -> Result<()> {
        Ok(Kernels::of(self)?.scale_rows_backward(dx, dfactor, dy, x, factor)?)
    }

    fn add_clipped(&self, x: &Dense, change: &Dense, limit: f32) -> Result<Dense> {
        Ok(Kernels::of(self)?.add_clipped(x, change, limit)?)
    }

    fn clip_backward(
        &self,
        dchange: &mut Buffer,
        dy: &Buffer,
        change: &Dense,
        limit: f32,
    ) -> Result<()> {
        Ok(Kernels::of(self)?.clip_backward(dchange, dy, change, limit)?)
    }

    fn block(
        &self,
        x: &Dense,
        rows: &Range<usize>,
        columns: &Range<usize>,
        shape: [usize; 2],
    ) -> Result<Dense> {
        Ok(Kernels::of(self)?.block(x, rows, columns, shape)?)
    }

    fn block_backward(
        &self,
        dx: &mut Buffer,
        dy: &Buffer,
        n_column: usize,
        rows: &Range<usize>,
        columns: &Range<usize>,
    ) -> Result<()> {
        Ok(Kernels::of(self)?.block_backward(dx, dy, n_column, rows, columns)?)
    }

    fn edge_geometry(&self, displacement: &Dense, epsilon: f32) -> Result<[Dense; 2]> {
        Ok(Kernels::of(self)?.edge_geometry(displacement, epsilon)?)
    }

    fn cosine_cutoff(&self, distance: &Dense, cutoff: f32) -> Result<Dense> {
        Ok(Kernels::of(self)?.cosine_cutoff(distance, cutoff)?)
    }

    fn norms_beside(&self, s: &Dense, mixed: &Dense, epsilon: f32) -> Result<Dense> {
        Ok(Kernels::of(self)?.norms_beside(s, mixed, epsilon)?)
    }

    fn norms_beside_backward(
        &self,
        ds: Option<&mut Buffer>,
        dmixed: Option<&mut Buffer>,
        dy: &Buffer,
        mixed: &Dense,
        output: &Dense,
    ) -> Result<()> {
        Ok(Kernels::of(self)?.norms_beside_backward(ds, dmixed, dy, mixed, output)?)
    }

    fn equivariant_update(&self, gates: &Dense, mixed: &Dense) -> Result<[Dense; 2]> {
        Ok(Kernels::of(self)?.equivariant_update(gates, mixed)?)
    }

    fn equivariant_update_backward(
        &self,
        dgates: Option<&mut Buffer>,
        dmixed: Option<&mut Buffer>,
        dy: [&Buffer; 2],
        gates: &Dense,
        mixed: &Dense,
    ) -> Result<()> {
        Ok(Kernels::of(self)?.equivariant_update_backward(dgates, dmixed, dy, gates, mixed)?)
    }

    fn gaussians(&self, distance: &Dense, basis: &GaussianBasis) -> Result<Dense> {
        Ok(Kernels::of(self)?.gaussians(distance, basis)?)
    }

    fn loss(
        &self,
        loss: Loss,
        prediction: &Dense,
        outputs: &Outputs<Self>,
    ) -> Result<(LossSum, Buffer)> {
        Ok(Kernels::of(self)?.loss(loss, prediction, outputs)?)
    }

    fn accumulate_scaled(&self, dx: &mut Buffer, scale: f32, unit: &Buffer) -> Result<()> {
        Ok(Kernels::of(self)?.accumulate_scaled(dx, scale, unit)?)
    }

    /// In place: the parameters that come back are those that were given.
    fn adam(
        &self,
        step: Adam,
        parameters: &[&Dense],
        gradients: &[Buffer],
        moments: &mut [[Buffer; 2]],
    ) -> Result<Vec<Dense>> {
        Kernels::of(self)?.adam(step, parameters, gradients, moments)?;
        Ok(parameters.iter().map(|&parameter| parameter.clone()).collect())
    }
}
