//! A program's kernels, and how they fit into a GPU's shared memory.

use std::fmt::Write as _;
use std::sync::LazyLock;

use batchlab_core::model::Precision;

use super::kernel::Kernel;
use super::parameter::Parameter;
use super::tiling::Tiling;
use super::{backward, forward};
use crate::cuda::error::Error;
use crate::cuda::module::MOST_OWN_SHARED;
use crate::message::program::{Program, Step};

/// Templates that precede the kernels, and additional ones for tensor cores.
const TEMPLATES: &str = concat!(
    include_str!("../kernels/message_rows.cuh"),
    include_str!("../kernels/message_layers.cuh"),
    include_str!("../kernels/message_sums.cuh"),
);
const CORES: &str = include_str!("../kernels/message_cores.cuh");
/// Edges per tile, largest first.
const TILES: [usize; 3] = [32, 16, 8];
/// Number of multiprocessors of an H100.
const N_PROCESSOR: usize = 132;
/// Shared memory per multiprocessor of an H100, in bytes.
const OF_PROCESSOR: usize = 228 << 10;
/// Shared memory that the driver reserves per block.
const OF_DRIVER: usize = 1 << 10;
/// Desired number of blocks of a message per multiprocessor, from 1 to 8. With more of them, the
/// sums of weights' gradients are kept in device memory.
const BLOCKS: &str = "BATCHLAB_CUDA_BLOCKS";

/// See [`BLOCKS`].
static N_BLOCK: LazyLock<usize> = LazyLock::new(|| {
    let named = std::env::var(BLOCKS).ok().and_then(|blocks| blocks.parse().ok());
    named.unwrap_or(2).clamp(1, 8)
});

/// Dynamic shared memory with which this many blocks fit.
fn should_suffice() -> usize {
    OF_PROCESSOR / *N_BLOCK - OF_DRIVER - MOST_OWN_SHARED as usize
}

#[derive(Debug)]
pub(super) struct MessageKernels {
    /// A description of the source, as comments.
    title: String,
    precision: Precision,
    /// Edges per tile.
    pub(super) tile: usize,
    /// Number of blocks that share the columns of a tile.
    pub(super) n_column_block: usize,
    /// Maximum number of blocks that iterate over the tiles in backward, each with its own sums for
    /// the gradients of weights. Fixed, so that results depend on the batch, not on the GPU.
    pub(super) most_blocks: usize,
    pub(super) forward: Kernel,
    pub(super) finish_forward: Kernel,
    pub(super) backward: Option<Backward>,
    /// Number of values that each block sums for the gradients of weights, over all column blocks.
    pub(super) n_block_sum: usize,
    /// The kept steps, and their widths.
    pub(super) kept: Vec<(usize, usize)>,
    /// Widths of the parts of sums at nodes, by step.
    pub(super) widths: Vec<usize>,
}

/// The kernels that compute gradients.
#[derive(Debug)]
pub(super) struct Backward {
    pub(super) edges: Kernel,
    pub(super) sum_sent: Option<Kernel>,
    pub(super) finish: Option<Kernel>,
}

impl MessageKernels {
    /// The kernels for a GPU with `limit` bytes of shared memory per block; includes those of
    /// backward if `keep`.
    ///
    /// # Errors
    /// If a message is too wide for the GPU.
    pub(super) fn new(program: &Program, keep: bool, limit: usize) -> Result<Self, Error> {
        let tile = tile(program, limit)?;
        let tiling = Tiling::new(program, tile);
        let n_sum = backward::n_block_sum(&tiling);
        let with_sums = backward::backward(&tiling, true);
        let fits = with_sums.shared_bytes <= limit.min(should_suffice());
        let backward = keep.then(|| Backward {
            edges: if fits { with_sums } else { backward::backward(&tiling, false) },
            sum_sent: backward::sum_sent(&tiling),
            finish: backward::finish(&tiling),
        });
        let kept = (0..tiling.kept.len()).filter(|&v| keep && tiling.kept[v]);
        Ok(Self {
            title: title(program, keep, tile),
            precision: program.precision,
            tile,
            n_column_block: tiling.n_column_block(),
            most_blocks: N_PROCESSOR * *N_BLOCK,
            forward: forward::forward(&tiling, keep),
            finish_forward: forward::finish(&tiling),
            backward,
            n_block_sum: n_sum * tiling.n_column_block(),
            kept: kept.map(|v| (v, program.steps[v].width)).collect(),
            widths: program.steps.iter().map(|step| step.width).collect(),
        })
    }

    pub(super) fn source(&self) -> String {
        let mut text = self.title.clone() + "\n" + TEMPLATES;
        if self.precision != Precision::F32 {
            text += CORES;
        }
        for kernel in self.all() {
            text.push('\n');
            text += &kernel.text;
        }
        text
    }

    /// In execution order.
    pub(super) fn all(&self) -> impl Iterator<Item = &Kernel> {
        let backward = self.backward.iter().flat_map(Backward::all);
        [&self.forward, &self.finish_forward].into_iter().chain(backward)
    }

    /// The maximum number of columns that a kernel of sums works on.
    pub(super) fn widest(&self, kernel: &Kernel) -> usize {
        let width = |parameter: &Parameter| match parameter {
            Parameter::Parts(v) | Parameter::SentParts(v) => self.widths[*v],
            _ => 0,
        };
        kernel.parameters.iter().map(width).max().unwrap_or(0)
    }
}

impl Backward {
    /// In execution order.
    pub(super) fn all(&self) -> impl Iterator<Item = &Kernel> {
        let all = [Some(&self.edges), self.sum_sent.as_ref(), self.finish.as_ref()];
        all.into_iter().flatten()
    }
}

/// Number of edges per tile that fits into shared memory. It is the same for all kernels of a
/// program, whether gradients are needed or not: kept values have the shape of tiles, and forward
/// yields the same bits in training and in evaluation.
fn tile(program: &Program, limit: usize) -> Result<usize, Error> {
    let bytes = |tile: usize| {
        let tiling = Tiling::new(program, tile);
        let backward = backward::backward(&tiling, false).shared_bytes;
        forward::forward(&tiling, true).shared_bytes.max(backward)
    };
    let fitting = |room: usize| TILES.into_iter().find(|&tile| bytes(tile) <= room.min(limit));
    fitting(should_suffice()).or_else(|| fitting(usize::MAX)).ok_or_else(|| {
        Error::Engine(format!(
            "messages of this width need {} bytes of shared memory per block, and the GPU has {limit}; \
             make the model's layers on edges narrower, or use device = \"cpu\"",
            bytes(TILES[TILES.len() - 1])
        ))
    })
}

/// A description of a program's steps, for readers of its source.
fn title(program: &Program, keep: bool, tile: usize) -> String {
    let purpose = if keep { "training" } else { "evaluation" };
    let precision = program.precision.name();
    let mut title = format!("// message for {purpose} in {precision}, {tile} edges at a time\n");
    for (v, Step { operation, width, tracked }) in program.steps.iter().enumerate() {
        let tracked = if *tracked { "" } else { ", constant" };
        let _ = writeln!(title, "// step {v}: {operation:?}, {width} wide{tracked}");
    }
    let _ = writeln!(title, "// {:?} of step {} at the nodes", program.aggregate, program.message);
    if let Some(edge) = program.edge {
        let _ = writeln!(title, "// step {edge} is given out edge by edge");
    }
    title
}
