//! An `.npz` file with graph and features in compressed sparse rows: `indptr` and `indices`,
//! `labels`, `feat_*`, and the split as lists of nodes or as masks.

use std::io::{Read, Seek};

use batchlab_core::graphs::{FixedSplit, NodeFeature, OneGraph};

use batchlab_npz::{Archive, NpzError, Problem};

use crate::masks;
use crate::split::{self, Fault};
use crate::tables::{Tables, largest_class, of_rows, rows_bytes};

/// Node and edge indices have 32 bits, with some room for padding.
const MAX_INDEX: i64 = i32::MAX as i64;

/// A model's first layer is as wide as its features, so a wrong width could request any amount of
/// memory. Bags of words have about one non-zero value in a hundred.
const SPARSEST: usize = 10_000;

/// Reads the split with index `which`; also returns whether there may be several.
pub(crate) fn read<R: Read + Seek>(
    file: &mut Archive<R>,
    which: usize,
    needs_target: bool,
) -> Result<(Tables, bool), NpzError> {
    let one = graph(file)?;
    let has_labels = needs_target || file.has("labels");
    let label = if has_labels { labels(file, one.n_node())? } else { vec![-1; one.n_node()] };
    let feature = features(file, one.n_node())?;
    let has_masks = !LISTS.iter().any(|name| file.has(name)) && masks::has_any(file);
    let split = if !has_labels {
        // Members of a split must have a class.
        None
    } else if has_masks {
        Some(masks::published(file, which, &label)?)
    } else {
        published(file, &label)?
    };
    Ok((Tables { one, label, feature, split, notes: Vec::new() }, has_masks))
}

/// The graph, with or without self-loops as in the file: row `i` lists the senders of node `i`.
fn graph<R: Read + Seek>(file: &mut Archive<R>) -> Result<OneGraph, NpzError> {
    let offset = offsets(file, "indptr")?;
    let n_node = offset.len() - 1;
    let mut sender = columns(file, "indices", n_node)?;
    check_end(file, "indptr", &offset, "indices", sender.len())?;
    for bounds in offset.windows(2) {
        let row = &mut sender[bounds[0]..bounds[1]];
        row.sort_unstable();
        if let Some(twice) = row.windows(2).position(|pair| pair[0] == pair[1]) {
            let at = bounds[0] + twice;
            let value = row[twice].to_string();
            let expected = "each neighbour once in its row".to_owned();
            return Err(file.fault("indices", Problem::Value { at, value, expected }));
        }
    }
    Ok(OneGraph { offset, sender, edge_weight: Vec::new() })
}

/// Class of each node, `[n_node]`; -1 for unlabelled nodes.
fn labels<R: Read + Seek>(file: &mut Archive<R>, n_node: usize) -> Result<Vec<i64>, NpzError> {
    let mut labels = file.integers("labels", i64::MIN, largest_class(n_node))?;
    expect_length(file, "labels", labels.len(), n_node, "one per node")?;
    for label in &mut labels {
        *label = (*label).max(-1);
    }
    Ok(labels)
}

/// The node features.
fn features<R: Read + Seek>(file: &mut Archive<R>, n_node: usize) -> Result<NodeFeature, NpzError> {
    let shape = file.integers("feat_shape", 0, MAX_INDEX)?;
    expect_length(file, "feat_shape", shape.len(), 2, "rows and columns")?;
    let (n_row, width) = (index(shape[0]), index(shape[1]));
    let wrong = |at: usize, expected: String| {
        let value = shape[at].to_string();
        Problem::Value { at, value, expected }
    };
    if n_row != n_node {
        let expected = format!("{n_node}, the number of nodes");
        return Err(file.fault("feat_shape", wrong(0, expected)));
    }
    if width == 0 {
        let expected = "at least one feature for each node".to_owned();
        return Err(file.fault("feat_shape", wrong(1, expected)));
    }
    let offset = offsets(file, "feat_indptr")?;
    expect_length(file, "feat_indptr", offset.len(), n_node + 1, "one more than nodes")?;
    let column = columns(file, "feat_indices", width)?;
    check_end(file, "feat_indptr", &offset, "feat_indices", column.len())?;
    let data = file.floats("feat_data")?;
    expect_length(file, "feat_data", data.len(), column.len(), "as many as feat_indices")?;

    let most = SPARSEST.saturating_mul(data.len().max(1 << 10)) / n_node.max(1);
    if width > most {
        let expected = format!(
            "at most {most} columns: with more, fewer than one in {SPARSEST} values would not be 0"
        );
        return Err(file.fault("feat_shape", wrong(1, expected)));
    }
    let n_byte = rows_bytes(n_node, data.len(), width);
    file.take("feat_data", n_byte, "its features")?;
    Ok(of_rows(&offset, &column, &data, width))
}

const LISTS: [&str; 3] = ["train_idx", "val_idx", "test_idx"];

/// The published split; `None` if the file has none.
fn published<R: Read + Seek>(
    file: &mut Archive<R>,
    label: &[i64],
) -> Result<Option<FixedSplit>, NpzError> {
    if !LISTS.iter().any(|name| file.has(name)) {
        return Ok(None);
    }
    let [train, validation, test] = LISTS;
    let split = FixedSplit {
        train: columns(file, train, label.len())?,
        validation: columns(file, validation, label.len())?,
        test: columns(file, test, label.len())?,
    };
    let parts = [&*split.train, &*split.validation, &*split.test];
    match split::check(parts, label) {
        Ok(()) => Ok(Some(split)),
        Err(Fault::Empty { part }) => {
            let expected = split::NOT_EMPTY.to_owned();
            Err(file.fault(LISTS[part], Problem::Length { got: 0, expected }))
        }
        Err(Fault::Node { part, at, expected }) => {
            let (value, expected) = (parts[part][at].to_string(), expected.to_owned());
            Err(file.fault(LISTS[part], Problem::Value { at, value, expected }))
        }
    }
}

/// Start of each row, and the number of entries: ascending from 0.
fn offsets<R: Read + Seek>(
    file: &mut Archive<R>,
    array: &'static str,
) -> Result<Vec<usize>, NpzError> {
    let offset = file.integers(array, 0, MAX_INDEX)?;
    if offset.len() < 2 {
        let expected = "one more than nodes, so at least 2".to_owned();
        return Err(file.fault(array, Problem::Length { got: offset.len(), expected }));
    }
    let wrong = |at: usize, expected: String| Problem::Value {
        at,
        value: offset[at].to_string(),
        expected,
    };
    if offset[0] != 0 {
        return Err(file.fault(array, wrong(0, "0".into())));
    }
    if let Some(at) = offset.windows(2).position(|pair| pair[1] < pair[0]) {
        let expected = format!("at least {}, the entry before", offset[at]);
        return Err(file.fault(array, wrong(at + 1, expected)));
    }
    Ok(offset.into_iter().map(index).collect())
}

/// The last row must end where the entries do.
fn check_end<R: Read + Seek>(
    file: &Archive<R>,
    array: &'static str,
    offset: &[usize],
    entries: &'static str,
    n_entry: usize,
) -> Result<(), NpzError> {
    let at = offset.len() - 1;
    if offset[at] == n_entry {
        return Ok(());
    }
    let expected = format!("{n_entry}, the length of {entries}");
    Err(file.fault(array, Problem::Value { at, value: offset[at].to_string(), expected }))
}

fn columns<R: Read + Seek>(
    file: &mut Archive<R>,
    array: &'static str,
    n: usize,
) -> Result<Vec<u32>, NpzError> {
    if n == 0 {
        // The range from 0 to -1 is empty.
        let values = file.integers(array, 0, -1)?;
        return Ok(values.into_iter().map(|value| index(value) as u32).collect());
    }
    file.counts(array, 0, u32::try_from(n - 1).unwrap_or(u32::MAX))
}

/// Converts a number that was read with 0 as its minimum.
#[allow(clippy::cast_sign_loss, reason = "checked when it was read")]
fn index(value: i64) -> usize {
    value as usize
}

fn expect_length<R: Read + Seek>(
    file: &Archive<R>,
    array: &'static str,
    got: usize,
    expected: usize,
    why: &str,
) -> Result<(), NpzError> {
    if got == expected {
        return Ok(());
    }
    Err(file.fault(array, Problem::Length { got, expected: format!("{expected} ({why})") }))
}
