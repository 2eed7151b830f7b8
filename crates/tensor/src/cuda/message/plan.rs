//! Decisions about a program that its kernels share.

use super::program::{Linear, Operation, Program, Step};
use crate::Activation;

/// A linear layer without activation on so few Gaussians is computed again in backward: that is
/// cheaper than writing its output to memory and reading it.
const FEW_INPUTS: usize = 32;
/// Columns of one part of a wide message that a block computes where columns do not depend on each
/// other.
const LANES: usize = 64;

/// A program, and where its values are.
pub(super) struct Plan<'a> {
    pub(super) program: &'a Program,
    /// Steps that anything depends on.
    pub(super) live: Vec<bool>,
    /// Steps whose values a tile of edges has in shared memory; the others are computed where they
    /// are used.
    pub(super) staged: Vec<bool>,
    /// Steps whose values backward needs.
    pub(super) needed: Vec<bool>,
    /// Steps that forward keeps in memory for backward.
    pub(super) kept: Vec<bool>,
    /// Edges of a tile.
    pub(super) tile: usize,
    /// Columns of one part that a block computes, where not all of them.
    pub(super) lanes: Option<usize>,
}

impl<'a> Plan<'a> {
    /// For tiles of `tile` edges.
    pub(super) fn new(program: &'a Program, tile: usize) -> Self {
        let n = program.steps.len();
        let mut plan = Self {
            program,
            live: program.live(),
            staged: vec![false; n],
            needed: vec![false; n],
            kept: vec![false; n],
            tile,
            lanes: None,
        };
        plan.staged = (0..n).map(|v| plan.live[v] && plan.is_staged(v)).collect();
        plan.decide_kept();
        let width = plan.message_width();
        plan.lanes = (width >= 2 * LANES && plan.columns_are_independent()).then_some(LANES);
        plan
    }

    pub(super) fn step(&self, v: usize) -> &'a Step {
        &self.program.steps[v]
    }

    pub(super) fn linear(&self, v: usize) -> Option<&'a Linear> {
        match &self.step(v).operation {
            Operation::Linear(linear) => Some(linear),
            _ => None,
        }
    }

    /// Numbers from one column of a tile to the next: two columns begin in different banks, each at
    /// 16 bytes.
    pub(super) fn stride(&self) -> usize {
        self.tile + 4
    }

    pub(super) fn n_column_block(&self) -> usize {
        self.lanes.map_or(1, |lanes| self.message_width().div_ceil(lanes))
    }

    /// Whether a block has only some of the columns of a staged step.
    pub(super) fn is_cut(&self, v: usize) -> bool {
        self.lanes.is_some() && self.linear(v).is_some()
    }

    /// Columns that a tile has of a staged step.
    pub(super) fn local_width(&self, v: usize) -> usize {
        match self.lanes {
            Some(lanes) if self.is_cut(v) => self.cut_parts() * lanes,
            _ => self.step(v).width,
        }
    }

    /// Columns of one part of the message.
    pub(super) fn message_width(&self) -> usize {
        let width = self.step(self.program.message).width;
        if self.message_has_vectors() { width / 4 } else { width }
    }

    fn message_has_vectors(&self) -> bool {
        let operation = &self.step(self.program.message).operation;
        matches!(operation, Operation::Equivariant { .. })
    }

    /// Parts of the layers that are computed by columns.
    fn cut_parts(&self) -> usize {
        if self.message_has_vectors() { 3 } else { 1 }
    }

    /// The type of the columns of a layer, in the source.
    pub(super) fn columns(&self, v: usize) -> String {
        match self.lanes {
            Some(lanes) if self.is_cut(v) => {
                let width = self.message_width();
                format!("Columns<{}, {lanes}, {width}>{{first_column}}", self.cut_parts())
            }
            _ => format!("Columns<1, {0}, {0}>{{0}}", self.step(v).width),
        }
    }

    /// Whether what is kept are the values before the activation.
    pub(super) fn keeps_sum(&self, v: usize) -> bool {
        self.step(v).operation.activation().keeps_input()
    }

    fn users(&self, used: usize) -> impl Iterator<Item = usize> {
        (0..self.program.steps.len()).filter(move |&v| {
            self.live[v] && self.step(v).operation.inputs().any(|input| input == used)
        })
    }

    fn is_staged(&self, v: usize) -> bool {
        let Program { message, edge, .. } = *self.program;
        let feeds_linear = self.users(v).any(|user| self.linear(user).is_some());
        let wanted = usize::from(message == v) + usize::from(edge == Some(v));
        let n_use = self.users(v).count() + wanted;
        feeds_linear
            || edge == Some(v)
            || match &self.step(v).operation {
                Operation::Linear(_) => true,
                Operation::Equivariant { .. } => message != v || n_use > 1,
                Operation::Sum { activation, .. } => {
                    *activation != Activation::Identity && n_use > 1
                }
                _ => false,
            }
    }

    fn decide_kept(&mut self) {
        let n = self.program.steps.len();
        for v in (0..n).filter(|&v| self.live[v]) {
            let step = self.step(v);
            if !step.tracked {
                continue;
            }
            let slope = step.operation.activation() != Activation::Identity;
            match &step.operation {
                Operation::Linear(linear) => {
                    self.needed[linear.input] |= linear.of_weight;
                    self.kept[v] |= slope;
                }
                Operation::Sum { .. } if slope && self.staged[v] => self.kept[v] = true,
                Operation::Sum { terms, .. } if slope => {
                    for &term in terms {
                        self.needed[term] = true;
                    }
                }
                Operation::Product([a, b]) | Operation::Equivariant { input: a, vector: b } => {
                    self.needed[*b] |= self.step(*a).tracked;
                    self.needed[*a] |= self.step(*b).tracked;
                }
                _ => {}
            }
        }
        // Backwards: what is computed again needs its inputs, which come before it.
        for v in (0..n).rev().filter(|&v| self.live[v]) {
            if !self.needed[v] {
                continue;
            }
            self.kept[v] |= self.staged[v] && !self.is_cheap(v);
            if !self.kept[v] {
                for input in self.step(v).operation.inputs() {
                    self.needed[input] = true;
                }
            }
        }
    }

    /// Whether a staged value is computed again rather than kept.
    fn is_cheap(&self, v: usize) -> bool {
        match &self.step(v).operation {
            Operation::Linear(linear) => {
                linear.activation == Activation::Identity
                    && linear.n_in <= FEW_INPUTS
                    && matches!(self.step(linear.input).operation, Operation::Gaussians)
            }
            Operation::Sum { activation, .. } => *activation == Activation::Identity,
            _ => true,
        }
    }

    /// Whether every column of the message can be computed by itself: layers read only what is
    /// looked up, and nothing else reads more than its own column.
    fn columns_are_independent(&self) -> bool {
        let Program { message, edge, .. } = *self.program;
        let layers_on_constants = |v: usize| match self.linear(v) {
            Some(linear) => {
                let input = self.step(linear.input);
                input.operation.is_leaf() && !input.tracked
            }
            None => !self.staged[v] || self.step(v).operation.is_leaf(),
        };
        edge.is_none()
            && !self.staged[message]
            && (0..self.program.steps.len()).filter(|&v| self.live[v]).all(layers_on_constants)
    }
}
