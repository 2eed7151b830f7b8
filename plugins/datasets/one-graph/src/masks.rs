//! An `.npz` file of the heterophilous graphs (Platonov et al. 2023, arXiv 2302.11640): `node_features`,
//! `node_labels`, `edges` (each undirected edge once), and ten splits as `train_masks`, `val_masks` and
//! `test_masks`.

use std::io::{Read, Seek};

use batchlab_core::graphs::{FixedSplit, NodeFeature, OneGraph};
use batchlab_npz::{Archive, NpzError, Problem};

use crate::split::{self, Fault};
use crate::tables::{Tables, largest_class};

/// Reads the split with number `which`.
pub(crate) fn read<R: Read + Seek>(
    file: &mut Archive<R>,
    which: usize,
) -> Result<Tables, NpzError> {
    let (value, width) = file.float_rows("node_features")?;
    if width == 0 {
        let found = "(n, 0)".to_owned();
        let expected = "at least one feature for each node";
        return Err(file.fault("node_features", Problem::Shape { found, expected }));
    }
    let n_node = value.len() / width;
    let mut label = file.integers("node_labels", i64::MIN, largest_class(n_node))?;
    if label.len() != n_node {
        let expected = format!("{n_node} (one per row of node_features)");
        return Err(file.fault("node_labels", Problem::Length { got: label.len(), expected }));
    }
    for label in &mut label {
        *label = (*label).max(-1);
    }
    let (edges, pair) = file.integer_rows("edges", 0, n_node as i64 - 1)?;
    if pair != 2 {
        let (found, expected) = (format!("(n, {pair})"), "rows of two nodes, `(n, 2)`");
        return Err(file.fault("edges", Problem::Shape { found, expected }));
    }
    let end = |at: usize| -> Vec<u32> {
        edges.iter().skip(at).step_by(2).map(|&node| index(node) as u32).collect()
    };
    let listed = OneGraph::from_edges(n_node, &end(0), &end(1));
    let n_repeated = edges.len() / 2 - listed.sender.len();
    let split = published(file, which, &label)?;
    Ok(Tables {
        one: listed.undirected(),
        label,
        feature: NodeFeature::Dense { value, width },
        split: Some(split),
        notes: vec![("repeated edges left out", n_repeated)],
    })
}

fn published<R: Read + Seek>(
    file: &mut Archive<R>,
    which: usize,
    label: &[i64],
) -> Result<FixedSplit, NpzError> {
    const NAMES: [&str; 3] = ["train_masks", "val_masks", "test_masks"];
    let mut part = |name: &'static str| -> Result<Vec<u32>, NpzError> {
        let (masks, width) = file.integer_rows(name, 0, 1)?;
        if width != label.len() {
            let found = format!("(n, {width})");
            let expected = "a row for each split, as long as there are nodes";
            return Err(file.fault(name, Problem::Shape { found, expected }));
        }
        let Some(mask) = masks.chunks_exact(width).nth(which) else {
            let got = masks.len() / width;
            let expected = format!("{} (dataset.split = {which}, counted from 0)", which + 1);
            return Err(file.fault(name, Problem::Length { got, expected }));
        };
        Ok((0..width as u32).filter(|&node| mask[node as usize] == 1).collect())
    };
    let [train, validation, test] = NAMES;
    let split =
        FixedSplit { train: part(train)?, validation: part(validation)?, test: part(test)? };
    let parts = [&*split.train, &*split.validation, &*split.test];
    match split::check(parts, label) {
        Ok(()) => Ok(split),
        Err(Fault::Empty { part }) => {
            let expected = "at least one node in each split".to_owned();
            Err(file.fault(NAMES[part], Problem::Length { got: 0, expected }))
        }
        Err(Fault::Node { part, at, expected }) => {
            let node = parts[part][at];
            let (value, expected) = (format!("1 for node {node}"), expected.to_owned());
            let at = which * label.len() + node as usize;
            Err(file.fault(NAMES[part], Problem::Value { at, value, expected }))
        }
    }
}

/// A number that was read with 0 as its least value.
#[allow(clippy::cast_sign_loss, reason = "checked when it was read")]
fn index(value: i64) -> usize {
    value as usize
}
