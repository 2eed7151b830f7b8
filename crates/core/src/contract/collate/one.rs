//! Batches of nodes of one large graph.

use std::cell::RefCell;

use super::{check_room, own, pad, write_output_weight};
use crate::CollateError;
use crate::contract::buffer::{BatchBuffer, Columns, Wanted};
use crate::contract::fields::BatchFields;
use crate::contract::graphs::{Graphs, Level, NodeFeature, OneGraph};
use crate::contract::plan::{BatchPlan, EdgeSelection, Shape};

pub(super) fn collate(
    graphs: &Graphs,
    one: &OneGraph,
    plan: &BatchPlan,
    needs: &BatchFields,
    buffer: &mut BatchBuffer,
) -> Result<(), CollateError> {
    check_members(one, plan)?;
    let n_edge = match plan.edges {
        EdgeSelection::Listed => plan.listed.receiver.len(),
        EdgeSelection::Induced => with_rows(one, &plan.members, |rows| rows.edges().count()),
        EdgeSelection::Stored => {
            return Err(CollateError::Inconsistent(
                "a plan for nodes takes induced or listed edges".into(),
            ));
        }
    };
    let count = |n: usize| {
        let too_many = || {
            format!(
                "a batch of {n} nodes, edges or outputs, more than 32 bits can count; use smaller batches"
            )
        };
        u32::try_from(n).map_err(|_| CollateError::Inconsistent(too_many()))
    };
    let real = Shape {
        n_node: count(plan.members.len())?,
        n_edge: count(n_edge)?,
        n_graph: 1,
        n_output: count(plan.output_row.len())?,
    };
    check_room(real, plan.shape)?;
    let width = graphs.node_feature.as_ref().map_or(0, NodeFeature::width);
    let sparse = graphs.sparse_feature(needs.node_feature && needs.sparse_feature);
    let n_entry = sparse.map(|feature| n_entry(feature, &plan.members)).transpose()?;
    let mut columns =
        buffer.prepare(Level::Nodes, plan.shape, real, Wanted { needs, graphs, width, n_entry })?;

    columns.n_node_of[0] = real.n_node;
    columns.n_edge_of[0] = real.n_edge;
    columns.graph_offset[0] = 0;
    copy_nodes(&mut columns, graphs, &plan.members, width);
    if let Some(feature) = sparse {
        copy_entries(&mut columns, feature, &plan.members);
    }
    match plan.edges {
        EdgeSelection::Listed => copy_listed(&mut columns, plan),
        _ => with_rows(one, &plan.members, |rows| copy_induced(&mut columns, &rows)),
    }
    index_edges(&mut columns, plan.members.len(), n_edge);
    own::of_one(&mut columns, graphs, one, plan, n_edge)?;
    copy_outputs(&mut columns, graphs, plan);
    write_output_weight(&mut columns, plan, plan.output_row.len())?;
    // A padding output refers to the first padding node, or to node 0 if there is no padding node.
    let spare = if plan.shape.n_node > real.n_node { real.n_node } else { 0 };
    columns.output_row[plan.output_row.len()..].fill(spare);
    columns.origin[plan.members.len()..].fill(u32::MAX);
    pad(&mut columns, real, plan.shape, width);
    Ok(())
}

fn check_members(one: &OneGraph, plan: &BatchPlan) -> Result<(), CollateError> {
    // Listed edges refer to rows, so a node can have several rows.
    if plan.edges != EdgeSelection::Listed && !plan.members.is_sorted_by(|a, b| a < b) {
        return Err(CollateError::Inconsistent(
            "nodes are named in ascending order, each once, unless edges are listed".into(),
        ));
    }
    if let Some(&id) = plan.members.iter().find(|&&id| id as usize >= one.n_node()) {
        return Err(CollateError::OutOfRange { what: "node", id, len: one.n_node() });
    }
    let len = plan.members.len();
    let listed = &plan.listed;
    let ends = listed.sender.iter().chain(&listed.receiver);
    if let Some(&id) = plan.output_row.iter().chain(ends).find(|&&row| row as usize >= len) {
        return Err(CollateError::OutOfRange { what: "row", id, len });
    }
    let weights_fit = listed.weight.is_empty() || listed.weight.len() == listed.sender.len();
    if listed.sender.len() != listed.receiver.len() || !weights_fit {
        return Err(CollateError::Inconsistent(
            "listed senders, receivers and weights differ in number".into(),
        ));
    }
    if !listed.receiver.is_sorted() {
        return Err(CollateError::Inconsistent("listed edges are sorted by receiver".into()));
    }
    Ok(())
}

/// Maps nodes of the graph to rows of a batch.
struct Rows<'a> {
    graph: &'a OneGraph,
    /// Nodes of the batch, in ascending order.
    members: &'a [u32],
    /// Candidate row for each node of the graph, valid only if that row holds the node: entries
    /// left by earlier batches are never cleared.
    row_of: &'a [u32],
}

thread_local! {
    /// Reused by later batches of the thread. It is as large as the graph, so it is not part of
    /// each kept batch.
    static ROW_OF: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}

fn with_rows<T>(graph: &OneGraph, members: &[u32], job: impl FnOnce(Rows<'_>) -> T) -> T {
    ROW_OF.with_borrow_mut(|row_of| {
        if row_of.len() < graph.n_node() {
            row_of.resize(graph.n_node(), 0);
        }
        for (row, &node) in (0..).zip(members) {
            row_of[node as usize] = row;
        }
        job(Rows { graph, members, row_of })
    })
}

impl Rows<'_> {
    fn of(&self, node: u32) -> Option<u32> {
        let row = self.row_of[node as usize];
        (self.members.get(row as usize) == Some(&node)).then_some(row)
    }

    /// Edges between members, by receiver: row of the sender, row of the receiver, edge index.
    fn edges(&self) -> impl Iterator<Item = (u32, u32, usize)> {
        (0..).zip(self.members).flat_map(move |(row, &node)| {
            let edges = self.graph.incoming(node);
            edges.filter_map(move |edge| Some((self.of(self.graph.sender[edge])?, row, edge)))
        })
    }
}

fn copy_nodes(columns: &mut Columns<'_>, graphs: &Graphs, members: &[u32], width: usize) {
    columns.graph_of[..members.len()].fill(0);
    columns.origin[..members.len()].copy_from_slice(members);
    if let (Some(class), false) = (&graphs.node_class, columns.node_class.is_empty()) {
        for (slot, &node) in columns.node_class.iter_mut().zip(members) {
            *slot = class.value[node as usize];
        }
    }
    if let (Some(feature), false) = (&graphs.node_feature, columns.node_feature.is_empty()) {
        for (row, &node) in columns.node_feature.chunks_exact_mut(width.max(1)).zip(members) {
            feature.copy_row(node as usize, row);
        }
    }
}

/// Number of compressed-row entries in a batch.
fn n_entry(feature: &NodeFeature, members: &[u32]) -> Result<usize, CollateError> {
    let n_entry = members.iter().map(|&node| feature.row(node as usize).len()).sum();
    if u32::try_from(n_entry).is_ok() {
        return Ok(n_entry);
    }
    Err(CollateError::Inconsistent(format!(
        "the nodes of a batch have {n_entry} features, more than 32 bits can count; use smaller \
         batches"
    )))
}

fn copy_entries(columns: &mut Columns<'_>, feature: &NodeFeature, members: &[u32]) {
    let NodeFeature::Sparse { column, value, .. } = feature else { return };
    let mut start = 0;
    for (slot, &node) in columns.feature_offset.iter_mut().zip(members) {
        *slot = start as u32;
        let row = feature.row(node as usize);
        let to = start..start + row.len();
        columns.feature_column[to.clone()].copy_from_slice(&column[row.clone()]);
        columns.feature_value[to.clone()].copy_from_slice(&value[row]);
        start = to.end;
    }
}

fn copy_listed(columns: &mut Columns<'_>, plan: &BatchPlan) {
    let n_edge = plan.listed.sender.len();
    columns.sender[..n_edge].copy_from_slice(&plan.listed.sender);
    columns.receiver[..n_edge].copy_from_slice(&plan.listed.receiver);
    if !columns.edge_weight.is_empty() {
        match plan.listed.weight.len() {
            0 => columns.edge_weight[..n_edge].fill(1.0),
            _ => columns.edge_weight[..n_edge].copy_from_slice(&plan.listed.weight),
        }
    }
}

fn copy_induced(columns: &mut Columns<'_>, rows: &Rows<'_>) {
    for (slot, (sender, receiver, edge)) in rows.edges().enumerate() {
        columns.sender[slot] = sender;
        columns.receiver[slot] = receiver;
        if let Some(weight) = columns.edge_weight.get_mut(slot) {
            *weight = rows.graph.edge_weight.get(edge).copied().unwrap_or(1.0);
        }
    }
}

/// Offsets by receiver, and order and offsets by sender, by counting sort.
fn index_edges(columns: &mut Columns<'_>, n_node: usize, n_edge: usize) {
    count_offsets(&mut columns.receiver_offset[..=n_node], &columns.receiver[..n_edge]);
    // Not `sender_order`, which is also empty if there are no edges.
    if columns.sender_offset.is_empty() {
        return;
    }
    let senders = &columns.sender[..n_edge];
    let offset = &mut columns.sender_offset[..=n_node];
    count_offsets(offset, senders);
    for (edge, &sender) in senders.iter().enumerate() {
        let place = &mut offset[sender as usize];
        columns.sender_order[*place as usize] = edge as u32;
        *place += 1;
    }
    // Filling advanced every start to the next one; shift them back.
    offset.rotate_right(1);
    offset[0] = 0;
}

fn count_offsets(offset: &mut [u32], nodes: &[u32]) {
    offset.fill(0);
    for &node in nodes {
        offset[node as usize + 1] += 1;
    }
    for node in 1..offset.len() {
        offset[node] += offset[node - 1];
    }
}

fn copy_outputs(columns: &mut Columns<'_>, graphs: &Graphs, plan: &BatchPlan) {
    for (slot, &row) in plan.output_row.iter().enumerate() {
        let node = plan.members[row as usize] as usize;
        columns.output_row[slot] = row;
        columns.output_target[slot] = graphs.target.as_ref().map_or(0.0, |t| t.training[node]);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::contract::graphs::Topology;

    /// A batch without edges overwrites what the previous batch left in the buffer.
    #[test]
    fn a_batch_without_edges_has_offsets_of_its_own() {
        let loops =
            OneGraph { offset: vec![0, 1, 2, 2], sender: vec![0, 1], edge_weight: Vec::new() };
        let graphs = Graphs::new("test", Topology::One(Arc::new(loops))).unwrap();
        let needs = BatchFields { sender_order: true, ..BatchFields::default() };
        let mut buffer = BatchBuffer::new();
        let mut offsets = |member: u32, n_edge: u32| {
            let mut plan = BatchPlan::default();
            plan.clear(Level::Nodes);
            plan.members = vec![member];
            plan.edges = EdgeSelection::Induced;
            plan.shape = Shape { n_node: 1, n_edge, n_graph: 1, n_output: 0 };
            crate::collate(&graphs, &plan, &needs, &mut buffer).unwrap();
            [buffer.batch().receiver_offset, buffer.batch().sender_offset].map(<[u32]>::to_vec)
        };
        assert_eq!(offsets(1, 1), [[0, 1], [0, 1]]);
        // The words now used by `sender_offset` previously held other fields.
        assert_eq!(offsets(2, 0), [[0, 0], [0, 0]]);
    }
}
