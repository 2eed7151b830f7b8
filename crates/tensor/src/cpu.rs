//! CPU kernels: dfdx's `Cpu` as a [`Backend`](crate::Backend).
//!
//! Work is split into chunks whose size depends only on the arrays, and sums over chunks are
//! computed in order, so results do not depend on the number of threads. Sums over all rows are
//! split at positions counted from the first row, so padding after the real rows, whose gradients
//! are zeros, does not change a single bit. Most kernels are loops over rows that the compiler
//! vectorises ([`wide`]); those of messages, which take most of the time, use explicit vectors
//! ([`simd`]).

mod activation;
mod attention;
mod block;
mod dot;
mod elementwise;
mod extremum;
mod geometry;
mod linear;
mod loss;
mod math;
pub(crate) mod memory;
mod message;
mod node_state;
mod normalise;
mod out;
mod product;
mod propagate;
mod rows;
mod scratch;
mod segment;
mod simd;
mod softplus;
mod team;
mod tile;
pub(crate) mod wide;

use std::convert::Infallible;

use batchlab_core::ModelError;
use dfdx::prelude::*;

use self::out::Out;
use crate::{DeviceMemory, raw};

type Result<T> = std::result::Result<T, <Cpu as HasErr>::Err>;
type Dense = crate::Dense<Cpu>;
type Buffer = crate::Buffer<Cpu>;
type Segments = crate::Segments<Cpu>;

fn slice(tensor: &Dense) -> &[f32] {
    raw::slice(tensor).expect("every matrix is checked to be contiguous when it is made")
}

/// A new matrix, to be filled by `kernel`.
fn filled(
    device: &Cpu,
    [n_row, n_column]: [usize; 2],
    kernel: impl for<'o> FnOnce(Out<'o>) -> &'o mut [f32],
) -> Result<Dense> {
    device.try_tensor_from_vec(out::new(n_row * n_column, kernel), (n_row, n_column))
}

/// The same for a kernel that adds to zeros, or needs initialised memory.
fn filled_from_zeros(
    device: &Cpu,
    shape: [usize; 2],
    kernel: impl FnOnce(&mut [f32]),
) -> Result<Dense> {
    filled(device, shape, |out| {
        let out = out.values();
        kernel(out);
        out
    })
}

/// The accumulator of a gradient of `n` numbers, zeros if nothing has been added yet.
fn sums(gradient: &mut Vec<f32>, n: usize) -> &mut [f32] {
    out::add(gradient, n, |out| out.values());
    gradient
}

impl DeviceMemory for Cpu {
    type Words = Vec<u32>;
    type Numbers = Vec<f32>;
    type Arena = ();
    type EdgePlan = message::EdgePlan;
    type Kept = message::Kept;
    type PendingLoss = f64;
    type FetchedLoss = f64;
    type Recording = Infallible;
    type RecordingMemory = ();

    fn zero_matrix(&self, [n_row, n_column]: [usize; 2]) -> Result<Dense> {
        self.try_zeros_like(&(n_row, n_column))
    }

    fn record(
        &self,
        (): &mut (),
        _: &mut dyn FnMut() -> std::result::Result<(), ModelError>,
    ) -> std::result::Result<Infallible, ModelError> {
        Err(ModelError::Engine("a processor records no work".into()))
    }

    fn start(&self, recording: &Infallible) -> Result<()> {
        match *recording {}
    }

    fn new_gradient(&self, _: usize) -> Result<Buffer> {
        self.zeros_buffer(0)
    }

    fn begin_upload(&self, (): &mut (), _: usize) -> Result<()> {
        Ok(())
    }

    fn put_words(&self, (): &mut (), host: &[u32]) -> Result<Vec<u32>> {
        Ok(host.to_vec())
    }

    fn put_numbers(&self, (): &mut (), host: &[f32]) -> Result<Vec<f32>> {
        Ok(host.to_vec())
    }

    fn put_matrix(
        &self,
        (): &mut (),
        _: Option<Dense>,
        host: &[f32],
        shape: [usize; 2],
    ) -> Result<Dense> {
        self.try_tensor_from_vec(host.to_vec(), (shape[0], shape[1]))
    }

    fn finish_upload(&self, (): &mut ()) -> Result<()> {
        Ok(())
    }

    fn begin_use(&self, (): &()) -> Result<()> {
        memory::ask_for_large_pages();
        team::wake();
        Ok(())
    }

    fn end_use(&self, (): &()) -> Result<()> {
        Ok(())
    }

    fn write(&self, buffer: &mut Buffer, host: &[f32]) -> Result<()> {
        buffer.clear();
        buffer.extend_from_slice(host);
        Ok(())
    }

    fn read(&self, buffer: &Buffer) -> Result<Vec<f32>> {
        Ok(buffer.to_vec())
    }

    fn is_contiguous(tensor: &Dense) -> bool {
        raw::slice(tensor).is_some()
    }

    fn wait(&self) -> Result<()> {
        Ok(())
    }

    fn arithmetic() -> &'static str {
        wide::vectors().name()
    }

    fn take_peak_bytes(&self, (): &()) -> Result<Option<u64>> {
        Ok(None)
    }

    fn edge_plan(&self, from: &Segments, to: &Segments, n_real: usize) -> Result<Self::EdgePlan> {
        let order = to.order.as_deref();
        Ok(message::EdgePlan::new(&from.of, &to.of, order, from.n_segment, n_real))
    }

    fn edge_plan_bytes(plan: &Self::EdgePlan) -> u64 {
        plan.n_byte()
    }
}
