//! Batches of whole graphs.

use super::{check_room, complete, own, pad, write_output_weight};
use crate::CollateError;
use crate::contract::buffer::{BatchBuffer, Columns, Wanted};
use crate::contract::fields::BatchFields;
use crate::contract::graphs::{
    Edges, GraphSize, Graphs, Level, ManyGraphs, NodeFeature, StoredEdges,
};
use crate::contract::plan::{BatchPlan, EdgeSelection, Shape};

pub(super) fn collate(
    graphs: &Graphs,
    many: &ManyGraphs,
    plan: &BatchPlan,
    needs: &BatchFields,
    buffer: &mut BatchBuffer,
) -> Result<(), CollateError> {
    let real = real_size(many, plan)?;
    check_room(real, plan.shape)?;
    let width = graphs.node_feature.as_ref().map_or(0, NodeFeature::width);
    let mut columns = buffer.prepare(
        Level::Graphs,
        plan.shape,
        real,
        Wanted { needs, graphs, width, n_entry: None },
    )?;

    // All look-ups by graph first: in a store larger than the CPU caches, the cache misses of one
    // graph then overlap with those of the next.
    for at in places(many, &plan.members) {
        copy_graph(&mut columns, graphs, &at);
        copy_nodes(&mut columns, graphs, many, &at, width);
    }
    match many.edges() {
        Edges::FullyConnected => {
            look_up_positions(&mut columns, graphs, many, plan);
            for at in places(many, &plan.members) {
                let PlacedGraph { node, n_node, edge, .. } = at;
                let [node, n_node, edge] = [node, n_node, edge].map(|n| n as usize);
                complete::connect(&mut columns, complete::GraphStart { node, n_node, edge });
            }
        }
        Edges::Stored(stored) => {
            for at in places(many, &plan.members) {
                copy_edges(&mut columns, many, stored, &at);
            }
        }
        Edges::Counted(_) => {
            return Err(CollateError::Missing(
                "edges, only their numbers; it can be planned but not trained on".to_owned(),
            ));
        }
    }
    own::of_many(&mut columns, graphs, many, plan);
    write_output_weight(&mut columns, plan, plan.members.len())?;
    columns.origin[plan.members.len()..].fill(u32::MAX);
    // Each graph is an output: a padding output refers to its padding graph, or to the last graph
    // if there are more outputs than graphs.
    let last_graph = plan.shape.n_graph.saturating_sub(1);
    for (row, slot) in columns.output_row.iter_mut().enumerate().skip(plan.members.len()) {
        *slot = (row as u32).min(last_graph);
    }
    pad(&mut columns, real, plan.shape, width);
    Ok(())
}

/// The first node and edge of each member in the batch; members are contiguous.
fn places<'a>(many: &'a ManyGraphs, members: &'a [u32]) -> impl Iterator<Item = PlacedGraph> + 'a {
    let (mut node, mut edge) = (0, 0);
    (0..).zip(members).map(move |(slot, &id)| {
        let GraphSize { n_node, n_edge, .. } = many.size(id as usize);
        let place = PlacedGraph { graph: id as usize, slot, node, edge, n_node, n_edge };
        node += n_node;
        edge += n_edge;
        place
    })
}

struct PlacedGraph {
    graph: usize,
    slot: u32,
    node: u32,
    edge: u32,
    n_node: u32,
    n_edge: u32,
}

impl PlacedGraph {
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
    if real.n_node == u32::MAX || real.n_edge == u32::MAX {
        return Err(CollateError::Inconsistent(
            "a batch of more nodes or edges than 32 bits can count; use a smaller batch_size"
                .into(),
        ));
    }
    Ok(real)
}

fn copy_graph(columns: &mut Columns<'_>, graphs: &Graphs, at: &PlacedGraph) {
    let slot = at.slot as usize;
    columns.n_node_of[slot] = at.n_node;
    columns.n_edge_of[slot] = at.n_edge;
    columns.graph_offset[slot] = at.node;
    columns.origin[slot] = at.graph as u32;
    columns.output_row[slot] = at.slot;
    columns.output_target[slot] = graphs.target.as_ref().map_or(0.0, |t| t.training[at.graph]);
}

fn copy_nodes(
    columns: &mut Columns<'_>,
    graphs: &Graphs,
    many: &ManyGraphs,
    at: &PlacedGraph,
    width: usize,
) {
    let first = many.first_node(at.graph);
    let source = first..first + at.n_node as usize;
    columns.graph_of[at.nodes()].fill(at.slot);
    if let (Some(class), false) = (&graphs.node_class, columns.node_class.is_empty()) {
        columns.node_class[at.nodes()].copy_from_slice(&class.value[source.clone()]);
    }
    if let (Some(feature), false) = (&graphs.node_feature, columns.node_feature.is_empty()) {
        let to = at.nodes().start * width..at.nodes().end * width;
        let to = &mut columns.node_feature[to];
        match feature {
            NodeFeature::Dense { value, .. } => {
                to.copy_from_slice(&value[source.start * width..source.end * width]);
            }
            NodeFeature::Sparse { .. } => {
                for (row, node) in to.chunks_exact_mut(width).zip(source) {
                    feature.copy_row(node, row);
                }
            }
        }
    }
}

/// Copies the positions of all members into scratch memory, plus a margin of one chunk. Graph by
/// graph, so that cache misses in a large store overlap.
fn look_up_positions(
    columns: &mut Columns<'_>,
    graphs: &Graphs,
    many: &ManyGraphs,
    plan: &BatchPlan,
) {
    let wanted = !columns.distance.is_empty() || !columns.displacement.is_empty();
    let (Some(position), true) = (&graphs.position, wanted) else { return };
    let scratch = &mut *columns.scratch;
    scratch.clear(plan.shape.n_node as usize + complete::WIDE);
    for &id in &plan.members {
        let first = many.first_node(id as usize);
        let n_node = many.size(id as usize).n_node as usize;
        scratch.position.extend_from_slice(&position[first..first + n_node]);
    }
    scratch.position.extend([[0.0; 3]; complete::WIDE]);
    for (axis, values) in scratch.axis.iter_mut().enumerate() {
        values.extend(scratch.position.iter().map(|row| row[axis]));
    }
}

fn copy_edges(
    columns: &mut Columns<'_>,
    many: &ManyGraphs,
    stored: &StoredEdges,
    at: &PlacedGraph,
) {
    let source = stored.offset[at.graph]..stored.offset[at.graph + 1];
    let shift = |to: &mut [u32], from: &[u32], by: u32| {
        for (to, from) in to.iter_mut().zip(from) {
            *to = from + by;
        }
    };
    shift(&mut columns.sender[at.edges()], &stored.sender[source.clone()], at.node);
    shift(&mut columns.receiver[at.edges()], &stored.receiver[source.clone()], at.node);
    let (receiver_start, sender_start) = many.starts(at.graph);
    shift(&mut columns.receiver_offset[at.nodes()], receiver_start, at.edge);
    // A batch without edges still has offsets.
    if !columns.sender_offset.is_empty() {
        shift(&mut columns.sender_order[at.edges()], &stored.sender_order[source.clone()], at.edge);
        shift(&mut columns.sender_offset[at.nodes()], sender_start, at.edge);
    }
    if !columns.distance.is_empty() {
        columns.distance[at.edges()].copy_from_slice(&stored.distance[source.clone()]);
    }
    if !columns.displacement.is_empty() {
        let rows = 3 * at.edges().start..3 * at.edges().end;
        columns.displacement[rows].copy_from_slice(stored.displacement[source].as_flattened());
    }
}
