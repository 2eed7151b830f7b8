//! Capacity of batches.

use batchlab_core::{BatchPlan, GraphSize, Shape};

use super::input::{for_all, ordinary};
use super::trial::brief;
use super::{Make, Outcome, Trial};

pub(super) fn batch_size(make: Make<'_>) -> Outcome {
    for_all(make, ordinary(), |trial| {
        plans(trial).iter().try_for_each(|plan| graphs_fit(trial, plan))
    })
}

pub(super) fn shape(make: Make<'_>) -> Outcome {
    for_all(make, ordinary(), |trial| {
        plans(trial).iter().try_for_each(|plan| shape_fits(&trial.graphs(), plan))
    })
}

/// Plans of training and of an evaluation, as far as they succeed.
pub(super) fn plans(trial: &Trial<'_>) -> Vec<BatchPlan> {
    let mut plans = trial.train(7).unwrap_or_default();
    plans.extend(trial.evaluate(7).unwrap_or_default());
    plans
}

pub(crate) fn graphs_fit(trial: &Trial<'_>, plan: &BatchPlan) -> Outcome {
    let n_graph = plan.members.len();
    if n_graph == 0 {
        return Err(format!("a batch has no graphs: {}", brief(plan)));
    }
    let Some(batch_size) = trial.batcher.batch_size() else { return Ok(()) };
    if n_graph < batch_size as usize {
        return Ok(());
    }
    Err(format!(
        "batch_size {batch_size} allows {} graphs and one slot for padding: {}",
        batch_size - 1,
        brief(plan)
    ))
}

/// Requirements of collation on a shape.
pub(crate) fn shape_fits(graphs: &[GraphSize], plan: &BatchPlan) -> Outcome {
    let real = real(graphs, plan);
    let shape = plan.shape;
    let padding_edges = u32::from(shape.n_edge > real.n_edge);
    let padding_nodes = u32::from(shape.n_node > real.n_node);
    let rules = [
        ("edges", shape.n_edge, real.n_edge, "all edges"),
        ("nodes", shape.n_node, real.n_node + padding_edges, "all nodes and one for padding edges"),
        ("graphs", shape.n_graph, real.n_graph + padding_nodes, "all graphs and one for padding"),
        ("outputs", shape.n_output, real.n_output, "one output per graph"),
    ];
    for (what, padded, needed, of) in rules {
        if padded < needed {
            return Err(format!(
                "{padded} {what} are too few; {of} need {needed}: {}",
                brief(plan)
            ));
        }
    }
    Ok(())
}

/// Size of the members, counted independently of the batcher. Unknown members count as nothing;
/// another check rejects them.
pub(super) fn real(graphs: &[GraphSize], plan: &BatchPlan) -> Shape {
    let members = plan.members.iter();
    let sizes = members.filter_map(|&id| graphs.iter().find(|graph| graph.id == id));
    sizes.fold(Shape::default(), |shape, &graph| shape.with(graph))
}
