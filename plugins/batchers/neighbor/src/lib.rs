//! Batcher `neighbor`: random groups of output nodes with sampled neighbours.

mod sample;

use std::num::NonZeroU32;

use batchlab_core::graphs::OneGraph;
use batchlab_core::node_groups::{ChosenNodes, NodeContext, OutputGroup, open_node_groups};
use batchlab_core::plan::EdgeSelection;
use batchlab_core::registry::from_toml;
use batchlab_core::{BatchContext, BatchStream, Batcher, BatcherError, Level, Padding, View};
use rand_chacha::rand_core::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use sample::{sample_sorted, take_smallest};

batchlab_core::batcher_options! {
    /// Random groups of output nodes, with neighbours sampled hop by hop and only the sampled
    /// edges.
    ///
    /// This is the sampler of `GraphSAGE` (Hamilton et al. 2017, arXiv 1706.02216) as in PyG's
    /// `NeighborLoader`: every node that is first reached in a hop draws at most `fan_out[hop]` of
    /// its incoming edges, uniformly and without replacement; a node draws only once, so nodes of
    /// the last hop receive no edges. Self-loops are treated like any other edge. Evaluations are
    /// sampled too, always in the same way for a given seed; fan-outs of at least the largest
    /// in-degree make them exact. Groups of fixed composition keep their neighbours.
    pub struct Neighbor with NodeOptions {
        /// Maximum number of incoming edges drawn per node, hop by hop, starting at the outputs; at
        /// least one hop.
        pub fan_out: FanOut,
        /// Weights of the drawn edges.
        #[serde(default)]
        pub weight: SampledWeight,
        /// Whether nodes draw their neighbours independently.
        #[serde(default, skip_serializing_if = "Sampling::is_uniform")]
        pub sampling: Sampling,
    }
    padding = Padding::None
}

/// Incoming edges drawn per node in each hop, `[n_hop]`; at least one hop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Vec<NonZeroU32>", into = "Vec<NonZeroU32>")]
pub struct FanOut(Vec<NonZeroU32>);

impl TryFrom<Vec<NonZeroU32>> for FanOut {
    type Error = String;
    fn try_from(fan_out: Vec<NonZeroU32>) -> Result<Self, String> {
        if fan_out.is_empty() {
            return Err(
                "fan_out needs at least one hop, for example [10, 5] for a model of two layers"
                    .into(),
            );
        }
        Ok(Self(fan_out))
    }
}

impl From<FanOut> for Vec<NonZeroU32> {
    fn from(fan_out: FanOut) -> Self {
        fan_out.0
    }
}

/// How neighbours are drawn. In either case all neighbours of a node have the same probability.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Sampling {
    /// Every node draws independently.
    #[default]
    Uniform,
    /// As in LABOR-0 (Balin and Çatalyürek 2023, arXiv 2210.13339): in each hop of a batch every
    /// node of the graph has one random number, and nodes with too many neighbours draw those with
    /// the smallest numbers. Nodes with common neighbours then draw the same ones, so that a batch
    /// has fewer nodes.
    Labor,
}

impl Sampling {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
    fn is_uniform(&self) -> bool {
        *self == Self::Uniform
    }
}

/// Weights of sampled edges.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SampledWeight {
    /// The weight in the full graph. If not all edges are drawn, sums over neighbours are too
    /// small.
    #[default]
    FullGraph,
    /// The weight in the full graph divided by the probability that the edge was drawn, that is,
    /// times in-degree / number drawn: sums over neighbours are unbiased (Horvitz and Thompson
    /// 1952).
    Importance,
}

batchlab_core::register!(Batcher, Neighbor, example = from_toml("n_output = 32\nfan_out = [5, 5]"));

#[typetag::serde(name = "neighbor")]
impl Batcher for Neighbor {
    fn level(&self) -> Level {
        Level::Nodes
    }

    fn batch_size(&self) -> Option<u32> {
        None
    }

    fn open(&self, view: View, ctx: BatchContext) -> Result<Box<dyn BatchStream>, BatcherError> {
        let (groups, padding) = self.node_options();
        let sampler = Sampler {
            fan_out: self.fan_out.0.iter().map(|n| n.get()).collect(),
            weight: self.weight,
            sampling: self.sampling,
            drawn: Vec::new(),
        };
        open_node_groups(view, ctx, sampler, groups, padding)
    }
}

struct Sampler {
    fan_out: Vec<u32>,
    weight: SampledWeight,
    sampling: Sampling,
    /// Scratch: the drawn incoming edges of a node.
    drawn: Vec<u32>,
}

impl NodeContext for Sampler {
    fn edges(&self) -> EdgeSelection {
        EdgeSelection::Listed
    }

    fn choose(&mut self, graph: &OneGraph, mut group: OutputGroup<'_>, chosen: &mut ChosenNodes) {
        let mut reached = 0;
        for &fan_out in &self.fan_out {
            let frontier = reached..chosen.nodes().len();
            reached = frontier.end;
            let key = match self.sampling {
                Sampling::Uniform => 0,
                Sampling::Labor => group.rng.next_u64(),
            };
            for at in frontier {
                let receiver = chosen.nodes()[at];
                let incoming = graph.incoming(receiver);
                let degree = incoming.len() as u32;
                match self.sampling {
                    Sampling::Uniform => {
                        sample_sorted(&mut group.rng, degree, fan_out, &mut self.drawn);
                    }
                    Sampling::Labor => {
                        take_smallest(
                            key,
                            &graph.sender[incoming.clone()],
                            fan_out,
                            &mut self.drawn,
                        );
                    }
                }
                let scale = match self.weight {
                    SampledWeight::FullGraph => 1.0,
                    SampledWeight::Importance => degree as f32 / self.drawn.len() as f32,
                };
                for &nth in &self.drawn {
                    let edge = incoming.start + nth as usize;
                    let weight = graph.edge_weight.get(edge).copied().unwrap_or(1.0);
                    chosen.list_edge(graph.sender[edge], receiver, scale * weight);
                }
            }
        }
    }
}
