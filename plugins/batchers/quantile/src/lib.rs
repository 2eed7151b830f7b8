//! Batcher `quantile`: the smallest shape that nearly every random batch fits.

mod shape;

use std::num::NonZeroU32;

use batchlab_core::budget::{Limits, Probability};
use batchlab_core::grouping::{GroupOptions, open_groups};
use batchlab_core::next_fit::NextFit;
use batchlab_core::oversize::{FilteredGraphs, Oversize};
use batchlab_core::registry::from_toml;
use batchlab_core::{BatchContext, BatchStream, Batcher, BatcherError, Level, Padding, View};

pub use shape::smallest_shape;

batchlab_core::batcher_options! {
    /// The smallest static shape that a random batch fits with a given probability.
    ///
    /// `n_draw` batches of `batch_size` - 1 graphs are drawn at random, each without replacement.
    /// Among all shapes that hold at least the fraction `probability` of them, the one with the
    /// fewest nodes plus edges is chosen; both limits are then rounded strictly up to a multiple of
    /// 64, as for all estimated limits. Batches are filled with graphs in order of arrival; a graph
    /// that does not fit is carried into the next batch, so that none is lost.
    ///
    /// This is `learn_fit_or_skip_size_constraints` of TF-GNN (arXiv 2207.03522) with two
    /// differences: nodes and edges are limited jointly, so that the probability refers to the
    /// batch and not to each resource; and TF-GNN skips batches that do not fit, which makes large
    /// graphs rare, whereas one graph is carried over here.
    ///
    /// Optimality: among the shapes that hold the drawn batches with this probability, none is
    /// smaller (before rounding). The probability for new batches differs by the sampling error, at
    /// most 0.005 with 10,000 draws, at one standard deviation.
    pub struct Quantile with GroupOptions {
        /// Probability that B - 1 random graphs fit, above 0 and below 1.
        #[serde(default = "nearly_always")]
        pub probability: Probability,
        /// Number of random batches from which the shape is determined.
        #[serde(default = "ten_thousand")]
        pub n_draw: NonZeroU32,
        /// What to do with a graph that is larger than the shape.
        #[serde(default)]
        pub oversize: Oversize,
    }
    padding = Padding::Constant
}

fn nearly_always() -> Probability {
    Probability::try_from(0.99).expect("0.99 is a probability")
}

fn ten_thousand() -> NonZeroU32 {
    const N: NonZeroU32 = NonZeroU32::new(10_000).expect("10,000 is not 0");
    N
}

batchlab_core::register!(Batcher, Quantile, example = from_toml("batch_size = 32"));

#[typetag::serde(name = "quantile")]
impl Batcher for Quantile {
    fn level(&self) -> Level {
        Level::Graphs
    }

    fn batch_size(&self) -> Option<u32> {
        Some(self.batch_size.get())
    }

    fn open(&self, view: View, ctx: BatchContext) -> Result<Box<dyn BatchStream>, BatcherError> {
        let graphs = view.many_graphs()?;
        let shape =
            smallest_shape(graphs, self.batch_size, self.probability, self.n_draw, ctx.seed)?;
        let slots = Some(self.batch_size);
        let limits = Limits::new(slots, Some(shape.n_node), Some(shape.n_edge), self.padding);
        let FilteredGraphs { limits, graphs, events } =
            self.oversize.apply(limits, graphs, ctx.purpose)?;
        let constant = limits.constant()?;
        let options = GroupOptions { constant, events, ..self.group_options() };
        open_groups(View::ManyGraphs(graphs), ctx, NextFit::new(limits), options)
    }
}
