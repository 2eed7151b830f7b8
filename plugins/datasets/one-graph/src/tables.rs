//! The common result of all file formats.

use std::path::{Path, PathBuf};

use batchlab_core::DatasetError;
use batchlab_core::graphs::{FixedSplit, NodeFeature, OneGraph};

/// The parts of a data set, checked against each other.
pub(crate) struct Tables {
    pub(crate) one: OneGraph,
    /// Class of each node, `[n_node]`; -1 for unlabelled nodes.
    pub(crate) label: Vec<i64>,
    pub(crate) feature: NodeFeature,
    pub(crate) split: Option<FixedSplit>,
    /// Counts for the user.
    pub(crate) notes: Vec<(&'static str, usize)>,
}

/// With more classes than this, it is probably a regression target.
const MAX_CLASS: i64 = 1 << 20;

/// Maximum class index. A graph without labels for most of its classes is also an error.
pub(crate) fn largest_class(n_node: usize) -> i64 {
    (n_node as i64).min(MAX_CLASS) - 1
}

/// A problem of a file, or of a directory as a whole.
#[derive(Debug, thiserror::Error)]
#[error("{}: {message}", path.display())]
pub(crate) struct FileFault {
    path: PathBuf,
    message: String,
}

impl FileFault {
    pub(crate) fn error(path: &Path, message: impl Into<String>) -> DatasetError {
        DatasetError::other(Self { path: path.to_owned(), message: message.into() })
    }
}

/// Whether compressed rows of features are stored densely: if sparse storage would not save memory.
fn is_dense(n_node: usize, n_entry: usize, width: usize) -> bool {
    n_entry.saturating_mul(8) >= n_node.saturating_mul(width)
}

/// Bytes allocated by [`of_rows`].
pub(crate) fn rows_bytes(n_node: usize, n_entry: usize, width: usize) -> u64 {
    let n_byte = if is_dense(n_node, n_entry, width) {
        n_node.saturating_mul(width).saturating_mul(4)
    } else {
        n_entry.saturating_mul(16).saturating_add(n_node.saturating_mul(16))
    };
    n_byte as u64
}

/// The features of compressed rows, kept sparse, or stored densely if sparse storage would not save
/// memory. Duplicate entries are added, as is usual for sparse matrices.
pub(crate) fn of_rows(
    offset: &[usize],
    column: &[u32],
    entry: &[f32],
    width: usize,
) -> NodeFeature {
    let n_node = offset.len() - 1;
    if is_dense(n_node, entry.len(), width) {
        let mut value = vec![0.0; n_node * width];
        for (row, bounds) in value.chunks_exact_mut(width).zip(offset.windows(2)) {
            for at in bounds[0]..bounds[1] {
                row[column[at] as usize] += entry[at];
            }
        }
        return NodeFeature::Dense { value, width };
    }
    let (mut columns, mut value, mut ends) = (Vec::new(), Vec::new(), vec![0]);
    let mut row: Vec<(u32, f32)> = Vec::new();
    for bounds in offset.windows(2) {
        row.clear();
        row.extend((bounds[0]..bounds[1]).map(|at| (column[at], entry[at])));
        row.sort_by_key(|&(column, _)| column);
        for same in row.chunk_by(|a, b| a.0 == b.0) {
            columns.push(same[0].0);
            value.push(same.iter().map(|&(_, value)| value).sum());
        }
        ends.push(columns.len());
    }
    NodeFeature::Sparse { offset: ends, column: columns, value, width }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_entries_add_up_in_either_form() {
        let features = |width: usize| {
            let feature = of_rows(&[0, 3, 3, 4], &[5, 0, 5, 1], &[1.0, 2.0, 0.5, 3.0], width);
            feature.check(3).expect("consistent");
            let mut row = vec![9.0; width];
            feature.copy_row(0, &mut row);
            assert_eq!((row[0], row[5], row.iter().sum::<f32>()), (2.0, 1.5, 3.5));
            feature
        };
        assert!(matches!(features(10), NodeFeature::Dense { .. }));
        let NodeFeature::Sparse { offset, column, value, .. } = features(11) else {
            panic!("compressed rows")
        };
        assert_eq!((offset, column, value), (vec![0, 2, 2, 3], vec![0, 5, 1], vec![2.0, 1.5, 3.0]));
    }
}
