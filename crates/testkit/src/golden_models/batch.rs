//! The batch of a golden file, padded by `core`.

use batchlab_core::graphs::{
    Edges, GraphSize, Graphs, Level, ManyGraphs, NodeClass, StoredEdges, Target, Topology,
};
use batchlab_core::plan::{BatchPlan, Shape};
use batchlab_core::{BatchBuffer, BatchFields, collate};

use super::file::GoldenFile;
use super::text;

/// Builds graphs from the real part of the file's batch and lets `core` pad them; the result must
/// equal the file's batch, edge by edge.
pub(super) fn collate_file(
    file: &GoldenFile<'_>,
    needs: &BatchFields,
    buffer: &mut BatchBuffer,
) -> Result<(), String> {
    let n_node = real(file.counts("input.n_node")?);
    let n_edge = real(file.counts("input.n_edge")?);
    let senders = file.counts("input.senders")?;
    let class = file.counts("input.cls")?;

    let graphs = graphs(file, &n_node, &n_edge)?;
    let mut plan = BatchPlan::default();
    plan.clear(Level::Graphs);
    for (id, (&n_node, &n_edge)) in (0..).zip(n_node.iter().zip(&n_edge)) {
        plan.push_graph(GraphSize { id, n_node, n_edge });
    }
    let n_graph = n_node.len() as u32 + 1;
    plan.shape = Shape {
        n_node: class.len() as u32,
        n_edge: senders.len() as u32,
        n_graph,
        n_output: n_graph,
    };
    collate(&graphs, &plan, needs, buffer).map_err(text)?;

    let batch = buffer.batch();
    let distance = file.single_precision("input.distance")?;
    let displacement = file.single_precision("input.vec")?;
    let same = batch.sender == senders
        && batch.receiver == file.counts("input.receivers")?
        && batch.node_class == class
        && batch.n_node_of == file.counts("input.n_node")?
        && (!needs.distance || batch.distance == distance)
        && (!needs.displacement || batch.displacement == displacement);
    if same { Ok(()) } else { Err("the padded batch differs from the file's".into()) }
}

/// Drops the padding graph, which is the last one.
fn real(mut count: Vec<u32>) -> Vec<u32> {
    count.pop();
    count
}

fn graphs(file: &GoldenFile<'_>, n_node: &[u32], n_edge: &[u32]) -> Result<Graphs, String> {
    let real_edge = n_edge.iter().sum::<u32>() as usize;
    let real_node = n_node.iter().sum::<u32>() as usize;
    let mut first_node = Vec::new();
    let mut start = 0;
    for (&nodes, &edges) in n_node.iter().zip(n_edge) {
        first_node.extend(std::iter::repeat_n(start, edges as usize));
        start += nodes;
    }
    let within = |name: &str| -> Result<Vec<u32>, String> {
        let ends = file.counts(name)?;
        Ok(ends.iter().zip(&first_node).map(|(end, first)| end - first).collect())
    };
    let distance = file.single_precision("input.distance")?;
    let displacement = file.single_precision("input.vec")?;
    let (displacement, _) = displacement.as_chunks::<3>();
    let stored = StoredEdges::new(
        n_edge,
        &within("input.senders")?,
        &within("input.receivers")?,
        &distance[..real_edge],
        &displacement[..real_edge],
    )
    .map_err(text)?;
    let many = ManyGraphs::new(n_node, Edges::Stored(stored)).map_err(text)?;
    let mut graphs = Graphs::new("golden", Topology::Many(many)).map_err(text)?;
    let name = file.counts("input.classes")?.iter().map(ToString::to_string).collect();
    let value = file.counts("input.cls")?[..real_node].to_vec();
    graphs.node_class = Some(NodeClass { value, name });
    let target = file.numbers("input.target")?[..n_node.len()].to_vec();
    graphs.target = Some(Target::regression("golden", None, target));
    Ok(graphs)
}
