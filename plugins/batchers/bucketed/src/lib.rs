//! Batcher `bucketed`: graphs of similar size share a batch.

mod buckets;

use batchlab_core::budget::{Budget, BudgetOptions, Estimate, Resource, Resources, Sample};
use batchlab_core::grouping::{Composition, EpochBoundary};
use batchlab_core::oversize::Oversize;
use batchlab_core::padding::{BatchSize, Padding};
use batchlab_core::{BatchContext, BatchStream, Batcher, BatcherError, Level, View};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;

pub use buckets::{Bounds, Buckets, Size};
use buckets::{Grouped, bounds};

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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bucketed {
    /// B of the study: a batch holds at most B - 1 graphs and one slot for padding; 2 or more.
    pub batch_size: BatchSize,
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
    /// Limits of a batch, padding included; those that are not given are estimated, if `resources`
    /// names them.
    #[serde(default)]
    pub budget: Budget,
    /// How limits are estimated.
    #[serde(default)]
    pub estimate: Estimate,
    /// What is limited: some of `"graphs"`, `"nodes"`, `"edges"`, `"bytes"`.
    #[serde(default = "graphs_only")]
    pub resources: Resources,
    /// What to do with a graph that is larger than the budget.
    #[serde(default)]
    pub oversize: Oversize,
    /// What the batch is padded to: `"none"`, `"constant"` (the budget), `{ multiple = 64 }`,
    /// `{ power = 2 }`, `{ shapes = 8 }` or `{ shapes_cost = 50 }`.
    #[serde(default = "multiples_of_64")]
    pub padding: Padding,
    /// Whether groups are formed anew in every epoch, or once before training.
    #[serde(default)]
    pub composition: Composition,
    /// Whether unfinished groups go on in the next epoch, or are delivered as they are. A rare
    /// bucket that goes on fills up with the same few graphs, epoch after epoch; therefore groups
    /// are delivered unless this says otherwise.
    #[serde(default = "flush")]
    pub epoch_boundary: EpochBoundary,
}

fn graphs_only() -> Resources {
    Resources::try_from(vec![Resource::Graphs]).expect("one resource is named once")
}

fn multiples_of_64() -> Padding {
    const STEP: NonZeroU32 = NonZeroU32::new(64).expect("64 is not 0");
    Padding::Multiple(STEP)
}

fn flush() -> EpochBoundary {
    EpochBoundary::Flush
}

batchlab_core::register!(
    Batcher,
    Bucketed,
    example = Bucketed {
        batch_size: BatchSize::try_from(32).expect("32 is in range"),
        by: Size::default(),
        buckets: Buckets::default(),
        from: Sample::default(),
        budget: Budget::default(),
        estimate: Estimate::default(),
        resources: graphs_only(),
        oversize: Oversize::default(),
        padding: multiples_of_64(),
        composition: Composition::default(),
        epoch_boundary: flush(),
    }
);

#[typetag::serde(name = "bucketed")]
impl Batcher for Bucketed {
    fn label(&self) -> String {
        let mut label = format!("bucketed-{}", self.padding.label());
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
        let sample = self.from.draw(&resolved.graphs, ctx.seed);
        let bounds = bounds(&self.buckets, self.by, &sample);
        let grouping = Grouped::new(self.by, bounds, resolved.limits.clone());
        resolved.open(ctx, grouping, self.composition, self.epoch_boundary)
    }
}

impl Bucketed {
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
}
