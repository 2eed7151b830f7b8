//! The layout of large data sets such as ogbn-papers100M: `data.npz` with `num_nodes_list`,
//! `num_edges_list`, `edge_index` `[2, n_edge]` and `node_feat`, and `node-label.npz` with
//! `node_label`.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use batchlab_core::graphs::NodeFeature;
use batchlab_core::{DatasetError, MemoryBudget};
use batchlab_files::open_data;
use batchlab_npz::{Archive, NpzError, Problem, Values};

use super::Raw;
use crate::tables::largest_class;

pub(super) const DATA: &str = "data.npz";
const LABEL: &str = "node-label.npz";

type NpzFile = Archive<BufReader<File>>;

pub(super) fn read(raw: &Path, max_byte: u64, memory: &MemoryBudget) -> Result<Raw, DatasetError> {
    let open = |name: &str| {
        let path = raw.join(name);
        let file =
            open_data(&path).map_err(|source| DatasetError::Io { path: path.clone(), source })?;
        Archive::open(&path, BufReader::new(file), max_byte, memory).map_err(DatasetError::other)
    };
    let mut data = open(DATA)?;
    let n_node = count(&mut data, "num_nodes_list").map_err(DatasetError::other)?;
    let label = labels(&mut open(LABEL)?, n_node).map_err(DatasetError::other)?;
    let feature = features(&mut data, n_node).map_err(DatasetError::other)?;
    let (sender, receiver) = edges(&mut data, n_node).map_err(DatasetError::other)?;
    Ok((sender, receiver, label, feature))
}

/// A list of one number: data sets of several graphs are not supported.
fn count(data: &mut NpzFile, array: &'static str) -> Result<usize, NpzError> {
    match data.counts(array, 1, i32::MAX as u32)?[..] {
        [n] => Ok(n as usize),
        ref counts => {
            let expected = "1: data sets of several graphs are not read".to_owned();
            Err(data.fault(array, Problem::Length { got: counts.len(), expected }))
        }
    }
}

/// Class labels; in a file of floats, NaN marks missing ones.
fn labels(file: &mut NpzFile, n_node: usize) -> Result<Vec<i64>, NpzError> {
    let (values, _) = file.table("node_label")?;
    let label = match values {
        Values::Integer(values) => values,
        Values::Float(values) => {
            let class = |value: f64| if value.is_nan() { -1 } else { value as i64 };
            if let Some(at) = values.iter().position(|x| !x.is_nan() && x.fract() != 0.0) {
                let (value, expected) = (values[at].to_string(), "a class or NaN".to_owned());
                return Err(file.fault("node_label", Problem::Value { at, value, expected }));
            }
            values.into_iter().map(class).collect()
        }
    };
    if label.len() != n_node {
        let expected = format!("{n_node}, as num_nodes_list says");
        return Err(file.fault("node_label", Problem::Length { got: label.len(), expected }));
    }
    file.whole("node_label", Values::Integer(label), -1, largest_class(n_node))
}

fn features(data: &mut NpzFile, n_node: usize) -> Result<NodeFeature, NpzError> {
    let (value, width) = data.float_rows("node_feat")?;
    if width == 0 || value.len() / width != n_node {
        let found = format!("({}, {width})", value.len() / width.max(1));
        let expected = "a row of features for each of num_nodes_list";
        return Err(data.fault("node_feat", Problem::Shape { found, expected }));
    }
    Ok(NodeFeature::Dense { value, width })
}

fn edges(data: &mut NpzFile, n_node: usize) -> Result<(Vec<u32>, Vec<u32>), NpzError> {
    let n_edge = count(data, "num_edges_list")?;
    let (ends, width) = data.integer_rows("edge_index", 0, n_node as i64 - 1)?;
    if width != n_edge || ends.len() != 2 * n_edge {
        let found = format!("({}, {width})", ends.len() / width.max(1));
        let expected = "senders and receivers, `(2, n)`, as many as num_edges_list says";
        return Err(data.fault("edge_index", Problem::Shape { found, expected }));
    }
    data.take("edge_index", 8 * n_edge as u64, "its edges")?;
    #[allow(clippy::cast_sign_loss, reason = "checked to be at least 0")]
    let nodes = |ends: &[i64]| ends.iter().map(|&node| node as u32).collect();
    Ok((nodes(&ends[..n_edge]), nodes(&ends[n_edge..])))
}
