//! Batches and parameters as safetensors files.

use std::path::Path;

use anyhow::Context as _;
use batchlab_core::PaddedBatch;
use batchlab_core::model::NamedTensor;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, serialize_to_file};

/// Prefix of the names of parameters, as in a trainer's state.
pub const PARAMETER: &str = "parameter.";
/// Prefix of the names of their gradients.
pub const GRADIENT: &str = "gradient.";

/// Writes what a model reads, and the targets with their weights. Indices have 32 bits; they are
/// never negative, so that they are the same with a sign and without.
pub fn write_batch(batch: &PaddedBatch<'_>, path: &Path) -> anyhow::Result<()> {
    let (n_node, n_edge) = (batch.shape.n_node as usize, batch.shape.n_edge as usize);
    let n_graph = batch.shape.n_graph as usize;
    let index = |name, values: &'_ [u32]| (name, Dtype::I32, vec![values.len()], bytes(values));
    let number = |name, shape: Vec<usize>, values: &'_ [f32]| {
        (name, Dtype::F32, shape, bytemuck::cast_slice::<f32, u8>(values).to_vec())
    };
    let fields = [
        index("n_node", batch.n_node_of),
        index("n_edge", batch.n_edge_of),
        index("graph_of", batch.graph_of),
        index("node_class", batch.node_class),
        index("sender", batch.sender),
        index("receiver", batch.receiver),
        number("distance", vec![n_edge], batch.distance),
        number("displacement", vec![n_edge, 3], batch.displacement),
        number("target", vec![n_graph], batch.output_target),
        number("weight", vec![n_graph], batch.output_weight),
    ];
    debug_assert_eq!(batch.graph_of.len(), n_node);
    let views = fields
        .iter()
        .map(|(name, dtype, shape, data)| {
            Ok((*name, TensorView::new(*dtype, shape.clone(), data)?))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    serialize_to_file(views, None, path).with_context(|| format!("writing {}", path.display()))
}

/// Writes named tensors of single precision.
pub fn write(tensors: &[NamedTensor], path: &Path) -> anyhow::Result<()> {
    let views = tensors
        .iter()
        .map(|NamedTensor { name, shape, data }| {
            let data = bytemuck::cast_slice::<f32, u8>(data);
            Ok((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), data)?))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    serialize_to_file(views, None, path).with_context(|| format!("writing {}", path.display()))
}

fn bytes(values: &[u32]) -> Vec<u8> {
    bytemuck::cast_slice::<u32, u8>(values).to_vec()
}
