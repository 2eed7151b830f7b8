//! The structure of a message: all that its kernels' source depends on.

use crate::{Activation, Aggregate};

/// What is computed for every edge, without the matrices that it is computed from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Program {
    pub(super) steps: Vec<Step>,
    /// The step that the nodes receive.
    pub(super) message: usize,
    /// The step that is given out edge by edge.
    pub(super) edge: Option<usize>,
    pub(super) aggregate: Aggregate,
}

/// One value of the edges.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Step {
    pub(super) operation: Operation,
    pub(super) width: usize,
    /// Whether it depends on a parameter.
    pub(super) tracked: bool,
}

/// See [`EdgeOperation`](crate::message::EdgeOperation).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Operation {
    Gaussians,
    From,
    To,
    Stored,
    Linear(Linear),
    Sum { terms: Vec<usize>, activation: Activation },
    Product([usize; 2]),
    Scale { input: usize },
    Equivariant { input: usize, vector: usize },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Linear {
    pub(super) input: usize,
    pub(super) n_in: usize,
    pub(super) bias: bool,
    pub(super) activation: Activation,
    /// Whether gradients by weight and bias are wanted.
    pub(super) of_weight: bool,
    pub(super) of_bias: bool,
}

impl Program {
    /// The steps that message and edge values depend on.
    pub(super) fn live(&self) -> Vec<bool> {
        let mut live = vec![false; self.steps.len()];
        live[self.message] = true;
        if let Some(edge) = self.edge {
            live[edge] = true;
        }
        for v in (0..self.steps.len()).rev() {
            if live[v] {
                for input in self.steps[v].operation.inputs() {
                    live[input] = true;
                }
            }
        }
        live
    }
}

impl Operation {
    /// The steps whose values it uses; one that is used twice occurs twice.
    pub(super) fn inputs(&self) -> impl Iterator<Item = usize> {
        let (few, many): ([Option<usize>; 2], &[usize]) = match self {
            Self::Linear(Linear { input, .. }) | Self::Scale { input } => {
                ([Some(*input), None], &[])
            }
            Self::Product([a, b]) => ([Some(*a), Some(*b)], &[]),
            Self::Equivariant { input, vector } => ([Some(*input), Some(*vector)], &[]),
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

    /// Whether it reads a matrix instead of other steps.
    pub(super) fn is_leaf(&self) -> bool {
        matches!(self, Self::Gaussians | Self::From | Self::To | Self::Stored)
    }
}
