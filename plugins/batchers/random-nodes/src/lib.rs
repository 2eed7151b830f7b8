//! Batcher `random-nodes`: random groups of output nodes with everything within k hops.

use std::num::NonZeroU32;

use batchlab_core::graphs::OneGraph;
use batchlab_core::grouping::Composition;
use batchlab_core::node_groups::{
    ChosenNodes, NodeBudget, NodeContext, NodePadding, OutputGroup, OutputGroups, open_node_groups,
};
use batchlab_core::{BatchContext, BatchStream, Batcher, BatcherError, Level, Padding, View};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Random groups of output nodes, with every node within `n_hop` incoming edges and all edges
/// between them.
///
/// With as many hops as the model has layers, every output sees all that it sees in the whole
/// graph: predictions are exact, and the price is that contexts grow fast and overlap. Edges keep
/// the weights of the full graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomNodes {
    /// Largest number of output nodes in a batch. The outputs of an epoch are shared out evenly, so
    /// that batches differ by at most one.
    pub n_output: NonZeroU32,
    /// How many incoming edges away from an output a node may be; 0 for the outputs alone.
    pub n_hop: u32,
    /// Whether groups are formed anew in every epoch, or once before training.
    #[serde(default)]
    pub composition: Composition,
    /// What the batch is padded to: `"none"`, `"constant"`, `{ multiple = 64 }`, `{ power = 2 }` or
    /// `{ shapes = 8 }`.
    #[serde(default = "none")]
    pub padding: Padding,
    /// Nodes and edges of `padding = "constant"`, padding included; learnt from the first batches
    /// without it. A batch that exceeds it gets a larger shape of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constant: Option<NodeBudget>,
}

fn none() -> Padding {
    Padding::None
}

batchlab_core::register!(
    Batcher,
    RandomNodes,
    example = RandomNodes {
        n_output: NonZeroU32::new(32).expect("32 is not 0"),
        n_hop: 2,
        composition: Composition::default(),
        padding: none(),
        constant: None,
    }
);

#[typetag::serde(name = "random-nodes")]
impl Batcher for RandomNodes {
    fn label(&self) -> String {
        let mut label = match self.padding {
            Padding::None => "random-nodes".to_owned(),
            padding => format!("random-nodes-{}", padding.label()),
        };
        if self.composition == Composition::Fixed {
            label.push_str("-fixed");
        }
        label
    }

    fn level(&self) -> Level {
        Level::Nodes
    }

    fn batch_size(&self) -> Option<u32> {
        None
    }

    fn open(&self, view: View, ctx: BatchContext) -> Result<Box<dyn BatchStream>, BatcherError> {
        let groups =
            OutputGroups::Random { n_output: self.n_output, composition: self.composition };
        let padding = NodePadding { padding: self.padding, constant: self.constant };
        open_node_groups(view, ctx, Hops { n_hop: self.n_hop }, groups, padding)
    }
}

/// Breadth-first search against the direction of the edges.
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
