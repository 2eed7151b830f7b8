//! Batcher `saint-rw`: sub-graphs around random walks, as in `GraphSAINT`.

mod counts;
mod walks;

use std::num::NonZeroU32;
use std::sync::Arc;

use batchlab_core::batch_order::OrderOptions;
use batchlab_core::graphs::{OneGraph, OneGraphView};
use batchlab_core::grouping::Composition;
use batchlab_core::hash::sha256_of;
use batchlab_core::node_groups::{
    ChosenNodes, NodeBudget, NodeContext, NodePadding, OutputGroup, OutputGroups, open_node_groups,
};
use batchlab_core::plan::EdgeSelection;
use batchlab_core::registry::from_toml;
use batchlab_core::{
    BatchContext, BatchStream, Batcher, BatcherError, Level, Padding, Purpose, View,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use counts::Counts;
use walks::Walks;

/// An epoch keeps 12 bytes for each of its batches: their order.
const MAX_BATCHES_PER_EPOCH: u32 = 10_000_000;

/// Sub-graphs around random walks from random nodes or outputs, with weights that correct for unequal sampling
/// probabilities.
///
/// This is the random-walk sampler of `GraphSAINT` (Zeng et al. 2020, arXiv 1907.04931). The nodes
/// of a batch are those visited by `n_root` walks of `walk_length` steps from roots drawn with
/// replacement; its outputs are those among them that are outputs. An output may therefore occur
/// several times in an epoch, or never: an epoch is `batches_per_epoch` batches. Walks follow edges
/// in reverse.
///
/// The frequencies of nodes and edges are counted beforehand, as preparation: the loss weight of an
/// output is one over its count, and an edge is multiplied by the count of its receiver over its
/// own. Anything that was never drawn counts as 0.1, as in the authors' code.
///
/// Evaluations contain every output exactly once, in groups of `n_root`, with the walks that start
/// there, all edges between their nodes and the weights of the full graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SaintRw {
    /// Walks per batch.
    pub n_root: NonZeroU32,
    /// Steps per walk; 0 for the roots alone.
    pub walk_length: u32,
    /// Nodes that walks start from: `"all"` nodes of the graph, as in PyTorch Geometric's
    /// `GraphSAINTRandomWalkSampler`, or the `"outputs"` alone. If few nodes are outputs, `"all"`
    /// trains few of them per batch.
    #[serde(default)]
    pub roots: Roots,
    /// Batches per epoch.
    pub batches_per_epoch: NonZeroU32,
    /// Mean number of times each node is drawn when counting frequencies.
    #[serde(default = "fifty")]
    pub coverage: NonZeroU32,
    /// The padding rule.
    #[serde(default = "no_padding")]
    pub padding: Padding,
    /// Nodes and edges for `padding = "constant"`, padding included; by default learnt from the
    /// first batches. A batch that exceeds it gets a larger shape of its own.
    #[schemars(extend("x-only-with" = { "padding": ["constant"] }))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constant: Option<NodeBudget>,
}

/// See [`SaintRw::roots`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Roots {
    #[default]
    All,
    Outputs,
}

impl Roots {
    /// The nodes to draw from; `None` for all nodes of the graph.
    fn among(self, view: &OneGraphView) -> Option<Arc<[u32]>> {
        (self == Self::Outputs).then(|| Arc::clone(&view.output))
    }
}

const fn fifty() -> NonZeroU32 {
    NonZeroU32::new(50).expect("50 is not 0")
}

const fn no_padding() -> Padding {
    Padding::None
}

batchlab_core::register!(
    Batcher,
    SaintRw,
    example = from_toml("n_root = 20\nwalk_length = 2\nbatches_per_epoch = 4")
);

#[typetag::serde(name = "saint-rw")]
impl Batcher for SaintRw {
    fn level(&self) -> Level {
        Level::Nodes
    }

    fn batch_size(&self) -> Option<u32> {
        None
    }

    fn open(&self, view: View, ctx: BatchContext) -> Result<Box<dyn BatchStream>, BatcherError> {
        let one = view.one_graph()?.clone();
        one.check()?;
        let n_node = one.graph.n_node();
        if self.n_root.get() as usize > n_node {
            return Err(BatcherError::Options(format!(
                "n_root = {}, but the graph has only {n_node} nodes",
                self.n_root
            )));
        }
        if self.batches_per_epoch.get() > MAX_BATCHES_PER_EPOCH {
            return Err(BatcherError::Options(format!(
                "batches_per_epoch = {} is more than {MAX_BATCHES_PER_EPOCH}; train more epochs instead",
                self.batches_per_epoch
            )));
        }
        let Some(max_node) = self
            .walk_length
            .checked_add(1)
            .and_then(|n| self.n_root.checked_mul(n.try_into().ok()?))
        else {
            return Err(BatcherError::Options(format!(
                "n_root = {} and walk_length = {} are more nodes than a batch can index",
                self.n_root, self.walk_length
            )));
        };
        let padding = NodePadding { padding: self.padding, constant: self.constant };
        let walks = Walks { n_root: self.n_root.get(), length: self.walk_length };
        if ctx.purpose == Purpose::Evaluation {
            let groups = OutputGroups::Random {
                n_output: self.n_root,
                composition: Composition::EveryEpoch,
                order: OrderOptions::default(),
            };
            return open_node_groups(view, ctx, FromOutputs(walks), groups, padding);
        }
        let counts = self.counts(&one, walks, &ctx);
        let groups = OutputGroups::Sampled { n_batch: self.batches_per_epoch, max_node };
        let roots = self.roots.among(&one);
        open_node_groups(view, ctx, Sampler::new(one, walks, roots, &counts), groups, padding)
    }
}

impl SaintRw {
    fn counts(&self, view: &OneGraphView, walks: Walks, ctx: &BatchContext) -> Counts {
        let roots = self.roots.among(view);
        let among = roots.as_deref();
        let of_roots = among.map_or("all".into(), sha256_of);
        let (coverage, seed, graph) = (self.coverage, ctx.seed, view.graph.structure_hash());
        let key = format!(
            "saint-rw {walks:?}, roots {of_roots}, coverage {coverage}, seed {seed}, graph {graph}"
        );
        let count = || -> Result<Counts, std::convert::Infallible> {
            Ok(Counts::until(&view.graph, walks, among, coverage.get(), seed, &*ctx.progress))
        };
        match ctx.prepared(&key, count) {
            Ok(counts) => counts,
        }
    }
}

/// Walks from random roots.
struct Sampler {
    walks: Walks,
    roots: Option<Arc<[u32]>>,
    output: Arc<[u32]>,
    is_output: Vec<bool>,
    node_weight: Vec<f32>,
    edge_weight: Vec<f32>,
}

impl Sampler {
    fn new(view: OneGraphView, walks: Walks, roots: Option<Arc<[u32]>>, counts: &Counts) -> Self {
        let mut is_output = vec![false; view.graph.n_node()];
        for &node in &*view.output {
            is_output[node as usize] = true;
        }
        Self {
            walks,
            roots,
            output: view.output,
            is_output,
            node_weight: counts.node_weights(),
            edge_weight: counts.edge_weights(&view.graph),
        }
    }
}

/// Maximum number of sub-graphs drawn to find an output.
const N_ATTEMPT: usize = 100;

impl NodeContext for Sampler {
    fn edges(&self) -> EdgeSelection {
        EdgeSelection::Listed
    }

    fn output_weight(&self, node: u32) -> Option<f32> {
        Some(self.node_weight[node as usize])
    }

    fn choose(&mut self, graph: &OneGraph, mut group: OutputGroup<'_>, chosen: &mut ChosenNodes) {
        let rng = &mut group.rng;
        let mut nodes = self.walks.start(graph, self.roots.as_deref(), rng);
        // A sub-graph without outputs is useless for training.
        for _ in 0..N_ATTEMPT {
            if nodes.iter().any(|&node| self.is_output[node as usize]) {
                break;
            }
            nodes = self.walks.start(graph, self.roots.as_deref(), rng);
        }
        if !nodes.iter().any(|&node| self.is_output[node as usize]) {
            let place = batchlab_core::random::below(rng, self.output.len() as u64) as usize;
            nodes = self.walks.from(graph, std::iter::once(self.output[place]), rng);
        }
        for &node in &nodes {
            chosen.add(node);
        }
        for &receiver in &nodes {
            for edge in graph.incoming(receiver) {
                let sender = graph.sender[edge];
                if chosen.contains(sender) {
                    chosen.list_edge(sender, receiver, self.edge_weight[edge]);
                }
            }
        }
    }
}

/// Walks from the outputs of an evaluation.
struct FromOutputs(Walks);

impl NodeContext for FromOutputs {
    fn choose(&mut self, graph: &OneGraph, mut group: OutputGroup<'_>, chosen: &mut ChosenNodes) {
        let roots = group.output.iter().copied();
        for node in self.0.from(graph, roots, &mut group.rng) {
            chosen.add(node);
        }
    }
}

#[cfg(test)]
mod golden;
