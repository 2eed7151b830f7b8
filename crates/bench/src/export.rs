//! Molecules, their order and our batches as `.npy` files, for the peers.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use batchlab_core::graphs::Topology;
use batchlab_core::{BatchContext, Graphs, Purpose};

use crate::source::{Fields, SEED, Source, Strategy};

/// Writes the molecules, and the order of the first `n_epoch` epochs one after the other.
pub fn molecules(graphs: &Graphs, n_epoch: u64, folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let Topology::Many(many) = &graphs.topology else { anyhow::bail!("these are not molecules") };
    let n_node: Vec<u32> = (0..many.n_graph()).map(|graph| many.size(graph).n_node).collect();
    write(folder, "n_node", &n_node)?;
    let ctx = BatchContext::new(Purpose::Training, SEED);
    let order: Vec<u32> =
        (0..n_epoch).flat_map(|epoch| ctx.permutation(epoch, many.n_graph())).collect();
    write(folder, "order", &order)?;
    if let Some(position) = &graphs.position {
        write(folder, "position", position.as_flattened())?;
    }
    if let Some(class) = &graphs.node_class {
        write(folder, "class", &class.value)?;
    }
    if let Some(target) = &graphs.target {
        write(folder, "target", &target.training)?;
    }
    Ok(())
}

/// Writes the first `n_batch` batches of a strategy: every field of all batches, one after the
/// other, and their padded shapes.
pub fn batches(
    graphs: &Graphs,
    strategy: Strategy,
    batch_size: u32,
    n_batch: u32,
    folder: &Path,
) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let mut source = Source::open(graphs, strategy, batch_size, Fields::Displacement)?;
    let mut words: [Vec<u32>; 10] = Default::default();
    let mut floats: [Vec<f32>; 4] = Default::default();
    for _ in 0..n_batch {
        source.prepare()?;
        let batch = source.buffer.batch();
        let (shape, real) = (batch.shape, batch.real);
        let sizes = [shape.n_node, shape.n_edge, shape.n_graph];
        let real = [real.n_node, real.n_edge, real.n_graph];
        let fields = [
            &sizes[..],
            &real,
            batch.n_node_of,
            batch.n_edge_of,
            batch.origin,
            batch.graph_of,
            batch.node_class,
            batch.sender,
            batch.receiver,
            batch.sender_order,
        ];
        words.iter_mut().zip(fields).for_each(|(all, field)| all.extend_from_slice(field));
        let fields = [batch.distance, batch.displacement, batch.output_target, batch.output_weight];
        floats.iter_mut().zip(fields).for_each(|(all, field)| all.extend_from_slice(field));
    }
    let names = [
        "shape",
        "real",
        "n_node",
        "n_edge",
        "origin",
        "graph_of",
        "class",
        "sender",
        "receiver",
        "sender_order",
    ];
    for (name, values) in names.iter().zip(&words) {
        write(folder, name, values)?;
    }
    let names = ["distance", "displacement", "target", "weight"];
    for (name, values) in names.iter().zip(&floats) {
        write(folder, name, values)?;
    }
    Ok(())
}

pub(crate) trait Described: bytemuck::NoUninit {
    const DESCRIPTION: &str;
}
impl Described for u32 {
    const DESCRIPTION: &str = "<u4";
}
impl Described for f32 {
    const DESCRIPTION: &str = "<f4";
}

/// A one-dimensional array in the format of `numpy.save`, version 1.0.
pub(crate) fn write<T: Described>(folder: &Path, name: &str, values: &[T]) -> anyhow::Result<()> {
    let header = format!(
        "{{'descr': '{}', 'fortran_order': False, 'shape': ({},), }}",
        T::DESCRIPTION,
        values.len()
    );
    // The header, with 10 bytes before it and a line break behind, is a multiple of 64 long.
    let length = (10 + header.len() + 1).next_multiple_of(64) - 10;
    let path = folder.join(format!("{name}.npy"));
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((length as u16).to_le_bytes());
    writeln!(bytes, "{header:<width$}", width = length - 1)?;
    bytes.extend_from_slice(bytemuck::cast_slice(values));
    fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))
}
