//! The node batch of a golden file, padded by `core`.

use std::sync::Arc;

use batchlab_core::graphs::{Graphs, Level, NodeFeature, OneGraph, Target, Topology};
use batchlab_core::plan::{BatchPlan, EdgeSelection, Shape};
use batchlab_core::{BatchBuffer, BatchFields, collate};

use super::file::GoldenFile;
use super::text;

/// Features per node.
pub(super) fn feature_width(file: &GoldenFile<'_>) -> Result<usize, String> {
    let shape = file.counts("input.feat_shape")?;
    shape.get(1).map(|&width| width as usize).ok_or_else(|| "feat_shape has two numbers".into())
}

/// Uses the file's nodes as a separate graph; the padded batch contains the file's edges, in order,
/// followed by padding edges.
pub(super) fn collate_file(
    file: &GoldenFile<'_>,
    needs: &BatchFields,
    buffer: &mut BatchBuffer,
) -> Result<(), String> {
    let n_node = file.shape("input.origin")?[0];
    let senders = file.counts("input.senders")?;
    let receivers = file.counts("input.receivers")?;
    let mut offset = vec![0; n_node + 1];
    for &receiver in &receivers {
        offset[receiver as usize + 1] += 1;
    }
    for node in 0..n_node {
        offset[node + 1] += offset[node];
    }
    let one = OneGraph {
        offset,
        sender: senders.clone(),
        edge_weight: file.single_precision("input.edge_weight")?,
    };
    let mut graphs = Graphs::new("golden", Topology::One(Arc::new(one))).map_err(text)?;
    graphs.node_feature = Some(NodeFeature::Sparse {
        offset: file.counts("input.feat_indptr")?.into_iter().map(|at| at as usize).collect(),
        column: file.counts("input.feat_indices")?,
        value: file.single_precision("input.feat_data")?,
        width: feature_width(file)?,
    });
    let n_class = *file.shape("output.prediction")?.last().ok_or("a prediction is a matrix")?;
    let names = (0..n_class).map(|class| class.to_string()).collect();
    graphs.target = Some(Target::classes("class", names, file.numbers("input.label")?));
    graphs.check().map_err(text)?;

    let mut plan = BatchPlan::default();
    plan.clear(Level::Nodes);
    plan.members = (0..n_node as u32).collect();
    plan.output_row = file.counts("input.output_row")?;
    plan.edges = EdgeSelection::Induced;
    plan.shape = Shape {
        n_node: n_node as u32 + 70,
        n_edge: senders.len() as u32 + 300,
        n_graph: 2,
        n_output: plan.output_row.len() as u32 + 9,
    };
    collate(&graphs, &plan, needs, buffer).map_err(text)?;
    let batch = buffer.batch();
    let n_edge = senders.len();
    if batch.sender[..n_edge] == senders && batch.receiver[..n_edge] == receivers {
        return Ok(());
    }
    Err("the batch's edges differ from the file's".into())
}
