//! Reddit as published with GraphSAGE's data for DGL: a directory with `reddit_data.npz`
//! (`feature`, `label`, `node_types`: 1 training, 2 validation, 3 test) and `reddit_graph.npz`
//! (`SciPy`'s COO: `row`, `col`, `shape`).

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use batchlab_core::graphs::{FixedSplit, NodeFeature, OneGraph};
use batchlab_core::{DatasetError, MemoryBudget};
use batchlab_files::open_data;
use batchlab_npz::{Archive, NpzError, Problem};

use crate::split::{self, Fault};
use crate::tables::{FileFault, Tables, largest_class};

pub(crate) const DATA: &str = "reddit_data.npz";
const GRAPH: &str = "reddit_graph.npz";

type NpzFile = Archive<BufReader<File>>;

pub(crate) fn read(
    folder: &Path,
    max_byte: u64,
    memory: &MemoryBudget,
) -> Result<Tables, DatasetError> {
    let open = |name: &str| {
        let path = folder.join(name);
        let file =
            open_data(&path).map_err(|source| DatasetError::Io { path: path.clone(), source })?;
        Archive::open(&path, BufReader::new(file), max_byte, memory).map_err(DatasetError::other)
    };
    let mut graph = open(GRAPH)?;
    let (feature, label, split) = nodes(&mut open(DATA)?).map_err(DatasetError::other)?;
    let (one, n_repeated) = edges(&mut graph, label.len()).map_err(DatasetError::other)?;
    let parts = [&*split.train, &*split.validation, &*split.test];
    if let Err(fault) = split::check(parts, &label) {
        let message = match fault {
            Fault::Empty { part } => {
                format!(
                    "array \"node_types\": no node is {}, expected some of 1, 2 and 3",
                    part + 1
                )
            }
            Fault::Node { part, at, expected } => format!(
                "array \"node_types\": entry {} is {}, expected {expected}",
                parts[part][at],
                part + 1
            ),
        };
        return Err(FileFault::error(&folder.join(DATA), message));
    }
    let notes = vec![("repeated edges left out", n_repeated)];
    Ok(Tables { one, label, feature, split: Some(split), notes })
}

fn nodes(data: &mut NpzFile) -> Result<(NodeFeature, Vec<i64>, FixedSplit), NpzError> {
    let (value, width) = data.float_rows("feature")?;
    if width == 0 {
        let found = "(n, 0)".to_owned();
        let expected = "at least one feature for each node";
        return Err(data.fault("feature", Problem::Shape { found, expected }));
    }
    let n_node = value.len() / width;
    let mut per_node = |array, least, most| {
        let values = data.integers(array, least, most)?;
        if values.len() == n_node {
            return Ok(values);
        }
        let expected = format!("{n_node} (one per row of feature)");
        Err(data.fault(array, Problem::Length { got: values.len(), expected }))
    };
    let label = per_node("label", 0, largest_class(n_node))?;
    let part_of = per_node("node_types", 1, 3)?;
    let part = |part: i64| -> Vec<u32> {
        (0..n_node as u32).filter(|&node| part_of[node as usize] == part).collect()
    };
    let split = FixedSplit { train: part(1), validation: part(2), test: part(3) };
    Ok((NodeFeature::Dense { value, width }, label, split))
}

/// The graph, and the number of duplicate edges.
fn edges(graph: &mut NpzFile, n_node: usize) -> Result<(OneGraph, usize), NpzError> {
    let shape = graph.integers("shape", 0, i64::MAX)?;
    if let Some(at) = shape.iter().position(|&n| n != n_node as i64) {
        let expected = format!("{n_node}, the number of nodes in {DATA}");
        let value = shape[at].to_string();
        return Err(graph.fault("shape", Problem::Value { at, value, expected }));
    }
    let most = n_node as u32 - 1;
    let receiver = graph.counts("row", 0, most)?;
    let sender = graph.counts("col", 0, most)?;
    if sender.len() != receiver.len() {
        let expected = format!("{}, the length of row", receiver.len());
        return Err(graph.fault("col", Problem::Length { got: sender.len(), expected }));
    }
    let one = OneGraph::from_edges(n_node, &sender, &receiver);
    let n_repeated = sender.len() - one.sender.len();
    Ok((one, n_repeated))
}
