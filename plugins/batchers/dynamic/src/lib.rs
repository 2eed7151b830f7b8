//! Batcher `dynamic`: as many graphs as fit a budget.

use batchlab_core::budget::{Budget, BudgetOptions, Estimate, Resources};
use batchlab_core::grouping::{Composition, EpochBoundary};
use batchlab_core::next_fit::NextFit;
use batchlab_core::oversize::Oversize;
use batchlab_core::padding::{BatchSize, Padding};
use batchlab_core::{BatchContext, BatchStream, Batcher, BatcherError, Level, View};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// As many graphs as fit a budget of nodes, edges and graphs, in the order in which they come.
///
/// This is `dynamically_batch` of jraph, as arXiv 2502.00944 uses it: next-fit, without looking
/// ahead. With `padding = "constant"` every batch has the shape of the budget, so that an engine
/// which compiles per shape compiles once.
///
/// The budget is given, or estimated, by default as in the study: the mean size of the first 1,000
/// graphs times `batch_size`, at least the largest of them, rounded strictly up to a multiple of
/// 64. One node and one graph of it are reserved for padding. With `resources = ["nodes"]` only
/// nodes are limited, as in the `DynamicBatchSampler` of PyG.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dynamic {
    /// B of the study: a batch holds at most B - 1 graphs and one slot for padding; 2 or more.
    pub batch_size: BatchSize,
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
    /// Whether an unfinished group goes on in the next epoch, or is delivered as it is.
    #[serde(default)]
    pub epoch_boundary: EpochBoundary,
}

fn constant() -> Padding {
    Padding::Constant
}

batchlab_core::register!(
    Batcher,
    Dynamic,
    example = Dynamic {
        batch_size: BatchSize::try_from(32).expect("32 is in range"),
        budget: Budget::default(),
        estimate: Estimate::default(),
        resources: Resources::default(),
        oversize: Oversize::default(),
        padding: constant(),
        composition: Composition::default(),
        epoch_boundary: EpochBoundary::default(),
    }
);

#[typetag::serde(name = "dynamic")]
impl Batcher for Dynamic {
    fn label(&self) -> String {
        let mut label = match self.padding {
            Padding::Constant => "dynamic".to_owned(),
            padding => format!("dynamic-{}", padding.label()),
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
        self.budget_options().slots().map(BatchSize::get)
    }

    fn open(&self, view: View, ctx: BatchContext) -> Result<Box<dyn BatchStream>, BatcherError> {
        let resolved = self.budget_options().resolve(&view, &ctx)?;
        let grouping = NextFit::new(resolved.limits.clone());
        resolved.open(ctx, grouping, self.composition, self.epoch_boundary)
    }
}

impl Dynamic {
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
