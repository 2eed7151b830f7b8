//! An `.npz` file of the heterophilous graphs (Platonov et al. 2023, arXiv 2302.11640):
//! `node_features`, `node_labels`, `edges` (each undirected edge once), and ten splits as
//! `train_masks`, `val_masks` and `test_masks`.

use std::io::{Read, Seek};

use batchlab_core::graphs::{FixedSplit, NodeFeature, OneGraph};
use batchlab_npz::{Archive, NpzError, Problem};

use crate::split::{self, Fault};
use crate::tables::{Tables, largest_class};

/// Reads the split with index `which`.
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

/// Common names of the masks of training, validation and test nodes.
const NAMES: [[&str; 3]; 3] = [
    ["train_masks", "val_masks", "test_masks"],
    ["train_mask", "val_mask", "test_mask"],
    ["train_mask", "valid_mask", "test_mask"],
];

/// Whether a file has a split as masks.
pub(crate) fn has_any<R: Read + Seek>(file: &Archive<R>) -> bool {
    NAMES.as_flattened().iter().any(|name| file.has(name))
}

/// The split with index `which`: masks have one row per split, or one column per split (as in
/// `PyTorch` Geometric), or there is a single one.
pub(crate) fn published<R: Read + Seek>(
    file: &mut Archive<R>,
    which: usize,
    label: &[i64],
) -> Result<FixedSplit, NpzError> {
    let n_node = label.len();
    let whole = NAMES.iter().find(|names| names.iter().all(|name| file.has(name)));
    let part_of = NAMES.iter().find(|names| names.iter().any(|name| file.has(name)));
    let names = *whole.or(part_of).unwrap_or(&NAMES[0]);
    let mut part = |name: &'static str| -> Result<Vec<u32>, NpzError> {
        let (masks, width) = {
            let (masks, width) = file.table(name)?;
            (file.whole(name, masks, 0, 1)?, width)
        };
        let n_row = masks.len() / width.max(1);
        let (n_mask, start, step) = if width == n_node {
            (n_row, which * width, 1)
        } else if n_row == n_node {
            (width, which, width)
        } else {
            let found = format!("({n_row}, {width})");
            let expected = "a row for each split, as long as there are nodes";
            return Err(file.fault(name, Problem::Shape { found, expected }));
        };
        if which >= n_mask {
            let expected = format!("{} (dataset.split = {which}, counted from 0)", which + 1);
            return Err(file.fault(name, Problem::Length { got: n_mask, expected }));
        }
        let mask = masks[start..].iter().step_by(step).take(n_node);
        Ok((0..).zip(mask).filter(|&(_, &flag)| flag == 1).map(|(node, _)| node).collect())
    };
    let [train, validation, test] = names;
    let split =
        FixedSplit { train: part(train)?, validation: part(validation)?, test: part(test)? };
    let parts = [&*split.train, &*split.validation, &*split.test];
    match split::check(parts, label) {
        Ok(()) => Ok(split),
        Err(Fault::Empty { part }) => {
            let expected = "at least one node in each split".to_owned();
            Err(file.fault(names[part], Problem::Length { got: 0, expected }))
        }
        Err(Fault::Node { part, at, expected }) => {
            let node = parts[part][at];
            let (value, expected) = (format!("1 for node {node}"), expected.to_owned());
            let at = which * n_node + node as usize;
            Err(file.fault(names[part], Problem::Value { at, value, expected }))
        }
    }
}

/// Converts a number that was read with 0 as its minimum.
#[allow(clippy::cast_sign_loss, reason = "checked when it was read")]
fn index(value: i64) -> usize {
    value as usize
}
