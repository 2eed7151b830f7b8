//! Epochs that were grouped in Python.

use std::collections::HashMap;

use batchlab_core::budget::MAX_INDEX;
use batchlab_core::padding::{BatchSize, Padding, PaddingRule};
use batchlab_core::plan::Cursor;
use batchlab_core::{BatchPlan, GraphSize, Level, Shape};

/// Sizes of the graphs of an epoch, by id.
pub(crate) type Sizes = HashMap<u32, GraphSize>;

/// The rule for batches of at most B - 1 graphs; shapes that depend on the batches follow from
/// `sample`.
pub(crate) fn padding_rule(padding: Padding, size: BatchSize, sample: &[Shape]) -> PaddingRule {
    let longest = |of: fn(&Shape) -> u32| sample.iter().map(of).max().unwrap_or_default();
    let constant = Shape {
        // One node is padding.
        n_node: longest(|shape| shape.n_node).saturating_add(1),
        n_edge: longest(|shape| shape.n_edge),
        n_graph: size.get(),
        n_output: size.get(),
    };
    padding.resolve(constant, size.get(), || sample.to_vec())
}

/// Sizes of the groups.
pub(crate) fn shapes(groups: &[Vec<u32>], sizes: &Sizes) -> Vec<Shape> {
    let shape = |group: &Vec<u32>| {
        group.iter().filter_map(|id| sizes.get(id)).fold(Shape::default(), |sum, &of| sum.with(of))
    };
    groups.iter().map(shape).collect()
}

/// Plans of groups that together name every graph once.
pub(crate) fn plans(
    groups: Vec<Vec<u32>>,
    sizes: &Sizes,
    size: BatchSize,
    rule: &PaddingRule,
    epoch: u64,
) -> Result<Vec<BatchPlan>, String> {
    let mut left: Sizes = sizes.clone();
    let mut plans = Vec::with_capacity(groups.len());
    for (group, number) in groups.into_iter().zip(0..) {
        let at = format!("epoch {epoch}, batch {number}");
        if group.is_empty() {
            return Err(format!("{at}: it is empty; yield at least one graph"));
        }
        if group.len() > size.max_graph() as usize {
            return Err(format!(
                "{at}: it has {} graphs, more than batch_size - 1 = {}",
                group.len(),
                size.max_graph()
            ));
        }
        let mut plan = BatchPlan::default();
        plan.clear(Level::Graphs);
        for id in group {
            let graph = left.remove(&id).ok_or_else(|| match sizes.get(&id) {
                Some(_) => format!("{at}: graph {id} has been in a batch of this epoch already"),
                None => format!("{at}: there is no graph {id}"),
            })?;
            plan.push_graph(graph);
        }
        plan.shape = rule.shape(plan.real);
        if plan.shape.n_node.max(plan.shape.n_edge) > MAX_INDEX {
            return Err(format!(
                "{at}: {} nodes and {} edges are more than a batch can index ({MAX_INDEX})",
                plan.shape.n_node, plan.shape.n_edge
            ));
        }
        plan.cursor = Cursor { epoch, batch: number + 1, ..Cursor::default() };
        plans.push(plan);
    }
    match left.keys().min() {
        None => Ok(plans),
        Some(id) => Err(format!(
            "epoch {epoch}: {} of {} graphs are in no batch, for example graph {id}; every epoch has to name \
             each graph once",
            left.len(),
            sizes.len()
        )),
    }
}
