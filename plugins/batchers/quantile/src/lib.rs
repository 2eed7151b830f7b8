//! Batcher `quantile`: the smallest shape that nearly every random batch fits.

mod shape;

use batchlab_core::budget::{Limits, Probability};
use batchlab_core::grouping::{Composition, EpochBoundary, GroupOptions, open_groups};
use batchlab_core::next_fit::NextFit;
use batchlab_core::oversize::{Admitted, Oversize};
use batchlab_core::padding::{BatchSize, Padding};
use batchlab_core::{BatchContext, BatchStream, Batcher, BatcherError, Level, View};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;

pub use shape::smallest_shape;

/// The smallest static shape that a random batch fits with a given probability.
///
/// `n_draw` batches of `batch_size` - 1 graphs are drawn at random, each without replacement. Of all
/// shapes that hold at least the share `probability` of them, the one with the fewest nodes plus
/// edges is taken; both limits are then rounded strictly up to a multiple of 64, the rule for all
/// estimated limits. Batches are filled with graphs in the order in which they come; where the next
/// graph does not fit, it is carried into the next batch, so that none is lost.
///
/// This is `learn_fit_or_skip_size_constraints` of TF-GNN (arXiv 2207.03522) with two differences:
/// nodes and edges are limited jointly, so that the probability is that of the batch and not of each
/// resource; and TF-GNN skips the batches that do not fit, which makes large graphs rare, where this
/// carries one graph over.
///
/// What is optimal: among the shapes that hold the drawn batches with this probability, none is
/// smaller (before rounding). The probability for new batches differs by the error of the sample,
/// at most 0.005 with 10,000 draws, at one standard deviation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quantile {
    /// B of the study: a batch holds at most B - 1 graphs and one slot for padding; 2 or more.
    pub batch_size: BatchSize,
    /// How probable it is that B - 1 random graphs fit, above 0 and below 1.
    #[serde(default = "nearly_always")]
    pub probability: Probability,
    /// How many random batches the shape is found from.
    #[serde(default = "ten_thousand")]
    pub n_draw: NonZeroU32,
    /// What to do with a graph that is larger than the shape.
    #[serde(default)]
    pub oversize: Oversize,
    /// What the batch is padded to: `"constant"` (the shape), `"none"`, `{ multiple = 64 }`,
    /// `{ power = 2 }`, `{ shapes = 8 }` or `{ shapes_cost = 50 }`.
    #[serde(default = "constant")]
    pub padding: Padding,
    /// Whether groups are formed anew in every epoch, or once before training.
    #[serde(default)]
    pub composition: Composition,
    /// Whether an unfinished group goes on in the next epoch, or is delivered as it is.
    #[serde(default)]
    pub epoch_boundary: EpochBoundary,
}

fn nearly_always() -> Probability {
    Probability::try_from(0.99).expect("0.99 is a probability")
}

fn ten_thousand() -> NonZeroU32 {
    const N: NonZeroU32 = NonZeroU32::new(10_000).expect("10,000 is not 0");
    N
}

fn constant() -> Padding {
    Padding::Constant
}

batchlab_core::register!(
    Batcher,
    Quantile,
    example = Quantile {
        batch_size: BatchSize::try_from(32).expect("32 is in range"),
        probability: nearly_always(),
        n_draw: ten_thousand(),
        oversize: Oversize::default(),
        padding: constant(),
        composition: Composition::default(),
        epoch_boundary: EpochBoundary::default(),
    }
);

#[typetag::serde(name = "quantile")]
impl Batcher for Quantile {
    fn label(&self) -> String {
        let mut label = match self.padding {
            Padding::Constant => "quantile".to_owned(),
            padding => format!("quantile-{}", padding.label()),
        };
        if self.composition == Composition::Fixed {
            label.push_str("-fixed");
        }
        label
    }

    fn level(&self) -> Level {
        Level::Graphs
    }

    fn batch_size(&self) -> Option<u32> {
        Some(self.batch_size.get())
    }

    fn open(&self, view: View, ctx: BatchContext) -> Result<Box<dyn BatchStream>, BatcherError> {
        let View::ManyGraphs(graphs) = &view else {
            return Err(BatcherError::WrongLevel { expected: Level::Graphs, got: Level::Nodes });
        };
        let shape =
            smallest_shape(graphs, self.batch_size, self.probability, self.n_draw, ctx.seed)?;
        let slots = Some(self.batch_size);
        let limits = Limits::new(slots, Some(shape.n_node), Some(shape.n_edge), self.padding);
        let Admitted { limits, graphs, events } =
            self.oversize.apply(limits, graphs, ctx.purpose)?;
        let options = GroupOptions {
            constant: limits.constant()?,
            composition: self.composition,
            epoch_boundary: self.epoch_boundary,
            events,
            ..GroupOptions::new(self.batch_size, self.padding)
        };
        open_groups(View::ManyGraphs(graphs), ctx, NextFit::new(limits), options)
    }
}
