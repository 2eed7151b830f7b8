//! What is to be computed, with the decisions that hold for all blocks.

use dfdx::tensor::Cpu;

use super::band::Band;
use crate::cpu::scratch::Scratch;
use crate::cpu::simd::padded;
use crate::cpu::slice;
use crate::message::{EdgeOperation, Message};
use crate::{Activation, GaussianBasis, MessageResult};

/// A linear layer without activation on so few Gaussians is computed again in backward: that is
/// cheaper than writing its output to memory and reading it.
const FEW_INPUTS: usize = 32;
/// Numbers of a block of edges, which stay in a core's own cache (256 KiB).
const BLOCK: usize = 1 << 16;
/// A block has at least and at most so many edges: all tiles are full.
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
    pub(super) operation: Operation<'a>,
    pub(super) width: usize,
    /// Numbers from one row of a block to the next.
    pub(super) stride: usize,
    pub(super) tracked: bool,
    /// Whether forward writes its values to a block.
    pub(super) in_forward: bool,
    /// Whether backward finds them in memory.
    pub(super) kept: bool,
    /// Whether backward computes them again.
    pub(super) again: bool,
    /// Whether backward has its gradients in a block.
    pub(super) gradient: bool,
}

/// See [`EdgeOperation`].
pub(super) enum Operation<'a> {
    Gaussians { distance: &'a [f32], basis: GaussianBasis, band: Option<Band> },
    From(&'a [f32]),
    To(&'a [f32]),
    Stored(&'a [f32]),
    Linear(Linear<'a>),
    Sum { terms: &'a [usize], activation: Activation },
    Product([usize; 2]),
    Scale { input: usize, factor: &'a [f32] },
    Equivariant { input: usize, vector: usize, direction: &'a [f32] },
}

/// A linear layer with padded weights.
pub(super) struct Linear<'a> {
    pub(super) input: usize,
    pub(super) n_in: usize,
    /// `[n_in, padded width]`.
    pub(super) weight: Scratch,
    pub(super) bias: Option<&'a [f32]>,
    pub(super) activation: Activation,
    pub(super) of_weight: bool,
    pub(super) of_bias: bool,
}

impl<'a> Plan<'a> {
    /// `keep` if gradients will be wanted.
    pub(crate) fn new(message: &'a Message<Cpu>, wanted: MessageResult, keep: bool) -> Self {
        let steps = message.steps.iter().map(|step| Step {
            operation: operation(&step.operation),
            width: step.width,
            stride: padded(step.width),
            tracked: step.tracked && keep,
            in_forward: true,
            kept: false,
            again: false,
            gradient: step.tracked && keep,
        });
        let mut plan = Self { steps: steps.collect(), wanted, fused: false };
        plan.fused = plan.message_is_fused();
        plan.decide_blocks();
        if keep {
            plan.decide_kept();
        }
        plan
    }

    /// Steps that use the values of a step.
    fn users(&self, used: usize) -> impl Iterator<Item = &Step<'a>> {
        self.steps.iter().filter(move |step| step.operation.inputs().any(|input| input == used))
    }

    fn message_is_fused(&self) -> bool {
        let MessageResult { message, edge, .. } = self.wanted;
        let operation = &self.steps[message].operation;
        matches!(operation, Operation::Product(_) | Operation::Equivariant { .. })
            && self.users(message).next().is_none()
            && edge != Some(message)
    }

    /// What is looked up at the nodes needs no block, unless it goes into a linear layer.
    fn decide_blocks(&mut self) {
        for v in 0..self.steps.len() {
            let feeds_linear =
                self.users(v).any(|user| matches!(user.operation, Operation::Linear(_)));
            let only_linear =
                self.users(v).all(|user| matches!(user.operation, Operation::Linear(_)))
                    && self.wanted.message != v
                    && self.wanted.edge != Some(v);
            let in_block = match &self.steps[v].operation {
                Operation::Gaussians { band, .. } => band.is_none() || !only_linear,
                Operation::From(_) | Operation::To(_) | Operation::Stored(_) => feeds_linear,
                _ => !(self.fused && self.wanted.message == v),
            };
            let step = &mut self.steps[v];
            step.in_forward = in_block;
            step.gradient &= in_block;
        }
    }

    fn decide_kept(&mut self) {
        let mut needed = vec![false; self.steps.len()];
        for (v, step) in self.steps.iter().enumerate().filter(|(_, step)| step.tracked) {
            match &step.operation {
                Operation::Linear(linear) => {
                    needed[linear.input] |= linear.of_weight;
                    needed[v] |= linear.activation != Activation::Identity;
                }
                Operation::Sum { activation, .. } => {
                    needed[v] |= *activation != Activation::Identity;
                }
                Operation::Product([a, b]) | Operation::Equivariant { input: a, vector: b, .. } => {
                    needed[*b] |= self.steps[*a].tracked;
                    needed[*a] |= self.steps[*b].tracked;
                }
                _ => {}
            }
        }
        // Backwards: what is computed again needs its inputs, which come before it.
        for v in (0..self.steps.len()).rev() {
            if !needed[v] {
                continue;
            }
            let cheap = match &self.steps[v].operation {
                Operation::Linear(linear) => {
                    linear.activation == Activation::Identity
                        && linear.n_in <= FEW_INPUTS
                        && self.steps[linear.input].operation.is_gaussians()
                }
                Operation::Sum { activation, .. } => *activation == Activation::Identity,
                _ => true,
            };
            let step = &mut self.steps[v];
            step.kept = !cheap;
            step.again = step.in_forward && (cheap || step.operation.keeps_sum());
            if cheap {
                step.operation.inputs().for_each(|input| needed[input] = true);
            }
        }
    }

    /// Edges of a block, for blocks that `numbers` numbers of each edge are in.
    pub(super) fn block_rows(numbers: usize) -> usize {
        (BLOCK / numbers.max(1)).clamp(MIN_ROWS, MAX_ROWS) / 6 * 6
    }
}

impl Operation<'_> {
    /// The steps whose values it uses.
    pub(super) fn inputs(&self) -> impl Iterator<Item = usize> {
        let (few, many): ([Option<usize>; 2], &[usize]) = match self {
            Self::Linear(linear) => ([Some(linear.input), None], &[]),
            Self::Scale { input, .. } => ([Some(*input), None], &[]),
            Self::Product([a, b]) => ([Some(*a), Some(*b)], &[]),
            Self::Equivariant { input, vector, .. } => ([Some(*input), Some(*vector)], &[]),
            Self::Sum { terms, .. } => ([None; 2], terms),
            _ => ([None; 2], &[]),
        };
        few.into_iter().flatten().chain(many.iter().copied())
    }

    /// Applied to the values at last.
    pub(super) fn activation(&self) -> Activation {
        match self {
            Self::Linear(Linear { activation, .. }) | Self::Sum { activation, .. } => *activation,
            _ => Activation::Identity,
        }
    }

    /// Whether what is kept are the values before the activation.
    pub(super) fn keeps_sum(&self) -> bool {
        self.activation().keeps_input()
    }

    fn is_gaussians(&self) -> bool {
        matches!(self, Self::Gaussians { .. })
    }
}

impl Linear<'_> {
    /// The weight turned, `[n_out, padded n_in]`.
    pub(super) fn transposed(&self, n_out: usize) -> Scratch {
        let (n, step) = (padded(self.n_in), padded(n_out));
        let mut turned = Scratch::zeros(n_out * n);
        for (i, row) in self.weight.chunks_exact(step).enumerate() {
            for (j, &value) in row[..n_out].iter().enumerate() {
                turned[j * n + i] = value;
            }
        }
        turned
    }
}

fn operation(operation: &EdgeOperation<Cpu>) -> Operation<'_> {
    match operation {
        EdgeOperation::Gaussians { distance, basis } => Operation::Gaussians {
            distance: slice(distance.tensor()),
            basis: *basis,
            band: Band::of(basis),
        },
        EdgeOperation::From(node) => Operation::From(slice(node.tensor())),
        EdgeOperation::To(node) => Operation::To(slice(node.tensor())),
        EdgeOperation::Stored(edge) => Operation::Stored(slice(edge.tensor())),
        EdgeOperation::Linear { input, weight, bias, activation } => Operation::Linear(Linear {
            input: *input,
            n_in: weight.n_row(),
            weight: with_padding(slice(weight.tensor()), weight.n_column()),
            bias: bias.as_ref().map(|bias| slice(bias.tensor())),
            activation: *activation,
            of_weight: weight.is_tracked(),
            of_bias: bias.as_ref().is_some_and(crate::Matrix::is_tracked),
        }),
        EdgeOperation::Sum { terms, activation } => {
            Operation::Sum { terms, activation: *activation }
        }
        EdgeOperation::Product(factors) => Operation::Product(*factors),
        EdgeOperation::Scale { input, factor } => {
            Operation::Scale { input: *input, factor: slice(factor.tensor()) }
        }
        EdgeOperation::Equivariant { input, vector, direction } => Operation::Equivariant {
            input: *input,
            vector: *vector,
            direction: slice(direction.tensor()),
        },
    }
}

/// A copy with rows of whole vectors, aligned as they are loaded.
fn with_padding(values: &[f32], width: usize) -> Scratch {
    let stride = padded(width);
    let mut out = Scratch::zeros(values.len() / width.max(1) * stride);
    for (out, row) in out.chunks_exact_mut(stride.max(1)).zip(values.chunks_exact(width.max(1))) {
        out[..width].copy_from_slice(row);
    }
    out
}
