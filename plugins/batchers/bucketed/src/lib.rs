//! Batcher `bucketed`: graphs of similar size share a batch.

mod buckets;

use batchlab_core::budget::{Resource, Resources, Sample};
use batchlab_core::grouping::EpochBoundary;
use batchlab_core::registry::from_toml;
use batchlab_core::{BatchContext, BatchStream, Batcher, BatcherError, Level, Padding, View};

pub use buckets::{Bounds, Buckets, Size};
use buckets::{Grouped, bounds};

batchlab_core::batcher_options! {
    /// One open batch per size range, so that graphs of similar size share a batch.
    ///
    /// A graph is placed in a bucket by its number of nodes or edges. A bucket is delivered when it
    /// contains `batch_size` - 1 graphs, or, if nodes, edges or bytes are limited as well, when the
    /// next graph does not fit. This is the bucketing of machine translation (Morishita et al.
    /// 2017, arXiv 1706.05765) and of lhotse's `DynamicBucketingSampler`.
    ///
    /// Advantage: within a bucket, batch sizes vary only by the spread *within* the bucket (the
    /// spread between buckets, the rest of the variance, moves into different batches), so every
    /// bucket needs few shapes; bounds at quantiles fill all buckets equally fast. Limitation:
    /// graphs in a batch are concatenated rather than padded one by one, so equal sizes within a
    /// batch do not in themselves save padding, and all graphs of a batch are similar, which biases
    /// the gradient of a single step. Use it if graphs are padded one by one, or as a control that
    /// measures the cost of this bias.
    ///
    /// A rare bucket carried over to the next epoch would fill up with the same few graphs in every
    /// epoch; therefore incomplete groups are delivered unless `epoch_boundary` says otherwise.
    pub struct Bucketed with BudgetOptions {
        /// Measure of a graph's size: `"nodes"` or `"edges"`.
        #[serde(default)]
        pub by: Size,
        /// The size ranges: `{ quantiles = 4 }` for ranges with equal numbers of graphs, or `{
        /// bounds = [200, 400] }` for the largest size of every range but the last.
        #[serde(default)]
        pub buckets: Buckets,
        /// The graphs from which the quantiles are estimated.
        #[serde(default)]
        pub from: Sample,
    }
    padding = Padding::MULTIPLES_OF_64,
    resources = Resources::from(Resource::Graphs),
    epoch_boundary = EpochBoundary::EmitPartial
}

batchlab_core::register!(Batcher, Bucketed, example = from_toml("batch_size = 32"));

#[typetag::serde(name = "bucketed")]
impl Batcher for Bucketed {
    fn always_in_label(&self) -> &'static [&'static str] {
        &["padding"]
    }

    fn level(&self) -> Level {
        Level::Graphs
    }

    fn batch_size(&self) -> Option<u32> {
        self.budget_options().n_slot()
    }

    fn open(&self, view: View, ctx: BatchContext) -> Result<Box<dyn BatchStream>, BatcherError> {
        let budget = self.budget_options().resolve(&view, &ctx)?;
        let sample = self.from.draw(&budget.graphs, ctx.seed);
        let bounds = bounds(&self.buckets, self.by, &sample);
        let grouping = Grouped::new(self.by, bounds, budget.limits.clone());
        budget.open(ctx, grouping)
    }
}
