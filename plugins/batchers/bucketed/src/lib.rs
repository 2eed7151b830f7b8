//! Batcher `bucketed`: graphs of similar size share a batch.

mod buckets;

use batchlab_core::budget::{Resource, Resources, Sample};
use batchlab_core::grouping::EpochBoundary;
use batchlab_core::registry::from_toml;
use batchlab_core::{BatchContext, BatchStream, Batcher, BatcherError, Level, Padding, View};

pub use buckets::{Bounds, Buckets, Size};
use buckets::{Grouped, bounds};

batchlab_core::batcher_options! {
    /// One open batch for every range of sizes: graphs of similar size share a batch.
    ///
    /// A graph goes into the bucket of its number of nodes or edges; a bucket is delivered when it
    /// holds `batch_size` - 1 graphs, or, where nodes, edges or bytes are limited as well, when the next
    /// graph does not fit. This is the bucketing of machine translation (Morishita et al. 2017, arXiv
    /// 1706.05765) and of lhotse's `DynamicBucketingSampler`.
    ///
    /// What it is good for: within a bucket the size of a batch varies by the spread *within* the
    /// bucket only (the spread between buckets, the rest of the variance, moves into different batches),
    /// so every bucket needs few shapes; bounds at quantiles fill all buckets equally fast. What it is
    /// not: batches of graphs are concatenated, not padded graph by graph, so equal sizes within a batch
    /// save no padding by themselves, and all graphs of a batch resemble each other, which biases the
    /// gradient of a single step. Use it where graphs are padded one by one, or as the control for how
    /// much that bias costs.
    ///
    /// A rare bucket that goes on in the next epoch fills up with the same few graphs, epoch after epoch;
    /// therefore unfinished groups are delivered unless `epoch_boundary` says otherwise.
    pub struct Bucketed with BudgetOptions {
        /// What the size of a graph is: `"nodes"` or `"edges"`.
        #[serde(default)]
        pub by: Size,
        /// The ranges of sizes: `{ quantiles = 4 }`, so that each range holds equally many graphs, or
        /// `{ bounds = [200, 400] }`, the largest size of every range but the last.
        #[serde(default)]
        pub buckets: Buckets,
        /// Which graphs the quantiles are learnt from.
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
