//! Batcher `shadow-ppr`: every output with an isolated copy of its nearest nodes.

use std::num::NonZeroU32;

use batchlab_core::graphs::OneGraph;
use batchlab_core::hash::sha256_of;
use batchlab_core::node_groups::{ChosenNodes, NodeContext, OutputGroup, open_node_groups};
use batchlab_core::registry::from_toml;
use batchlab_core::{BatchContext, BatchStream, Batcher, BatcherError, Level, Padding, View};
use batchlab_ppr::Push;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

batchlab_core::batcher_options! {
    /// Random groups of output nodes, each with an isolated copy of the nodes of greatest influence
    /// on it.
    ///
    /// This is `ShaDow` (Zeng et al. 2021, arXiv 2201.07858) with personalised `PageRank`: an
    /// output sees only its own ego-net, for any depth of the model. The ego-nets in a batch are
    /// disconnected, so a node occurs once for each ego-net that contains it. An ego-net has all
    /// edges between its nodes, with the weights of the full graph, which must be undirected.
    pub struct ShadowPpr with NodeOptions {
        /// Number of nodes per output, including itself.
        pub aux_per_output: NonZeroU32,
        /// How residues are pushed, see `teleport`.
        #[serde(default)]
        pub walk: Walk,
        /// Probability per step that a walk returns to its output (1 - `alpha` of the authors, who
        /// publish 0.85).
        #[serde(default = "default_teleport")]
        pub teleport: f64,
        /// Residue per degree at which pushing stops. The authors publish 1e-6 for 200 nodes.
        #[serde(default = "default_epsilon")]
        pub epsilon: f64,
    }
    padding = Padding::None
}

/// How the residue of a node is distributed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Walk {
    /// One half stays, as in the authors' code.
    #[default]
    Lazy,
    /// All of it moves on, as in the batcher `ibmb`.
    Plain,
}

const fn default_teleport() -> f64 {
    0.15
}

const fn default_epsilon() -> f64 {
    1e-6
}

batchlab_core::register!(
    Batcher,
    ShadowPpr,
    example = from_toml("n_output = 32\naux_per_output = 16\nepsilon = 1e-5")
);

#[typetag::serde(name = "shadow-ppr")]
impl Batcher for ShadowPpr {
    fn level(&self) -> Level {
        Level::Nodes
    }

    fn batch_size(&self) -> Option<u32> {
        None
    }

    fn open(&self, view: View, ctx: BatchContext) -> Result<Box<dyn BatchStream>, BatcherError> {
        let one = view.one_graph()?;
        one.check()?;
        let (groups, padding) = self.node_options();
        self.order_options()
            .check(self.composition == batchlab_core::grouping::Composition::Fixed)?;
        let (k, n_node) = (self.aux_per_output.get() as usize, one.graph.n_node());
        if k > n_node {
            return Err(BatcherError::Options(format!(
                "aux_per_output = {k}, but the graph has only {n_node} nodes"
            )));
        }
        let walk = match self.walk {
            Walk::Lazy => batchlab_ppr::Walk::Lazy,
            Walk::Plain => batchlab_ppr::Walk::Plain,
        };
        let Self { teleport, epsilon, .. } = *self;
        let push = Push { teleport, epsilon, walk };
        let (graph, outputs) = (one.graph.structure_hash(), sha256_of(&one.output));
        let key = format!("shadow-ppr, k {k}, {push:?}, graph {graph}, outputs {outputs}");
        let compute = || push.nearest(&one.graph, &one.output, k, &*ctx.progress);
        let near = ctx.prepared(&key, compute).map_err(BatcherError::other)?;
        let mut place = vec![0; n_node];
        for (at, &output) in one.output.iter().enumerate() {
            place[output as usize] = at as u32;
        }
        open_node_groups(view.clone(), ctx, EgoNets { place, near }, groups, padding)
    }
}

struct EgoNets {
    /// Index of each output in the view, by node. `[n_node]`
    place: Vec<u32>,
    /// Nodes of each output, in the order of the view.
    near: Vec<Vec<u32>>,
}

impl NodeContext for EgoNets {
    fn isolated(&self) -> bool {
        true
    }

    fn choose(&mut self, _graph: &OneGraph, group: OutputGroup<'_>, chosen: &mut ChosenNodes) {
        for &output in group.output {
            for &node in &self.near[self.place[output as usize] as usize] {
                chosen.add(node);
            }
        }
    }
}
