//! Batcher `random-nodes`: random groups of output nodes with everything within k hops.

use batchlab_core::graphs::OneGraph;
use batchlab_core::node_groups::{ChosenNodes, NodeContext, OutputGroup, open_node_groups};
use batchlab_core::registry::from_toml;
use batchlab_core::{BatchContext, BatchStream, Batcher, BatcherError, Level, Padding, View};

batchlab_core::batcher_options! {
    /// Random groups of output nodes, with every node within `n_hop` incoming edges and all edges
    /// between them.
    ///
    /// With as many hops as the model has layers, every output sees the same as in the whole graph:
    /// predictions are exact, but contexts grow fast and overlap. Edges keep the weights of the
    /// full graph.
    pub struct RandomNodes with NodeOptions {
        /// Maximum distance of a node from an output in incoming edges; 0 for the outputs alone.
        pub n_hop: u32,
    }
    padding = Padding::None
}

batchlab_core::register!(Batcher, RandomNodes, example = from_toml("n_output = 32\nn_hop = 2"));

#[typetag::serde(name = "random-nodes")]
impl Batcher for RandomNodes {
    fn level(&self) -> Level {
        Level::Nodes
    }

    fn batch_size(&self) -> Option<u32> {
        None
    }

    fn open(&self, view: View, ctx: BatchContext) -> Result<Box<dyn BatchStream>, BatcherError> {
        let (groups, padding) = self.node_options();
        open_node_groups(view, ctx, Hops { n_hop: self.n_hop }, groups, padding)
    }
}

/// Breadth-first search against the edge direction.
struct Hops {
    n_hop: u32,
}

impl NodeContext for Hops {
    fn choose(&mut self, graph: &OneGraph, _group: OutputGroup<'_>, chosen: &mut ChosenNodes) {
        let mut reached = 0;
        for _ in 0..self.n_hop {
            let frontier = reached..chosen.nodes().len();
            if frontier.is_empty() {
                return;
            }
            reached = frontier.end;
            for at in frontier {
                for &sender in &graph.sender[graph.incoming(chosen.nodes()[at])] {
                    chosen.add(sender);
                }
            }
        }
    }
}
