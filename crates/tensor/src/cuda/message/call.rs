//! Launches a message's kernels: memory, arguments and order.

use cudarc::driver::{CudaSlice, DeviceSlice};
use dfdx::prelude::*;

use super::backward::{FROM_LANES, FROM_TILE};
use super::compiled::Compiled;
use super::kernel::Kernel;
use super::kernels::{Backward, MessageKernels};
use super::parameter::Parameter;
use crate::backend::MessageOutput;
use crate::cuda::error::Error;
use crate::cuda::gradient::Sum;
use crate::cuda::kernels::Kernels;
use crate::cuda::module::{Argument, Launch, count};
use crate::cuda::raw;
use crate::message::program::Operation;
use crate::{Buffer, Message, MessageResult, Segments};

/// Threads of a block that computes edges: THREADS in the source.
const THREADS: u32 = 128;
/// Columns and runs of a block that sums: `SUM_X` and `SUM_Y` in the source.
const SUM_X: usize = 32;
const SUM_Y: usize = 16;

/// Values kept by forward for backward.
#[derive(Debug)]
pub struct Kept(CudaSlice<f32>);

/// One message, its program, and the batch's sizes.
pub(super) struct Call<'a> {
    pub(super) plain: &'a Kernels<'a>,
    pub(super) message: &'a Message<Cuda>,
    pub(super) result: MessageResult,
    pub(super) compiled: &'a Compiled,
}

/// Addresses that only some kernels use; 0 if absent.
#[derive(Default)]
struct Places {
    received: u64,
    of_received: u64,
    edges: u64,
    of_edges: u64,
    kept: u64,
    block_sums: u64,
    /// By step: first and second matrix.
    gradients: Vec<[u64; 2]>,
    /// Whether to add to gradients that kernels could otherwise overwrite.
    adds: bool,
    /// The same for rows of nodes, by step.
    adds_rows: Vec<bool>,
    sent: Vec<u64>,
    parts: Vec<u64>,
    sent_parts: Vec<u64>,
}

/// Arrays passed from one launch to the next, in a single allocation.
#[derive(Default)]
struct Scratch {
    n: usize,
}

impl Scratch {
    /// Offset for `n` numbers: at a multiple of 256 bytes, with a gap after the previous array, so
    /// that a kernel that reads beyond its array finds unwritten memory.
    fn take(&mut self, n: usize) -> usize {
        let place = self.n;
        self.n = (place + n + 1).next_multiple_of(64);
        place
    }
}

impl Call<'_> {
    /// The aggregated messages, values per edge, and what backward needs if `keep`.
    ///
    /// # Errors
    /// If the GPU is out of memory or fails.
    pub(super) fn forward(&self, keep: bool) -> Result<MessageOutput<Cuda>, Error> {
        let kernels = &self.compiled.kernels;
        let MessageResult { message, edge, .. } = self.result;
        let width = |v: usize| kernels.widths[v];
        let shape = [self.n_node(), width(message)];
        let received =
            if self.n_edge() > 0 { self.plain.matrix(shape) } else { self.plain.zeros(shape) }?;
        let edges = edge.map(|v| self.plain.matrix([self.n_edge(), width(v)])).transpose()?;
        let n_kept: usize = kernels.kept.iter().map(|(_, width)| width).sum();
        let n_kept = n_kept * self.n_tile() * kernels.tile;
        let kept = keep.then(|| self.plain.unwritten(n_kept)).transpose()?;
        let n_block = self.n_tile();
        let mut scratch = Scratch::default();
        let parts = scratch.take(2 * self.n_tile() * width(message));
        let memory = self.plain.unwritten(scratch.n)?;
        let at = |place: usize| Argument::from(&memory).address() + 4 * place as u64;
        let mut places = Places {
            received: Argument::from(&received).address(),
            edges: edges.as_ref().map_or(0, |edges| Argument::from(edges).address()),
            kept: kept.as_ref().map_or(0, |kept| Argument::from(kept).address()),
            parts: vec![0; kernels.widths.len()],
            ..Places::default()
        };
        places.parts[message] = at(parts);

        let blocks = [n_block, kernels.n_column_block];
        self.launch(&kernels.forward, blocks, THREADS, n_block, &places)?;
        let blocks = [self.n_tile(), width(message).div_ceil(SUM_X)];
        self.launch(&kernels.finish_forward, blocks, (SUM_X * SUM_Y) as u32, n_block, &places)?;
        Ok((received, edges, kept.map(Kept)))
    }

    /// Adds to the needed gradients of all matrices.
    pub(super) fn backward(
        &self,
        gradients: &mut [Option<Buffer<Cuda>>],
        of_received: &Buffer<Cuda>,
        of_edges: Option<&Buffer<Cuda>>,
        kept: &Kept,
    ) -> Result<(), Error> {
        let kernels = &self.compiled.kernels;
        let Some(backward) = &kernels.backward else {
            return Err(Error::Engine("gradients of a message that has kept nothing".into()));
        };
        let n_block = self.n_tile().min(kernels.most_blocks);
        let n_from_tile = self.n_edge().div_ceil(FROM_TILE);
        let sums = self.sums(gradients, backward)?;
        let mut scratch = Scratch::default();
        let block_sums = scratch.take(n_block * kernels.n_block_sum);
        let mut of_steps = |of: fn(usize) -> Parameter, n: usize| -> Vec<usize> {
            let steps = kernels.widths.iter().enumerate();
            let uses = |v| backward.all().any(|kernel| kernel.parameters.contains(&of(v)));
            steps.map(|(v, width)| if uses(v) { scratch.take(n * width) } else { 0 }).collect()
        };
        let sent = of_steps(Parameter::Sent, self.n_edge());
        let parts = of_steps(Parameter::Parts, 2 * self.n_tile());
        let sent_parts = of_steps(Parameter::SentParts, 2 * n_from_tile);
        let memory = self.plain.unwritten(scratch.n)?;
        let at = |place: usize| Argument::from(&memory).address() + 4 * place as u64;
        let all_at = |places: Vec<usize>| places.into_iter().map(at).collect();
        let places = Places {
            of_received: raw::of_buffer(of_received),
            of_edges: of_edges.map_or(0, raw::of_buffer),
            kept: Argument::from(&kept.0).address(),
            block_sums: at(block_sums),
            sent: all_at(sent),
            parts: all_at(parts),
            sent_parts: all_at(sent_parts),
            ..sums
        };
        let blocks = [n_block, kernels.n_column_block];
        self.launch(&backward.edges, blocks, THREADS, n_block, &places)?;
        if let Some(kernel) = &backward.sum_sent {
            let blocks = [n_from_tile, kernels.widest(kernel).div_ceil(FROM_LANES)];
            self.launch(kernel, blocks, THREADS, n_block, &places)?;
        }
        if let Some(kernel) = backward.finish.as_ref().filter(|_| n_block > 0) {
            let there = kernel.parameters.contains(&Parameter::NTile).then_some(self.n_tile());
            let sent = kernel.parameters.contains(&Parameter::NFromTile).then_some(n_from_tile);
            let y = kernels.widest(kernel).div_ceil(SUM_X).max(1);
            let x = there.unwrap_or(0)
                + sent.unwrap_or(0)
                + kernels.n_block_sum.div_ceil(SUM_X).div_ceil(y);
            self.launch(kernel, [x, y], (SUM_X * SUM_Y) as u32, n_block, &places)?;
        }
        Ok(())
    }

    /// The accumulators of each step's matrices, and whether kernels add to them or overwrite them
    /// with the first contribution. Except for rows of nodes, they add to all or to none.
    fn sums(
        &self,
        gradients: &mut [Option<Buffer<Cuda>>],
        backward: &Backward,
    ) -> Result<Places, Error> {
        let of_nodes =
            |v: usize| [Operation::From, Operation::To].contains(&self.message.steps[v].operation);
        let is_written = |v: usize, place: usize| {
            let of =
                |parameter| backward.all().any(|kernel| kernel.parameters.contains(&parameter));
            let all = [[Parameter::OfRows(v), Parameter::OfWeight(v)], [Parameter::OfBias(v); 2]];
            self.n_edge() > 0 && all[place].into_iter().any(of)
        };
        let mut sums = Vec::new();
        let mut rest = gradients.iter_mut();
        for (v, matrices) in self.message.matrices().enumerate() {
            for (place, matrix) in matrices.into_iter().enumerate() {
                let Some(matrix) = matrix else { continue };
                let Some(Some(gradient)) = rest.next() else { continue };
                let n = matrix.n_row() * matrix.n_column();
                sums.push((v, place, n, is_written(v, place), gradient));
            }
        }
        let adds = sums.iter().any(|(v, _, n, is_written, gradient)| {
            *is_written && !of_nodes(*v) && gradient.len() == *n
        });
        let n_step = self.message.steps.len();
        let (mut places, mut adds_rows) = (vec![[0; 2]; n_step], vec![false; n_step]);
        for (v, place, n, is_written, gradient) in sums {
            let sum = if is_written && (of_nodes(v) || !adds) {
                self.plain.sum(gradient, n)
            } else {
                Sum { place: self.plain.sum_from_zeros(gradient, n)?, adds: true }
            };
            places[v][place] = sum.place.address();
            adds_rows[v] = sum.adds;
        }
        Ok(Places { gradients: places, adds, adds_rows, ..Places::default() })
    }

    fn n_edge(&self) -> usize {
        self.message.edges.from.n_item
    }

    fn n_node(&self) -> usize {
        self.message.edges.to.n_segment
    }

    fn n_tile(&self) -> usize {
        self.n_edge().div_ceil(self.compiled.kernels.tile)
    }

    fn launch(
        &self,
        kernel: &Kernel,
        [x, y]: [usize; 2],
        threads: u32,
        n_block: usize,
        places: &Places,
    ) -> Result<(), Error> {
        let arguments: Result<Vec<_>, Error> = kernel
            .parameters
            .iter()
            .map(|&parameter| self.value(parameter, n_block, places))
            .collect();
        let launch = Launch {
            blocks: [count("blocks", x)?, count("blocks", y)?],
            threads,
            shared: count("bytes", kernel.shared_bytes)?,
        };
        self.plain.gpu.launch(&self.compiled.module, kernel.name, launch, &arguments?)
    }

    /// The argument for a parameter.
    fn value(
        &self,
        parameter: Parameter,
        n_block: usize,
        places: &Places,
    ) -> Result<Argument, Error> {
        let int = |what, n| count(what, n).map(|n| Argument::I32(n.cast_signed()));
        let at = Argument::Pointer;
        let (from, to) = (&*self.message.edges.from, &*self.message.edges.to);
        let order = |segments: &Segments<Cuda>| Argument::from(segments.order.as_ref());
        let numbers = |v: usize| {
            let basis = self.message.operands[v].basis;
            basis.ok_or_else(|| Error::Engine(format!("step {v} has no basis")))
        };
        Ok(match parameter {
            Parameter::NEdge => int("edges", self.n_edge())?,
            Parameter::NTile => int("tiles", self.n_tile())?,
            Parameter::NFromTile => int("tiles", self.n_edge().div_ceil(FROM_TILE))?,
            Parameter::NToNode => int("nodes", self.n_node())?,
            Parameter::NFromNode => int("nodes", from.n_segment)?,
            Parameter::NBlock => int("blocks", n_block)?,
            Parameter::Adds => Argument::I32(places.adds.into()),
            Parameter::AddsRows(v) => Argument::I32(places.adds_rows[v].into()),
            Parameter::ToOrder => order(to),
            Parameter::ToOf => (&to.of).into(),
            Parameter::ToOffset => (&to.offset).into(),
            Parameter::FromOrder => order(from),
            Parameter::FromOf => (&from.of).into(),
            Parameter::FromOffset => (&from.offset).into(),
            Parameter::Rows(v) | Parameter::Weight(v) | Parameter::Constant(v) => {
                self.matrix(v, 0)?
            }
            Parameter::Bias(v) => self.matrix(v, 1)?,
            Parameter::First(v) => Argument::F32(numbers(v)?.first),
            Parameter::Spacing(v) => Argument::F32(numbers(v)?.spacing),
            Parameter::Coefficient(v) => Argument::F32(numbers(v)?.coefficient),
            Parameter::Received => at(places.received),
            Parameter::OfReceived => at(places.of_received),
            Parameter::Edges => at(places.edges),
            Parameter::OfEdges => at(places.of_edges),
            Parameter::Kept(v) => at(places.kept + 4 * self.before_kept(v) as u64),
            Parameter::OfRows(v) | Parameter::OfWeight(v) => at(places.gradients[v][0]),
            Parameter::OfBias(v) => at(places.gradients[v][1]),
            Parameter::Sent(v) => at(places.sent[v]),
            Parameter::Parts(v) => at(places.parts[v]),
            Parameter::SentParts(v) => at(places.sent_parts[v]),
            Parameter::BlockSums => at(places.block_sums),
        })
    }

    /// A matrix of a step: the one that it looks up, its weight and bias, or a per-edge constant.
    fn matrix(&self, v: usize, which: usize) -> Result<Argument, Error> {
        let matrix = self.message.operands[v].matrices[which].as_ref();
        let matrix = matrix.ok_or_else(|| Error::Engine(format!("step {v} has no matrix")))?;
        Ok(Argument::from(matrix.tensor()))
    }

    /// Number of values kept for the steps before `v`.
    fn before_kept(&self, v: usize) -> usize {
        let MessageKernels { kept, tile, .. } = &self.compiled.kernels;
        let before: usize =
            kept.iter().take_while(|(step, _)| *step < v).map(|(_, width)| width).sum();
        before * tile * self.n_tile()
    }
}
