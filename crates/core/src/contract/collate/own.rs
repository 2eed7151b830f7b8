//! Custom fields: rows of bytes, copied without interpretation.

use std::ops::Range;

use crate::CollateError;
use crate::contract::buffer::{Columns, OwnColumn};
use crate::contract::graphs::{Edges, Graphs, ManyGraphs, OneGraph, OwnField, Per};
use crate::contract::plan::BatchPlan;

/// For whole graphs, whose rows are contiguous.
pub(super) fn of_many(
    columns: &mut Columns<'_>,
    graphs: &Graphs,
    many: &ManyGraphs,
    plan: &BatchPlan,
) {
    for own in columns.own() {
        let per = own.per;
        let rows = |graph: usize| match (per, many.edges()) {
            (Per::Node, _) => many.nodes(graph),
            (Per::Graph, _) => graph..graph + 1,
            (Per::Edge, Edges::Stored(stored)) => stored.offset[graph]..stored.offset[graph + 1],
            // `Graphs::check` rejects a store with such a field.
            (Per::Edge, Edges::FullyConnected | Edges::Counted(_)) => 0..0,
        };
        put(own, graphs, plan.members.iter().map(|&graph| rows(graph as usize)));
    }
}

/// For nodes of one graph. The edges of the batch are already written.
pub(super) fn of_one(
    columns: &mut Columns<'_>,
    graphs: &Graphs,
    one: &OneGraph,
    plan: &BatchPlan,
    n_edge: usize,
) -> Result<(), CollateError> {
    let row = |row: usize| row..row + 1;
    let mut edges = Vec::new();
    if columns.has_own(Per::Edge) {
        let node = |row: u32| plan.members[row as usize];
        let ends = columns.sender[..n_edge].iter().zip(&columns.receiver[..n_edge]);
        let of = ends.map(|(&sender, &receiver)| edge(one, node(sender), node(receiver)));
        edges = of.collect::<Result<_, _>>()?;
    }
    for own in columns.own() {
        match own.per {
            Per::Node => {
                put(own, graphs, plan.members.iter().map(|&node| row(node as usize)));
            }
            Per::Edge => put(own, graphs, edges.iter().map(|&edge| row(edge))),
            Per::Graph => put(own, graphs, std::iter::once(0..1)),
        }
    }
    Ok(())
}

/// Copies rows one after another and fills the rest (padding) with 0.
fn put(own: OwnColumn<'_>, graphs: &Graphs, rows: impl Iterator<Item = Range<usize>>) {
    let OwnColumn { index, bytes, .. } = own;
    let field: &OwnField = &graphs.own[index];
    let mut end = 0;
    for rows in rows {
        let from = field.rows(rows);
        bytes[end..end + from.len()].copy_from_slice(from);
        end += from.len();
    }
    bytes[end..].fill(0);
}

/// Index of an edge in the full graph.
fn edge(one: &OneGraph, sender: u32, receiver: u32) -> Result<usize, CollateError> {
    let incoming = one.incoming(receiver);
    match one.sender[incoming.clone()].binary_search(&sender) {
        Ok(place) => Ok(incoming.start + place),
        Err(_) => Err(CollateError::Inconsistent(format!(
            "the batch has an edge from node {sender} to node {receiver}, for which the data have no row of \
             fields, because the graph has no such edge"
        ))),
    }
}
