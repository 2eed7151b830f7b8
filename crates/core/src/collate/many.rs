//! Batches of whole graphs.

use super::{Needs, check_room, pad, write_output_weight};
use crate::CollateError;
use crate::buffer::{BatchBuffer, Columns};
use crate::graphs::{Edges, Graphs, Level, ManyGraphs, StoredEdges};
use crate::plan::{BatchPlan, EdgeSelection, Shape};

pub(super) fn collate(
    graphs: &Graphs,
    many: &ManyGraphs,
    plan: &BatchPlan,
    needs: Needs,
    buffer: &mut BatchBuffer,
) -> Result<(), CollateError> {
    let real = real_size(many, plan)?;
    check_room(real, plan.shape)?;
    let width = graphs.node_feature.as_ref().map_or(0, |f| f.width);
    let mut columns = buffer.prepare(Level::Graphs, plan.shape, real, needs, width);

    let (mut node, mut edge) = (0, 0);
    for (slot, &id) in plan.members.iter().enumerate() {
        let graph = id as usize;
        let size = many.size(graph);
        columns.n_node_of[slot] = size.n_node;
        columns.n_edge_of[slot] = size.n_edge;
        columns.graph_offset[slot] = node;
        columns.origin[slot] = id;
        columns.output_row[slot] = slot as u32;
        columns.output_target[slot] = graphs.target.as_ref().map_or(0.0, |t| t.training[graph]);
        let at = Place {
            graph,
            slot: slot as u32,
            node,
            edge,
            n_node: size.n_node,
            n_edge: size.n_edge,
        };
        copy_nodes(&mut columns, graphs, many, &at, width);
        match many.edges() {
            Edges::FullyConnected => connect_all(&mut columns, graphs, many, &at),
            Edges::Stored(stored) => copy_edges(&mut columns, stored, &at),
            Edges::Counted(_) => {
                return Err(CollateError::Missing(
                    "edges, only their numbers; it can be planned but not trained on",
                ));
            }
        }
        node += size.n_node;
        edge += size.n_edge;
    }
    write_output_weight(&mut columns, plan, plan.members.len())?;
    columns.origin[plan.members.len()..].fill(u32::MAX);
    // Graphs are outputs: a padding output is its padding graph, or the last graph where outputs
    // outnumber graphs.
    let last_graph = plan.shape.n_graph.saturating_sub(1);
    for (row, slot) in columns.output_row.iter_mut().enumerate().skip(plan.members.len()) {
        *slot = (row as u32).min(last_graph);
    }
    pad(&mut columns, real, plan.shape, width);
    Ok(())
}

/// Where one graph goes.
struct Place {
    graph: usize,
    slot: u32,
    node: u32,
    edge: u32,
    n_node: u32,
    n_edge: u32,
}

impl Place {
    fn nodes(&self) -> std::ops::Range<usize> {
        self.node as usize..(self.node + self.n_node) as usize
    }
    fn edges(&self) -> std::ops::Range<usize> {
        self.edge as usize..(self.edge + self.n_edge) as usize
    }
}

fn real_size(many: &ManyGraphs, plan: &BatchPlan) -> Result<Shape, CollateError> {
    if plan.edges != EdgeSelection::Stored {
        return Err(CollateError::Inconsistent(
            "a plan for many graphs takes each graph's own edges".into(),
        ));
    }
    let mut real = Shape::default();
    for &id in &plan.members {
        if id as usize >= many.n_graph() {
            return Err(CollateError::OutOfRange { what: "graph", id, len: many.n_graph() });
        }
        real = real.with(many.size(id as usize));
    }
    Ok(real)
}

fn copy_nodes(
    columns: &mut Columns<'_>,
    graphs: &Graphs,
    many: &ManyGraphs,
    at: &Place,
    width: usize,
) {
    let first = many.first_node(at.graph);
    let source = first..first + at.n_node as usize;
    columns.graph_of[at.nodes()].fill(at.slot);
    if let (Some(class), false) = (&graphs.node_class, columns.node_class.is_empty()) {
        columns.node_class[at.nodes()].copy_from_slice(&class.value[source.clone()]);
    }
    if let (Some(feature), false) = (&graphs.node_feature, columns.node_feature.is_empty()) {
        let rows = |nodes: std::ops::Range<usize>| nodes.start * width..nodes.end * width;
        columns.node_feature[rows(at.nodes())].copy_from_slice(&feature.value[rows(source)]);
    }
}

/// Every ordered pair of different nodes: receivers in the outer loop, senders in the inner one.
fn connect_all(columns: &mut Columns<'_>, graphs: &Graphs, many: &ManyGraphs, at: &Place) {
    let n = at.n_node as usize;
    let degree = n - 1;
    let first_edge = at.edge as usize;
    for i in 0..n {
        let row = first_edge + i * degree..first_edge + (i + 1) * degree;
        columns.receiver[row.clone()].fill(at.node + i as u32);
        columns.receiver_offset[at.node as usize + i] = row.start as u32;
        for (slot, j) in columns.sender[row].iter_mut().zip(others(n, i)) {
            *slot = at.node + j as u32;
        }
    }
    if !columns.sender_order.is_empty() {
        for j in 0..n {
            let row = first_edge + j * degree..first_edge + (j + 1) * degree;
            columns.sender_offset[at.node as usize + j] = row.start as u32;
            for (slot, i) in columns.sender_order[row].iter_mut().zip(others(n, j)) {
                // Sender j is the (j - 1)-th of a receiver that stands before it, else the j-th.
                *slot = (first_edge + i * degree + j - usize::from(j > i)) as u32;
            }
        }
    }
    let wanted = !columns.distance.is_empty() || !columns.displacement.is_empty();
    if let (Some(position), true) = (&graphs.position, wanted) {
        let first = many.first_node(at.graph);
        measure_all(columns, &position[first..first + n], first_edge);
    }
}

/// `0..n` without `i`.
fn others(n: usize, i: usize) -> impl Iterator<Item = usize> {
    (0..i).chain(i + 1..n)
}

fn measure_all(columns: &mut Columns<'_>, position: &[[f32; 3]], first_edge: usize) {
    let n = position.len();
    for (i, receiver) in position.iter().enumerate() {
        let start = first_edge + i * (n - 1);
        for (edge, j) in (start..).zip(others(n, i)) {
            let d = [0, 1, 2].map(|axis| receiver[axis] - position[j][axis]);
            if let Some(slot) = columns.distance.get_mut(edge) {
                *slot = (d[0] * d[0] + d[1] * d[1] + d[2] * d[2]).sqrt();
            }
            if let Some(slot) = columns.displacement.get_mut(3 * edge..3 * edge + 3) {
                slot.copy_from_slice(&d);
            }
        }
    }
}

fn copy_edges(columns: &mut Columns<'_>, stored: &StoredEdges, at: &Place) {
    let source = stored.offset[at.graph]..stored.offset[at.graph + 1];
    let shift = |to: &mut [u32], from: &[u32], by: u32| {
        for (to, from) in to.iter_mut().zip(from) {
            *to = from + by;
        }
    };
    shift(&mut columns.sender[at.edges()], &stored.sender[source.clone()], at.node);
    shift(&mut columns.receiver[at.edges()], &stored.receiver[source.clone()], at.node);
    let receivers = &stored.receiver[source.clone()];
    write_offsets(&mut columns.receiver_offset[at.nodes()], receivers.iter().copied(), at.edge);
    if !columns.sender_order.is_empty() {
        let order = &stored.sender_order[source.clone()];
        shift(&mut columns.sender_order[at.edges()], order, at.edge);
        let senders = order.iter().map(|&edge| stored.sender[source.start + edge as usize]);
        write_offsets(&mut columns.sender_offset[at.nodes()], senders, at.edge);
    }
    if !columns.distance.is_empty() {
        columns.distance[at.edges()].copy_from_slice(&stored.distance[source.clone()]);
    }
    if !columns.displacement.is_empty() {
        let rows = 3 * at.edges().start..3 * at.edges().end;
        columns.displacement[rows].copy_from_slice(stored.displacement[source].as_flattened());
    }
}

/// Where each node's run starts in an ascending sequence of nodes, counted from `first`.
fn write_offsets(offset: &mut [u32], sorted: impl Iterator<Item = u32>, first: u32) {
    let mut node = 0;
    let mut end = first;
    for (edge, value) in (first..).zip(sorted) {
        while node <= value as usize {
            offset[node] = edge;
            node += 1;
        }
        end = edge + 1;
    }
    offset[node..].fill(end);
}
