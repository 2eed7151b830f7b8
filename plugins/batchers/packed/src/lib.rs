//! Batcher `packed`: as few batches as possible.

mod balanced;
mod best_fit;
mod lpfhp;
mod open_groups;
mod pack;
mod window;

use batchlab_core::budget::{Budget, BudgetOptions, Estimate, Resources};
use batchlab_core::grouping::{Composition, EpochBoundary};
use batchlab_core::oversize::Oversize;
use batchlab_core::padding::{BatchSize, Padding};
use batchlab_core::{
    BatchContext, BatchStream, Batcher, BatcherError, GraphSize, Level, Purpose, View,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;

pub use pack::{Algorithm, pack};
use window::Windowed;

/// Graphs packed into as few batches as possible under a budget of nodes, edges and graphs.
///
/// Graphs are collected until a window is full, packed, and delivered group by group, in a random
/// order of the groups. The window's length is the knob between packing and randomness: the longer
/// it is, the fuller the batches, and the more it is sizes that decide which graphs meet. Without a
/// window a whole epoch is packed at once. Which graphs *of equal size* meet stays random.
///
/// To pack as well as possible is NP-hard. No packing needs fewer groups than the volume bound, the
/// largest of sum(nodes) / nodes per batch, sum(edges) / edges per batch and graphs / (`batch_size`
/// - 1), each rounded up; it is recorded for an epoch as `packing_lower_bound`. The algorithms:
///
/// - `"best-fit"`: largest graph first, into the fullest group that it fits. For one resource at
///   most 11/9 of the optimum and 4 groups more (Johnson 1974, *J. Comput. Syst. Sci.* 8, 272).
/// - `"lpfhp"`: the same on the histogram of sizes, many equal groups at a time, a new group filled
///   with as many graphs of the size as it holds (longest pack first: Krell et al., arXiv
///   2107.02027; for tuples of sizes arXiv 2209.06354; for `SchNet` arXiv 2211.13853). No bound is
///   known to us; its time depends on the number of different sizes rather than of graphs.
/// - `"balanced"`: as many groups as the volume bound asks for are opened at once; largest graph
///   first, into the emptiest (the rule of Graham 1969, *SIAM J. Appl. Math.* 17, 416). All groups
///   become equally large, and it is the one to take where the number of graphs is the tightest
///   limit: the other two then fill some groups with few large graphs and run out of slots for the
///   small ones. Where it opens no further group, the number of groups is optimal.
///
/// Groups over the volume bound for 128,744 molecules of QM9 and 10,304 edges (`tests/quality.rs`):
/// with 32 slots and 640 nodes 10.0 % for best-fit and LPFHP, none for balanced; with 64 slots and
/// 640 nodes 3.3 % and 0.7 %; with 128 slots and 2,048 nodes, where only edges bind, 0.2 % and 0.4 %.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Packed {
    /// B of the study: a batch holds at most B - 1 graphs and one slot for padding; 2 or more. For
    /// `"best-fit"` and `"lpfhp"` give more slots than a full batch has graphs on average.
    pub batch_size: BatchSize,
    /// How graphs are packed: `"balanced"`, `"best-fit"` or `"lpfhp"`.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// How many graphs are collected before they are packed; a whole epoch if it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<NonZeroU32>,
    /// Limits of a batch, padding included; those that are not given are estimated.
    #[serde(default)]
    pub budget: Budget,
    /// How limits are estimated.
    #[serde(default)]
    pub estimate: Estimate,
    /// What is limited: some of `"graphs"`, `"nodes"`, `"edges"`, `"bytes"`.
    #[serde(default)]
    pub resources: Resources,
    /// What to do with a graph that is larger than the budget.
    #[serde(default)]
    pub oversize: Oversize,
    /// What the batch is padded to: `"constant"` (the budget), `"none"`, `{ multiple = 64 }`,
    /// `{ power = 2 }`, `{ shapes = 8 }` or `{ shapes_cost = 50 }`.
    #[serde(default = "constant")]
    pub padding: Padding,
    /// Whether groups are formed anew in every epoch, or once before training.
    #[serde(default)]
    pub composition: Composition,
    /// Whether an unfinished window goes on in the next epoch, or is packed as it is.
    #[serde(default)]
    pub epoch_boundary: EpochBoundary,
}

fn constant() -> Padding {
    Padding::Constant
}

batchlab_core::register!(
    Batcher,
    Packed,
    example = Packed {
        batch_size: BatchSize::try_from(32).expect("32 is in range"),
        algorithm: Algorithm::default(),
        window: None,
        budget: Budget::default(),
        estimate: Estimate::default(),
        resources: Resources::default(),
        oversize: Oversize::default(),
        padding: constant(),
        composition: Composition::default(),
        epoch_boundary: EpochBoundary::default(),
    }
);

#[typetag::serde(name = "packed")]
impl Batcher for Packed {
    fn label(&self) -> String {
        let mut label = format!("packed-{}", self.algorithm.label());
        if self.padding != Padding::Constant {
            label.push('-');
            label.push_str(&self.padding.label());
        }
        if self.composition == Composition::Fixed {
            label.push_str("-fixed");
        }
        label
    }

    fn level(&self) -> Level {
        Level::Graphs
    }

    fn batch_size(&self) -> Option<u32> {
        self.budget_options().slots().map(BatchSize::get)
    }

    fn open(&self, view: View, ctx: BatchContext) -> Result<Box<dyn BatchStream>, BatcherError> {
        let resolved = self.budget_options().resolve(&view, &ctx)?;
        let [_, sizes @ ..] = resolved.limits.measures(GraphSize { id: 0, n_node: 0, n_edge: 0 });
        if sizes == [None; 3] {
            let message = "packed needs a limit of nodes, edges or bytes; name one in resources";
            return Err(BatcherError::Options(message.into()));
        }
        let window = self.window(resolved.graphs.len())?;
        let shuffle_seed = (ctx.purpose == Purpose::Training).then_some(ctx.seed);
        let grouping = Windowed::new(
            self.algorithm,
            window,
            resolved.limits.clone(),
            shuffle_seed,
            &resolved.graphs,
        );
        resolved.open(ctx, grouping, self.composition, self.epoch_boundary)
    }
}

impl Packed {
    fn budget_options(&self) -> BudgetOptions {
        BudgetOptions {
            batch_size: self.batch_size,
            budget: self.budget,
            estimate: self.estimate,
            resources: self.resources.clone(),
            oversize: self.oversize,
            padding: self.padding,
        }
    }

    fn window(&self, n_graph: usize) -> Result<usize, BatcherError> {
        let Some(window) = self.window else { return Ok(n_graph) };
        let window = window.get() as usize;
        if window > n_graph {
            return Err(BatcherError::Options(format!(
                "window = {window} is longer than the data ({n_graph} graphs); give a shorter one, or \
                 leave it out to pack a whole epoch"
            )));
        }
        let max_graph = self.batch_size.max_graph() as usize;
        if window < max_graph {
            return Err(BatcherError::Options(format!(
                "window = {window} cannot fill a batch of {max_graph} graphs; give a longer one"
            )));
        }
        Ok(window)
    }
}
