//! Batcher `full`: the whole graph as one batch.

use batchlab_core::batch_order::OrderOptions;
use batchlab_core::graphs::OneGraph;
use batchlab_core::node_groups::{
    ChosenNodes, NodeContext, NodePadding, OutputGroup, OutputGroups, open_node_groups,
};
use batchlab_core::{BatchContext, BatchStream, Batcher, BatcherError, Level, Padding, View};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The whole graph as one batch, whose outputs are all nodes of the subset.
///
/// This is training without mini-batches, and exact inference. The batch never changes, so it is
/// collated once, and it is not padded, because there is only one shape anyway.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Full {}

batchlab_core::register!(Batcher, Full, example = Full {});

#[typetag::serde(name = "full")]
impl Batcher for Full {
    fn level(&self) -> Level {
        Level::Nodes
    }

    fn is_whole(&self) -> bool {
        true
    }

    fn batch_size(&self) -> Option<u32> {
        None
    }

    fn open(&self, view: View, ctx: BatchContext) -> Result<Box<dyn BatchStream>, BatcherError> {
        let group = match &view {
            View::OneGraph(one) if !one.output.is_empty() => vec![one.output.to_vec()],
            _ => Vec::new(),
        };
        let groups = OutputGroups::Given { group, order: OrderOptions::default() };
        let padding = NodePadding { padding: Padding::None, constant: None };
        open_node_groups(view, ctx, WholeGraph, groups, padding)
    }
}

/// Every node, regardless of the outputs.
struct WholeGraph;

impl NodeContext for WholeGraph {
    fn choose(&mut self, graph: &OneGraph, _group: OutputGroup<'_>, chosen: &mut ChosenNodes) {
        for node in 0..graph.n_node() as u32 {
            chosen.add(node);
        }
    }
}
