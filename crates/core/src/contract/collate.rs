//! Turns a plan into a batch: the only place where graphs are copied, padded and masked.

mod complete;
mod many;
mod one;
mod own;

use crate::CollateError;
use crate::contract::buffer::{BatchBuffer, Columns};
use crate::contract::fields::BatchFields;
use crate::contract::graphs::{Graphs, Level, Topology};
use crate::contract::plan::{BatchPlan, Shape};

/// Copies the members of a plan into a buffer, pads them to the plan's shape and masks the padding.
///
/// # Errors
/// A plan whose shape is too small or that names a member that does not exist; a field that the
/// data set does not have.
pub fn collate(
    graphs: &Graphs,
    plan: &BatchPlan,
    needs: &BatchFields,
    buffer: &mut BatchBuffer,
) -> Result<(), CollateError> {
    // The available fields are listed only for the error message, so that collation does not
    // allocate.
    let is_there = |name: &String| graphs.own.iter().any(|field| field.shape().name == *name);
    let built_in = needs.missing_built_in(&graphs.built_in_fields());
    if built_in.is_some() || !needs.own.iter().all(is_there) {
        let missing = needs.missing_from(&graphs.fields()).unwrap_or_default();
        return Err(CollateError::Missing(missing));
    }
    match (&graphs.topology, plan.level) {
        (Topology::Many(many), Level::Graphs) => many::collate(graphs, many, plan, needs, buffer),
        (Topology::One(one), Level::Nodes) => one::collate(graphs, one, plan, needs, buffer),
        (_, level) => Err(CollateError::Inconsistent(format!(
            "a plan for {level}, but the data set holds {}",
            graphs.level()
        ))),
    }
}

fn check_room(real: Shape, shape: Shape) -> Result<(), CollateError> {
    let need = |what, padded: u32, needed: u32, why| {
        if padded < needed {
            Err(CollateError::NoRoom { what, padded, needed, why })
        } else {
            Ok(())
        }
    };
    let fits = "all members must fit";
    need("n_edge", shape.n_edge, real.n_edge, fits)?;
    need("n_output", shape.n_output, real.n_output, fits)?;
    let padding_edges = u32::from(shape.n_edge > real.n_edge);
    need(
        "n_node",
        shape.n_node,
        real.n_node.saturating_add(padding_edges),
        "padding edges end at a padding node",
    )?;
    let padding_nodes = u32::from(shape.n_node > real.n_node);
    need(
        "n_graph",
        shape.n_graph,
        real.n_graph.saturating_add(padding_nodes),
        "padding nodes belong to a padding graph",
    )
}

/// Fills everything after the real members. `graph_offset` of the real graphs, `receiver_offset` of
/// the real nodes and all other real entries must already be written.
fn pad(columns: &mut Columns<'_>, real: Shape, shape: Shape, width: usize) {
    let [n_node, n_edge, n_graph, n_output] =
        [real.n_node, real.n_edge, real.n_graph, real.n_output].map(|n| n as usize);
    let n_padding_node = shape.n_node - real.n_node;
    let n_padding_edge = shape.n_edge - real.n_edge;

    columns.n_node_of[n_graph..].fill(0);
    columns.n_edge_of[n_graph..].fill(0);
    columns.graph_offset[n_graph] = real.n_node;
    columns.graph_offset[n_graph + 1..].fill(shape.n_node);
    if n_padding_node > 0 {
        columns.n_node_of[n_graph] = n_padding_node;
        columns.n_edge_of[n_graph] = n_padding_edge;
    }
    columns.graph_of[n_node..].fill(real.n_graph);
    fill_behind(columns.node_class, n_node, 0);
    fill_behind(columns.node_feature, n_node * width, 0.0);
    let n_entry = columns.feature_column.len() as u32;
    fill_behind(columns.feature_offset, n_node, n_entry);

    columns.sender[n_edge..].fill(real.n_node);
    columns.receiver[n_edge..].fill(real.n_node);
    columns.receiver_offset[n_node] = real.n_edge;
    columns.receiver_offset[n_node + 1..].fill(shape.n_edge);
    for (edge, slot) in columns.sender_order.iter_mut().enumerate().skip(n_edge) {
        *slot = edge as u32;
    }
    if !columns.sender_offset.is_empty() {
        columns.sender_offset[n_node] = real.n_edge;
        columns.sender_offset[n_node + 1..].fill(shape.n_edge);
    }
    fill_behind(columns.distance, n_edge, 0.0);
    fill_behind(columns.displacement, 3 * n_edge, 0.0);
    fill_behind(columns.edge_weight, n_edge, 0.0);

    columns.output_target[n_output..].fill(0.0);
    columns.output_weight[n_output..].fill(0.0);
}

fn fill_behind<T: Copy>(values: &mut [T], start: usize, value: T) {
    if let Some(behind) = values.get_mut(start..) {
        behind.fill(value);
    }
}

/// Weights of the real outputs: those of the plan, or 1.
fn write_output_weight(
    columns: &mut Columns<'_>,
    plan: &BatchPlan,
    n_output: usize,
) -> Result<(), CollateError> {
    if plan.output_weight.is_empty() {
        columns.output_weight[..n_output].fill(1.0);
        return Ok(());
    }
    if plan.output_weight.len() != n_output {
        let got = plan.output_weight.len();
        return Err(CollateError::Inconsistent(format!("{got} weights for {n_output} outputs")));
    }
    columns.output_weight[..n_output].copy_from_slice(&plan.output_weight);
    Ok(())
}
