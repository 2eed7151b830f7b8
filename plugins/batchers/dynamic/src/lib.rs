//! Batcher `dynamic`: as many graphs as fit a budget.

use batchlab_core::next_fit::NextFit;
use batchlab_core::registry::from_toml;
use batchlab_core::{BatchContext, BatchStream, Batcher, BatcherError, Level, Padding, View};

batchlab_core::batcher_options! {
    /// As many graphs as fit a budget of nodes, edges and graphs, in order of arrival.
    ///
    /// This is `dynamically_batch` of jraph, as used in arXiv 2502.00944: next-fit without
    /// look-ahead. With `padding = "constant"` every batch has the shape of the budget, so that an
    /// engine that compiles per shape compiles once.
    ///
    /// The budget is given or estimated. By default it is estimated as in the study: the mean size
    /// of the first 1,000 graphs times `batch_size`, at least the size of the largest of them,
    /// rounded strictly up to a multiple of 64. One of its nodes and one of its graphs are reserved
    /// for padding. With `resources = ["nodes"]` only nodes are limited, as in the
    /// `DynamicBatchSampler` of PyG. The labels `mlip`, `nequix`, `mace-jax`, `algoperf-ogbg` and
    /// `pyg-nodes` are this batcher with the budgets of those programs (docs/forecast.md).
    pub struct Dynamic with BudgetOptions {}
    padding = Padding::Constant
}

batchlab_core::register!(Batcher, Dynamic, example = from_toml("batch_size = 32"));

#[typetag::serde(name = "dynamic")]
impl Batcher for Dynamic {
    fn level(&self) -> Level {
        Level::Graphs
    }

    fn batch_size(&self) -> Option<u32> {
        self.budget_options().n_slot()
    }

    fn open(&self, view: View, ctx: BatchContext) -> Result<Box<dyn BatchStream>, BatcherError> {
        let budget = self.budget_options().resolve(&view, &ctx)?;
        let grouping = NextFit::new(budget.limits.clone());
        budget.open(ctx, grouping)
    }
}
