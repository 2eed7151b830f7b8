//! The computation plan, with decisions that apply to all blocks.

use dfdx::tensor::Cpu;

use super::band::Band;
use crate::cpu::scratch::Scratch;
use crate::cpu::simd::padded;
use crate::cpu::slice;
use crate::message::Message;
use crate::message::program::{EdgeLayer, Operation, Program};
use crate::{GaussianBasis, MessageResult};

/// Numbers per block of edges, which stay in a core's own cache (256 KiB).
const BLOCK: usize = 1 << 16;
/// Minimum and maximum edges per block; all tiles are full.
const MIN_ROWS: usize = 24;
const MAX_ROWS: usize = 192;

pub(crate) struct Plan<'a> {
    pub(super) steps: Vec<Step<'a>>,
    pub(super) wanted: MessageResult,
    /// Whether the message is added to the nodes' sums without being written to a block.
    pub(super) fused: bool,
}

#[allow(clippy::struct_excessive_bools, reason = "decisions that combine freely")]
pub(super) struct Step<'a> {
    pub(super) operation: Operation,
    /// The rows or constants that it reads.
    pub(super) rows: &'a [f32],
    pub(super) basis: Option<GaussianBasis>,
    pub(super) band: Option<Band>,
    /// A layer's weight `[n_in, padded width]`, with margins.
    pub(super) weight: Scratch,
    /// Whether it is the input of a linear layer.
    pub(super) feeds_layer: bool,
    /// Rows of zeros before and after a weight for bands of Gaussians.
    pub(super) margin: usize,
    pub(super) bias: Option<&'a [f32]>,
    pub(super) width: usize,
    /// Stride between the rows of a block.
    pub(super) stride: usize,
    pub(super) tracked: bool,
    /// Whether forward writes its values to a block.
    pub(super) in_forward: bool,
    /// Whether its values are kept in memory for backward.
    pub(super) kept: bool,
    /// Whether backward recomputes them.
    pub(super) recomputed: bool,
    /// Whether backward has its gradients in a block.
    pub(super) gradient: bool,
}

impl<'a> Plan<'a> {
    /// `keep` if gradients will be needed.
    pub(crate) fn new(message: &'a Message<Cpu>, wanted: MessageResult, keep: bool) -> Self {
        let program = message.program(wanted);
        let fused = message_is_fused(&program);
        let bands = message.operands.iter().map(|operands| Band::of(operands.basis.as_ref()?));
        let bands: Vec<Option<Band>> = bands.collect();
        let in_forward: Vec<bool> = (0..bands.len())
            .map(|v| {
                program.live[v]
                    && !is_factor(&program, v)
                    && is_in_block(&program, fused, v, bands[v].is_some())
            })
            .collect();
        let backward = keep.then(|| program.for_backward(&in_forward));
        let feeds_layer: Vec<bool> = (0..bands.len()).map(|v| program.feeds_layer(v)).collect();
        let steps = program.steps.into_iter().zip(&message.operands).enumerate();
        let steps = steps.map(|(v, (step, operands))| {
            let [first, bias] =
                operands.matrices.each_ref().map(|matrix| Some(slice(matrix.as_ref()?.tensor())));
            let first = first.unwrap_or_default();
            let is_layer = matches!(step.operation, Operation::Linear(_));
            let (tracked, kept) =
                (step.tracked && keep, backward.as_ref().is_some_and(|b| b.kept[v]));
            let margin = match &step.operation {
                Operation::Linear(layer) if !in_forward[layer.input] => {
                    bands[layer.input].map_or(0, |band| band.margin())
                }
                _ => 0,
            };
            let needed = backward.as_ref().is_some_and(|backward| backward.needed[v]);
            Step {
                rows: first,
                basis: operands.basis,
                band: bands[v],
                weight: if is_layer {
                    with_padding(first, step.width, margin)
                } else {
                    Scratch::new(0)
                },
                feeds_layer: feeds_layer[v],
                margin,
                bias,
                width: step.width,
                stride: padded(step.width),
                tracked,
                in_forward: in_forward[v],
                kept,
                recomputed: in_forward[v] && needed && (!kept || step.operation.keeps_sum()),
                gradient: tracked && in_forward[v],
                operation: step.operation,
            }
        });
        Self { steps: steps.collect(), wanted, fused }
    }

    /// The step whose values these are, times a per-edge constant, if that is why they are not in a
    /// block.
    pub(super) fn scaled(&self, v: usize) -> Option<usize> {
        match self.steps[v].operation {
            Operation::Scale { input } if !self.steps[v].in_forward => Some(input),
            _ => None,
        }
    }

    /// Edges per block, if `numbers` numbers per edge are in blocks.
    pub(super) fn block_rows(numbers: usize) -> usize {
        (BLOCK / numbers.max(1)).clamp(MIN_ROWS, MAX_ROWS) / 6 * 6
    }
}

fn message_is_fused(program: &Program) -> bool {
    let message = program.message;
    let operation = &program.steps[message].operation;
    matches!(operation, Operation::Product(_) | Operation::Equivariant { .. })
        && program.users(message).next().is_none()
        && program.edge != Some(message)
}

/// Whether a step scales a value in a block only for a product, which then includes the scaling.
fn is_factor(program: &Program, v: usize) -> bool {
    let scales = |v: usize| match program.steps[v].operation {
        Operation::Scale { input } => {
            matches!(program.steps[input].operation, Operation::Linear(_))
        }
        _ => false,
    };
    let mut users = program.users(v);
    let by_product = |user: usize| match program.steps[user].operation {
        Operation::Product([a, b]) => scales(a) != scales(b),
        _ => false,
    };
    scales(v)
        && !program.is_result(v)
        && users.next().is_some_and(by_product)
        && users.next().is_none()
}

/// Rows looked up at the nodes need no block, unless they are the input of a linear layer.
fn is_in_block(program: &Program, fused: bool, v: usize, has_band: bool) -> bool {
    let is_layer = |user: usize| matches!(program.steps[user].operation, Operation::Linear(_));
    match program.steps[v].operation {
        Operation::Gaussians => {
            !has_band || program.is_result(v) || !program.users(v).all(is_layer)
        }
        Operation::From | Operation::To | Operation::Stored => program.feeds_layer(v),
        _ => !(fused && program.message == v),
    }
}

impl Step<'_> {
    /// Rows of a layer's weight, including margins.
    pub(super) fn n_weight_row(&self, linear: &EdgeLayer) -> usize {
        linear.n_in + 2 * self.margin
    }

    /// A layer's transposed weight, `[n_out, padded n_in]`.
    pub(super) fn transposed_weight(&self, n_in: usize) -> Scratch {
        let n = padded(n_in);
        let mut turned = Scratch::zeros(self.width * n);
        for (i, row) in self.weight.chunks_exact(self.stride).enumerate() {
            for (j, &value) in row[..self.width].iter().enumerate() {
                turned[j * n + i] = value;
            }
        }
        turned
    }
}

/// A copy with rows padded to whole vectors, aligned for loads, and `margin` rows of zeros on both
/// sides.
fn with_padding(values: &[f32], width: usize, margin: usize) -> Scratch {
    let stride = padded(width);
    let mut out = Scratch::zeros((values.len() / width.max(1) + 2 * margin) * stride);
    let rows = out[margin * stride..].chunks_exact_mut(stride.max(1));
    for (out, row) in rows.zip(values.chunks_exact(width.max(1))) {
        out[..width].copy_from_slice(row);
    }
    out
}
