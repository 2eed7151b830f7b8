//! Batcher `ibmb`: influence-based mini-batching (Gasteiger, Qian and Günnemann 2022, arXiv
//! 2212.09083).

mod batch_wise;
mod contexts;
#[cfg(test)]
mod golden;
mod merge;
mod node_wise;
mod options;

use std::num::NonZeroU32;

use batchlab_core::node_groups::{NodeContext, OutputGroups, open_node_groups};
use batchlab_core::registry::from_toml;
use batchlab_core::{BatchContext, BatchStream, Batcher, BatcherError, Level, Padding, View};

use contexts::{OfGroup, OfOutputs};
use options::Method;
pub use options::{Operator, Outputs};

batchlab_core::batcher_options! {
    /// Influence-based mini-batching (arXiv 2212.09083): batches of outputs that influence each
    /// other, with the nodes of greatest influence on them.
    ///
    /// The influence of a node on an output is measured by personalised `PageRank`, which
    /// approximates the expected size of the gradient. Batches are computed once, as preparation,
    /// and then stay the same (except with `outputs = "random"`). They contain all edges between
    /// their nodes, with the weights of the full graph. The graph must be undirected; self-loops,
    /// which the authors add, are an option of the data set.
    ///
    /// ```toml
    /// outputs = "node-wise"    # aux_per_output, and outputs_per_batch or max_aux_per_batch; the default
    /// outputs = "batch-wise"   # n_part, expand_ratio, operator, n_iteration, output_weight, ...
    /// outputs = "random"       # aux_per_output, outputs_per_batch
    /// outputs = "random-fixed" # the same
    /// ```
    ///
    /// The authors evaluate in batches of twice as many outputs; set this in
    /// `[evaluation.batcher]`.
    pub struct Ibmb with KeptNodeOptions {
        /// How outputs are grouped into batches, and which nodes are added to them.
        #[serde(default)]
        pub outputs: Outputs,
        /// Maximum number of outputs in a batch. Batches are evened out: 90 outputs with a maximum
        /// of 50 give batches of 45. The default is 64, unless `max_aux_per_batch` is given.
        #[schemars(extend("x-replaces" = ["max_aux_per_batch"]))]
        #[schemars(extend("x-only-with" = { "outputs": ["node-wise", "random", "random-fixed"] }))]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub outputs_per_batch: Option<NonZeroU32>,
        /// Maximum number of nodes in a batch, instead of `outputs_per_batch`, for node-wise
        /// batches.
        #[schemars(extend("x-replaces" = ["outputs_per_batch"]))]
        #[schemars(extend("x-only-with" = { "outputs": ["node-wise"] }))]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub max_aux_per_batch: Option<NonZeroU32>,
        /// Number of nodes per output, including itself. The default is 16.
        #[schemars(extend("x-only-with" = { "outputs": ["node-wise", "random", "random-fixed"] }))]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub aux_per_output: Option<NonZeroU32>,
        /// Residue per degree at which pushing stops, see `teleport`. The default is 2e-4.
        #[schemars(extend("x-only-with" = { "outputs": ["node-wise", "random", "random-fixed"] }))]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub epsilon: Option<f64>,
        /// Number of METIS partitions; those without outputs are skipped.
        #[schemars(extend("x-only-with" = { "outputs": ["batch-wise"] }))]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub n_part: Option<NonZeroU32>,
        /// Nodes per batch, as a multiple of the mean partition size; outputs that are not among
        /// them are added. The default is 1.
        #[schemars(extend("x-only-with" = { "outputs": ["batch-wise"] }))]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub expand_ratio: Option<f64>,
        /// The iterated matrix. The default is `"reference"`.
        #[schemars(extend("x-only-with" = { "outputs": ["batch-wise"] }))]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub operator: Option<Operator>,
        /// Number of power iterations. The default is 50.
        #[schemars(extend("x-only-with" = { "outputs": ["batch-wise"] }))]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub n_iteration: Option<NonZeroU32>,
        /// Weight of an output relative to other nodes when METIS balances partitions. The default
        /// is 1.
        #[schemars(extend("x-only-with" = { "outputs": ["batch-wise"] }))]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub output_weight: Option<NonZeroU32>,
        /// Seed of METIS. The default is 42.
        #[schemars(extend("x-only-with" = { "outputs": ["batch-wise"] }))]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub partition_seed: Option<u32>,
        /// Probability per step that a walk returns to its output (`alpha` of the authors).
        #[serde(default = "quarter")]
        pub teleport: f64,
    }
    padding = Padding::None
}

const fn quarter() -> f64 {
    0.25
}

batchlab_core::register!(
    Batcher,
    Ibmb,
    example = from_toml("outputs = \"node-wise\"\noutputs_per_batch = 64\norder = \"tour\"")
);

#[typetag::serde(name = "ibmb")]
impl Batcher for Ibmb {
    fn always_in_label(&self) -> &'static [&'static str] {
        &["outputs"]
    }

    fn level(&self) -> Level {
        Level::Nodes
    }

    fn batch_size(&self) -> Option<u32> {
        None
    }

    fn open(&self, view: View, ctx: BatchContext) -> Result<Box<dyn BatchStream>, BatcherError> {
        let one = view.one_graph()?;
        one.check()?;
        let order = self.order_options();
        match self.method(one.graph.n_node())? {
            Method::NodeWise(options) => {
                let batches = options.batches(one, &ctx)?;
                let groups = OutputGroups::Given { group: batches.group, order };
                self.stream(view.clone(), ctx, OfOutputs::new(one, batches.near), groups)
            }
            Method::BatchWise(options) => {
                let batches = options.batches(one, &ctx)?;
                let groups = OutputGroups::Given { group: batches.group, order };
                self.stream(view.clone(), ctx, OfGroup(batches.auxiliary), groups)
            }
            Method::Random { near, n_output, composition } => {
                order.check(composition == batchlab_core::grouping::Composition::Fixed)?;
                let near = near.of_outputs(one, &ctx)?;
                let groups = OutputGroups::Random { n_output, composition, order };
                self.stream(view.clone(), ctx, OfOutputs::new(one, near), groups)
            }
        }
    }
}

impl Ibmb {
    fn stream(
        &self,
        view: View,
        ctx: BatchContext,
        context: impl NodeContext + 'static,
        groups: OutputGroups,
    ) -> Result<Box<dyn BatchStream>, BatcherError> {
        open_node_groups(view, ctx, context, groups, self.node_padding())
    }
}
