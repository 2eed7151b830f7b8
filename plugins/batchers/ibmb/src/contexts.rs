//! The auxiliary nodes of a batch's outputs.

use batchlab_core::graphs::{OneGraph, OneGraphView};
use batchlab_core::node_groups::{ChosenNodes, NodeContext, OutputGroup};

/// Auxiliary nodes per output.
pub(crate) struct OfOutputs {
    /// Rank of each output in ascending order, by node. `[n_node]`
    place: Vec<u32>,
    near: Vec<Vec<u32>>,
}

/// Auxiliary nodes per group.
pub(crate) struct OfGroup(pub(crate) Vec<Vec<u32>>);

impl OfOutputs {
    /// `near` follows the ascending order of the outputs.
    pub(crate) fn new(view: &OneGraphView, near: Vec<Vec<u32>>) -> Self {
        let mut place = vec![0; view.graph.n_node()];
        for (at, output) in sorted(&view.output).into_iter().enumerate() {
            place[output as usize] = at as u32;
        }
        Self { place, near }
    }
}

pub(crate) fn sorted(nodes: &[u32]) -> Vec<u32> {
    let mut nodes = nodes.to_vec();
    nodes.sort_unstable();
    nodes
}

impl NodeContext for OfOutputs {
    fn choose(&mut self, _graph: &OneGraph, group: OutputGroup<'_>, chosen: &mut ChosenNodes) {
        for &output in group.output {
            for &node in &self.near[self.place[output as usize] as usize] {
                chosen.add(node);
            }
        }
    }
}

impl NodeContext for OfGroup {
    fn choose(&mut self, _graph: &OneGraph, group: OutputGroup<'_>, chosen: &mut ChosenNodes) {
        for &node in &self.0[group.index] {
            chosen.add(node);
        }
    }
}
