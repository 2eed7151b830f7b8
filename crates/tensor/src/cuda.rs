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
use crate::{
    Activation, Adam, Aggregate, Backend, Buffer, Dense, GaussianBasis, Message, Outputs, Segments,
};

pub(crate) use device::open;
use error::Error;
use kernels::Kernels;

type Result<T> = std::result::Result<T, <Cuda as HasErr>::Err>;

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
    ) -> Result<Dense<Self>> {
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
    fn write(&self, buffer: &mut Buffer<Self>, host: &[f32]) -> Result<()> {
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

    fn read(&self, buffer: &Buffer<Self>) -> Result<Vec<f32>> {
        let gpu = device::of(self)?;
        let values =
            gpu.device.dtoh_sync_copy(buffer).map_err(Error::driver("copy from the GPU"))?;
        Ok(values)
    }

    fn is_contiguous(tensor: &Dense<Self>) -> bool {
        raw::is_contiguous(tensor)
    }

    fn wait(&self) -> Result<()> {
        Ok(device::of(self)?.wait()?)
    }

    fn take_peak_bytes(&self) -> Result<Option<u64>> {
        Ok(Some(device::of(self)?.pool.take_peak_bytes()?))
    }

    fn edge_plan(&self, _: &Segments<Self>, _: &Segments<Self>) -> Result<()> {
        Ok(())
    }

    /// None: a filter is cheaper than keeping one for two edges that no tile holds together.
    fn pair_plan(
        &self,
        _: &Segments<Self>,
        _: &Segments<Self>,
        _: &Dense<Self>,
    ) -> Result<Option<()>> {
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
        gradients: &mut [Option<Buffer<Self>>],
        dy: &mut Buffer<Self>,
        dedge: Option<&Buffer<Self>>,
        message: &Message<Self>,
        result: MessageResult,
        kept: Self::Kept,
    ) -> Result<()> {
        message::message_backward(self, gradients, dy, dedge, message, result, &kept)
    }

    fn gather(&self, x: &Dense<Self>, segments: &Segments<Self>) -> Result<Dense<Self>> {
        Ok(Kernels::of(self)?.gather(x, segments)?)
    }

    fn gather_backward(
        &self,
        dx: &mut Buffer<Self>,
        dy: &Buffer<Self>,
        segments: &Segments<Self>,
        width: usize,
    ) -> Result<()> {
        Ok(Kernels::of(self)?.gather_backward(dx, dy, segments, width)?)
    }

    fn segment(
        &self,
        x: &Dense<Self>,
        segments: &Segments<Self>,
        aggregate: Aggregate,
    ) -> Result<Dense<Self>> {
        Ok(Kernels::of(self)?.segment(x, segments, aggregate)?)
    }

    fn segment_backward(
        &self,
        dx: &mut Buffer<Self>,
        dy: &Buffer<Self>,
        segments: &Segments<Self>,
        aggregate: Aggregate,
        width: usize,
    ) -> Result<()> {
        Ok(Kernels::of(self)?.segment_backward(dx, dy, segments, aggregate, width)?)
    }

    fn segment_max(&self, x: &Dense<Self>, segments: &Segments<Self>) -> Result<Dense<Self>> {
        Ok(Kernels::of(self)?.segment_max(x, segments)?)
    }

    fn segment_max_backward(
        &self,
        dx: &mut Buffer<Self>,
        dy: &Buffer<Self>,
        x: &Dense<Self>,
        largest: &Dense<Self>,
        segments: &Segments<Self>,
    ) -> Result<()> {
        Ok(Kernels::of(self)?.segment_max_backward(dx, dy, x, largest, segments)?)
    }

    fn segment_softmax(&self, x: &Dense<Self>, segments: &Segments<Self>) -> Result<Dense<Self>> {
        Ok(Kernels::of(self)?.segment_softmax(x, segments)?)
    }

    fn segment_softmax_backward(
        &self,
        dx: &mut Buffer<Self>,
        dy: &Buffer<Self>,
        output: &Dense<Self>,
        segments: &Segments<Self>,
    ) -> Result<()> {
        Ok(Kernels::of(self)?.segment_softmax_backward(dx, dy, output, segments)?)
    }

    fn convolve(
        &self,
        filter: &Dense<Self>,
        x: &Dense<Self>,
        from: &Segments<Self>,
        to: &Segments<Self>,
        aggregate: Aggregate,
    ) -> Result<Dense<Self>> {
        Ok(Kernels::of(self)?.convolve(filter, x, from, to, aggregate)?)
    }

    fn convolve_backward(
        &self,
        dfilter: Option<&mut Buffer<Self>>,
        dx: Option<&mut Buffer<Self>>,
        dy: &mut Buffer<Self>,
        filter: &Dense<Self>,
        x: &Dense<Self>,
        from: &Segments<Self>,
        to: &Segments<Self>,
        aggregate: Aggregate,
    ) -> Result<()> {
        Ok(Kernels::of(self)?.convolve_backward(dfilter, dx, dy, filter, x, from, to, aggregate)?)
    }

    fn linear(&self, layer: &LinearLayer<'_, Self>, keep_sum: bool) -> Result<LinearOutput<Self>> {
        Ok(Kernels::of(self)?.linear(layer, keep_sum)?)
    }

    fn linear_backward(
        &self,
        dx: Option<&mut Buffer<Self>>,
        dweight: &mut Buffer<Self>,
        dbias: Option<&mut Buffer<Self>>,
        dy: &mut Buffer<Self>,
        layer: &LinearLayer<'_, Self>,
        output: &Dense<Self>,
        sum: Option<&Dense<Self>>,
    ) -> Result<()> {
        let from = sum.unwrap_or(output);
        Ok(Kernels::of(self)?.linear_backward(dx, dweight, dbias, dy, layer, from)?)
    }

    fn activate(&self, x: &Dense<Self>, activation: Activation) -> Result<Dense<Self>> {
        Ok(Kernels::of(self)?.activate(x, activation)?)
    }

    fn activate_backward(
        &self,
        dx: &mut Buffer<Self>,
        dy: &mut Buffer<Self>,
        x: &Dense<Self>,
        output: &Dense<Self>,
        activation: Activation,
    ) -> Result<()> {
        let from = if activation.keeps_input() { x } else { output };
        Ok(Kernels::of(self)?.activate_backward(dx, dy, from, activation)?)
    }

    fn add(&self, a: &Dense<Self>, b: &Dense<Self>) -> Result<Dense<Self>> {
        Ok(Kernels::of(self)?.of_two("add", a, b)?)
    }

    fn multiply(&self, a: &Dense<Self>, b: &Dense<Self>) -> Result<Dense<Self>> {
        Ok(Kernels::of(self)?.of_two("multiply", a, b)?)
    }

    fn accumulate(&self, da: &mut Buffer<Self>, dy: &Buffer<Self>) -> Result<()> {
        Ok(Kernels::of(self)?.accumulate(da, dy)?)
    }

    fn accumulate_product(
        &self,
        da: &mut Buffer<Self>,
        dy: &Buffer<Self>,
        b: &Dense<Self>,
    ) -> Result<()> {
        Ok(Kernels::of(self)?.accumulate_product(da, dy, b)?)
    }

    fn scale_rows(&self, x: &Dense<Self>, factor: &Dense<Self>) -> Result<Dense<Self>> {
        Ok(Kernels::of(self)?.scale_rows(x, factor)?)
    }

    fn scale_rows_backward(
        &self,
        dx: Option<&mut Buffer<Self>>,
        dfactor: Option<&mut Buffer<Self>>,
        dy: &Buffer<Self>,
        x: &Dense<Self>,
        factor: &Dense<Self>,
    ) -> Result<()> {
        Ok(Kernels::of(self)?.scale_rows_backward(dx, dfactor, dy, x, factor)?)
    }

    fn add_clipped(
        &self,
        x: &Dense<Self>,
        change: &Dense<Self>,
        limit: f32,
    ) -> Result<Dense<Self>> {
        Ok(Kernels::of(self)?.add_clipped(x, change, limit)?)
    }

    fn clip_backward(
        &self,
        dchange: &mut Buffer<Self>,
        dy: &Buffer<Self>,
        change: &Dense<Self>,
        limit: f32,
    ) -> Result<()> {
        Ok(Kernels::of(self)?.clip_backward(dchange, dy, change, limit)?)
    }

    fn block(
        &self,
        x: &Dense<Self>,
        rows: &Range<usize>,
        columns: &Range<usize>,
        shape: [usize; 2],
    ) -> Result<Dense<Self>> {
        Ok(Kernels::of(self)?.block(x, rows, columns, shape)?)
    }

    fn block_backward(
        &self,
        dx: &mut Buffer<Self>,
        dy: &Buffer<Self>,
        n_column: usize,
        rows: &Range<usize>,
        columns: &Range<usize>,
    ) -> Result<()> {
        Ok(Kernels::of(self)?.block_backward(dx, dy, n_column, rows, columns)?)
    }

    fn edge_geometry(&self, displacement: &Dense<Self>, epsilon: f32) -> Result<[Dense<Self>; 2]> {
        Ok(Kernels::of(self)?.edge_geometry(displacement, epsilon)?)
    }

    fn cosine_cutoff(&self, distance: &Dense<Self>, cutoff: f32) -> Result<Dense<Self>> {
        Ok(Kernels::of(self)?.cosine_cutoff(distance, cutoff)?)
    }

    fn norms_beside(
        &self,
        s: &Dense<Self>,
        mixed: &Dense<Self>,
        epsilon: f32,
    ) -> Result<Dense<Self>> {
        Ok(Kernels::of(self)?.norms_beside(s, mixed, epsilon)?)
    }

    fn norms_beside_backward(
        &self,
        ds: Option<&mut Buffer<Self>>,
        dmixed: Option<&mut Buffer<Self>>,
        dy: &Buffer<Self>,
        mixed: &Dense<Self>,
        output: &Dense<Self>,
    ) -> Result<()> {
        Ok(Kernels::of(self)?.norms_beside_backward(ds, dmixed, dy, mixed, output)?)
    }

    fn equivariant_update(
        &self,
        gates: &Dense<Self>,
        mixed: &Dense<Self>,
    ) -> Result<[Dense<Self>; 2]> {
        Ok(Kernels::of(self)?.equivariant_update(gates, mixed)?)
    }

    fn equivariant_update_backward(
        &self,
        dgates: Option<&mut Buffer<Self>>,
        dmixed: Option<&mut Buffer<Self>>,
        dy: [&Buffer<Self>; 2],
        gates: &Dense<Self>,
        mixed: &Dense<Self>,
    ) -> Result<()> {
        Ok(Kernels::of(self)?.equivariant_update_backward(dgates, dmixed, dy, gates, mixed)?)
    }

    fn gaussians(&self, distance: &Dense<Self>, basis: &GaussianBasis) -> Result<Dense<Self>> {
        Ok(Kernels::of(self)?.gaussians(distance, basis)?)
    }

    fn loss(
        &self,
        loss: Loss,
        prediction: &Dense<Self>,
        outputs: &Outputs<Self>,
    ) -> Result<(LossSum, Buffer<Self>)> {
        Ok(Kernels::of(self)?.loss(loss, prediction, outputs)?)
    }

    fn accumulate_scaled(
        &self,
        dx: &mut Buffer<Self>,
        scale: f32,
        unit: &Buffer<Self>,
    ) -> Result<()> {
        Ok(Kernels::of(self)?.accumulate_scaled(dx, scale, unit)?)
    }

    /// In place: the parameters that come back are those that were given.
    fn adam(
        &self,
        step: Adam,
        parameters: &[&Dense<Self>],
        gradients: &[Buffer<Self>],
        moments: &mut [[Buffer<Self>; 2]],
    ) -> Result<Vec<Dense<Self>>> {
        Kernels::of(self)?.adam(step, parameters, gradients, moments)?;
        Ok(parameters.iter().map(|&parameter| parameter.clone()).collect())
    }
}
