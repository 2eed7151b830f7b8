//! Decisions about a program that its kernels share.

use batchlab_core::model::Precision;

use crate::Activation;
use crate::message::program::{EdgeLayer, ForBackward, Operation, Program, Step};

/// Columns of one part of a wide message that a block computes if columns are independent.
const LANES: usize = 64;

/// Minimum number of Gaussians for bands, which are then a small part of them.
const MANY_GAUSSIANS: usize = 48;

/// A program, and the location of its values.
pub(super) struct Tiling<'a> {
    pub(super) program: &'a Program,
    /// Steps whose values are in shared memory, for a tile of edges; the others are computed where
    /// they are used.
    pub(super) staged: Vec<bool>,
    /// Steps that forward keeps in memory for backward.
    pub(super) kept: Vec<bool>,
    /// Edges per tile.
    pub(super) tile: usize,
    /// Columns of one part that a block computes, unless all of them.
    pub(super) lanes: Option<usize>,
    /// Gaussians of which a tile stores only the non-zero ones. Its edges are sorted by distance,
    /// so the same few are non-zero for four edges.
    pub(super) banded: Option<usize>,
}

impl<'a> Tiling<'a> {
    /// For tiles of `tile` edges.
    pub(super) fn new(program: &'a Program, tile: usize) -> Self {
        let n = program.steps.len();
        let staged: Vec<bool> = (0..n).map(|v| program.live[v] && is_staged(program, v)).collect();
        let ForBackward { kept, .. } = program.for_backward(&staged);
        let mut tiling = Self { program, staged, kept, tile, lanes: None, banded: None };
        let width = tiling.message_width();
        tiling.banded = banded(program);
        tiling.lanes = (width >= 2 * LANES && tiling.columns_are_independent()).then_some(LANES);
        tiling
    }

    pub(super) fn step(&self, v: usize) -> &'a Step {
        &self.program.steps[v]
    }

    pub(super) fn linear(&self, v: usize) -> Option<&'a EdgeLayer> {
        match &self.step(v).operation {
            Operation::Linear(linear) => Some(linear),
            _ => None,
        }
    }

    /// Stride between the columns of a tile, in numbers: consecutive columns start in different
    /// banks, each aligned to 16 bytes.
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

    /// Number of columns of a staged step in a tile.
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

    /// Number of parts of the layers that are split by columns.
    fn cut_parts(&self) -> usize {
        if self.message_has_vectors() { 3 } else { 1 }
    }

    /// The name of a template for products, up to its first argument.
    pub(super) fn products(&self, name: &str) -> String {
        match self.program.precision {
            Precision::F32 => format!("{name}<"),
            Precision::Tf32 => format!("{name}_on_cores<TF32, "),
            Precision::Bf16 => format!("{name}_on_cores<BF16, "),
        }
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

    /// Whether every column of the message can be computed separately: layers only read lookups,
    /// and nothing else reads more than its own column.
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
            && (0..self.program.steps.len())
                .filter(|&v| self.program.live[v])
                .all(layers_on_constants)
    }
}

/// Whether the values of a step have a tile.
fn is_staged(program: &Program, v: usize) -> bool {
    let n_use = || {
        let results = usize::from(program.message == v) + usize::from(program.edge == Some(v));
        program.users(v).count() + results
    };
    program.feeds_layer(v)
        || program.edge == Some(v)
        || match &program.steps[v].operation {
            Operation::Linear(_) => true,
            Operation::Equivariant { .. } => program.message != v || n_use() > 1,
            Operation::Sum { activation, .. } => *activation != Activation::Identity && n_use() > 1,
            _ => false,
        }
}

/// The only Gaussians of a message, if there are many and only layers read them.
fn banded(program: &Program) -> Option<usize> {
    let is_gaussians = |v: &usize| program.steps[*v].operation == Operation::Gaussians;
    let mut all = (0..program.steps.len()).filter(|&v| program.live[v]).filter(is_gaussians);
    let v = all.next().filter(|_| all.next().is_none())?;
    let is_layer = |user: usize| matches!(program.steps[user].operation, Operation::Linear(_));
    let alone = !program.is_result(v) && program.users(v).all(is_layer);
    (alone && program.steps[v].width >= MANY_GAUSSIANS).then_some(v)
}
