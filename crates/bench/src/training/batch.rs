//! One batch of a strategy, and the same batch with more padding.

use batchlab_core::{
    BatchBuffer, BatchContext, BatchFields, BatchPlan, Batcher, Graphs, Purpose, Shape, collate,
};
use serde::{Deserialize, Serialize};

use crate::source::SEED;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// The batcher's table, for example `{"name": "static", "batch_size": 32}`.
    pub batcher: serde_json::Value,
    /// Pads to at least this shape instead of the strategy's own.
    #[serde(default)]
    pub at_least: Option<AtLeast>,
}

/// A shape to be padded to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AtLeast {
    pub n_node: u32,
    pub n_edge: u32,
}

/// The plans of the first nine batches of training.
fn first_plans(graphs: &Graphs, choice: &Choice) -> anyhow::Result<Vec<BatchPlan>> {
    let batcher: Box<dyn Batcher> = serde_json::from_value(choice.batcher.clone())?;
    let members: Vec<u32> = (0..graphs.n_member() as u32).collect();
    let ctx = BatchContext::new(Purpose::Training, SEED);
    let mut stream = batcher.open(graphs.view(&members), ctx)?;
    let mut plans = vec![BatchPlan::default(); 9];
    for plan in &mut plans {
        anyhow::ensure!(stream.next(plan)?, "a training stream does not end");
        if let Some(AtLeast { n_node, n_edge }) = choice.at_least {
            let Shape { n_node: nodes, n_edge: edges, .. } = plan.shape;
            (plan.shape.n_node, plan.shape.n_edge) = (nodes.max(n_node), edges.max(n_edge));
        }
    }
    Ok(plans)
}

/// Collates the batch with the median number of padded edges among the first nine of training.
pub fn median_batch(
    graphs: &Graphs,
    choice: &Choice,
    needs: &BatchFields,
) -> anyhow::Result<BatchBuffer> {
    let mut plans = first_plans(graphs, choice)?;
    plans.sort_by_key(|plan| plan.shape.n_edge);
    collated(graphs, &plans[4], needs)
}

/// Collates the first nine batches of training.
pub fn first_batches(
    graphs: &Graphs,
    choice: &Choice,
    needs: &BatchFields,
) -> anyhow::Result<Vec<BatchBuffer>> {
    first_plans(graphs, choice)?.iter().map(|plan| collated(graphs, plan, needs)).collect()
}

fn collated(graphs: &Graphs, plan: &BatchPlan, needs: &BatchFields) -> anyhow::Result<BatchBuffer> {
    let mut buffer = BatchBuffer::new();
    collate(graphs, plan, needs, &mut buffer)?;
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::training::structures::Structures;

    fn shape(batch_size: u32, at_least: Option<AtLeast>) -> (Shape, Shape) {
        let graphs = Structures::Qm9.load().expect("the sample");
        let batcher = json!({ "name": "static", "batch_size": batch_size });
        let needs = BatchFields { distance: true, ..BatchFields::default() };
        let buffer = median_batch(&graphs, &Choice { batcher, at_least }, &needs).expect("a batch");
        (buffer.batch().real, buffer.batch().shape)
    }

    #[test]
    fn more_padding_leaves_the_graphs_as_they_are() {
        let (real, own) = shape(8, None);
        assert_eq!((real.n_graph, own.n_graph), (7, 8));
        let more = AtLeast { n_node: 2 * own.n_node, n_edge: 3 * own.n_edge };
        let (same, padded) = shape(8, Some(more));
        assert_eq!(same, real);
        assert_eq!((padded.n_node, padded.n_edge), (more.n_node, more.n_edge));
        assert_eq!(shape(8, Some(AtLeast { n_node: 1, n_edge: 1 })), (real, own));
    }
}
