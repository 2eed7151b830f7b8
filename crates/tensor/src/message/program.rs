//! The structure of a message: what is computed for every edge, without the input matrices, and its
//! consequences for every device.

use batchlab_core::model::Precision;

use crate::{Activation, Aggregate, MessageResult};

/// Backward recomputes a linear layer without activation on at most this many Gaussians, because
/// that is cheaper than writing its output to memory and reading it.
const FEW_INPUTS: usize = 32;

/// The steps of a message, and the use of their values.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Program {
    pub(crate) steps: Vec<Step>,
    /// The step that the nodes receive.
    pub(crate) message: usize,
    /// The step that is returned per edge.
    pub(crate) edge: Option<usize>,
    pub(crate) aggregate: Aggregate,
    /// Steps that message and edge values depend on.
    pub(crate) live: Vec<bool>,
    /// Precision of the products with weights.
    pub(crate) precision: Precision,
}

/// A value of the edges and its computation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Step {
    pub(crate) operation: Operation,
    /// Numbers per edge.
    pub(crate) width: usize,
    /// Whether it depends on a parameter.
    pub(crate) tracked: bool,
}

/// How to compute a value of the edges. Numbers refer to earlier steps; matrices are the step's
/// [`Operands`](super::Operands).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Operation {
    /// Expanded distances `[n_edge, 1]`.
    Gaussians,
    /// The row of the message's source node, from `[n_node, width]`.
    From,
    /// The row of the message's target node, from `[n_node, width]`.
    To,
    /// The edge's row, from `[n_edge, width]`.
    Stored,
    Linear(EdgeLayer),
    /// An activation of a sum of values.
    Sum {
        terms: Vec<usize>,
        activation: Activation,
    },
    /// An elementwise product.
    Product([usize; 2]),
    /// A value times a per-edge constant, `[n_edge, 1]`.
    Scale {
        input: usize,
    },
    /// Concatenated scalars and vectors, see [`Message::equivariant`](crate::Message::equivariant);
    /// direction `[n_edge, 3]`.
    Equivariant {
        input: usize,
        vector: usize,
    },
}

/// A linear layer on edges: weight `[n_in, width]`, bias `[1, width]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct EdgeLayer {
    pub(crate) input: usize,
    pub(crate) n_in: usize,
    pub(crate) bias: bool,
    pub(crate) activation: Activation,
    /// Whether gradients with respect to weight and bias are needed.
    pub(crate) of_weight: bool,
    pub(crate) of_bias: bool,
}

/// The needs of backward, by step.
pub(crate) struct ForBackward {
    /// Steps whose values it needs.
    pub(crate) needed: Vec<bool>,
    /// Steps that forward keeps in memory; other values are recomputed.
    pub(crate) kept: Vec<bool>,
}

impl Program {
    pub(crate) fn new(steps: Vec<Step>, result: MessageResult, precision: Precision) -> Self {
        let MessageResult { message, edge, aggregate } = result;
        let mut live = vec![false; steps.len()];
        live[message] = true;
        if let Some(edge) = edge {
            live[edge] = true;
        }
        for v in (0..steps.len()).rev() {
            if live[v] {
                for input in steps[v].operation.inputs() {
                    live[input] = true;
                }
            }
        }
        Self { steps, message, edge, aggregate, live, precision }
    }

    /// Steps that use the values of a step.
    pub(crate) fn users(&self, used: usize) -> impl Iterator<Item = usize> {
        (0..self.steps.len()).filter(move |&v| {
            self.live[v] && self.steps[v].operation.inputs().any(|input| input == used)
        })
    }

    /// Whether a step is the input of a linear layer.
    pub(crate) fn feeds_layer(&self, v: usize) -> bool {
        self.users(v).any(|user| matches!(self.steps[user].operation, Operation::Linear(_)))
    }

    /// Whether a step is received by the nodes, or returned per edge.
    pub(crate) fn is_result(&self, v: usize) -> bool {
        self.message == v || self.edge == Some(v)
    }

    /// The needs of backward if forward stores the values of `staged` steps somewhere, and the
    /// others are computed where they are used.
    pub(crate) fn for_backward(&self, staged: &[bool]) -> ForBackward {
        let n = self.steps.len();
        let (mut needed, mut kept) = (vec![false; n], vec![false; n]);
        for v in (0..n).filter(|&v| self.live[v] && self.steps[v].tracked) {
            let operation = &self.steps[v].operation;
            let slope = operation.activation() != Activation::Identity;
            match operation {
                Operation::Linear(layer) => {
                    needed[layer.input] |= layer.of_weight;
                    kept[v] |= slope;
                }
                Operation::Sum { .. } if slope && staged[v] => kept[v] = true,
                Operation::Sum { terms, .. } if slope => {
                    for &term in terms {
                        needed[term] = true;
                    }
                }
                Operation::Product([a, b]) | Operation::Equivariant { input: a, vector: b } => {
                    needed[*b] |= self.steps[*a].tracked;
                    needed[*a] |= self.steps[*b].tracked;
                }
                _ => {}
            }
        }
        // In reverse: recomputed steps need their inputs, which come before them.
        for v in (0..n).rev().filter(|&v| self.live[v]) {
            if !needed[v] {
                continue;
            }
            kept[v] |= staged[v] && !self.is_cheap(v);
            if !kept[v] {
                self.steps[v].operation.inputs().for_each(|input| needed[input] = true);
            }
        }
        ForBackward { needed, kept }
    }

    /// Whether a staged value is recomputed rather than kept.
    fn is_cheap(&self, v: usize) -> bool {
        match &self.steps[v].operation {
            Operation::Linear(layer) => {
                layer.activation == Activation::Identity
                    && layer.n_in <= FEW_INPUTS
                    && self.steps[layer.input].operation == Operation::Gaussians
            }
            Operation::Sum { activation, .. } => *activation == Activation::Identity,
            _ => true,
        }
    }
}

impl Operation {
    /// The steps whose values it uses; one that is used twice occurs twice.
    pub(crate) fn inputs(&self) -> impl Iterator<Item = usize> {
        let (few, many): ([Option<usize>; 2], &[usize]) = match self {
            Self::Linear(EdgeLayer { input, .. }) | Self::Scale { input } => {
                ([Some(*input), None], &[])
            }
            Self::Product([a, b]) => ([Some(*a), Some(*b)], &[]),
            Self::Equivariant { input, vector } => ([Some(*input), Some(*vector)], &[]),
            Self::Sum { terms, .. } => ([None; 2], terms),
            _ => ([None; 2], &[]),
        };
        few.into_iter().flatten().chain(many.iter().copied())
    }

    /// Applied to the values at the end.
    pub(crate) fn activation(&self) -> Activation {
        match self {
            Self::Linear(EdgeLayer { activation, .. }) | Self::Sum { activation, .. } => {
                *activation
            }
            _ => Activation::Identity,
        }
    }

    /// Whether the kept values are those before the activation.
    pub(crate) fn keeps_sum(&self) -> bool {
        self.activation().keeps_input()
    }

    /// Whether it reads a matrix instead of other steps.
    #[cfg(feature = "cuda")]
    pub(crate) fn is_leaf(&self) -> bool {
        matches!(self, Self::Gaussians | Self::From | Self::To | Self::Stored)
    }
}
