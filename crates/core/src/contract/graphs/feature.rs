//! Node features.

use std::ops::Range;

use crate::DatasetError;

/// Numeric node features.
///
/// ```
/// use batchlab_core::graphs::NodeFeature;
///
/// // Two nodes with four features; the second has none but its third.
/// let sparse = NodeFeature::Sparse {
///     offset: vec![0, 2, 3],
///     column: vec![0, 3, 2],
///     value: vec![1.0, 0.5, 2.0],
///     width: 4,
/// };
/// let mut row = [9.0; 4];
/// sparse.copy_row(0, &mut row);
/// assert_eq!(row, [1.0, 0.0, 0.0, 0.5]);
/// sparse.check(2)?;
/// # Ok::<(), batchlab_core::DatasetError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum NodeFeature {
    /// All values.
    Dense {
        /// Row-major, `[n_node, width]`.
        value: Vec<f32>,
        /// Features per node.
        width: usize,
    },
    /// The non-zero values in compressed rows (CSR), for example bags of words.
    Sparse {
        /// Start of each node's entries, followed by the number of entries, `[n_node + 1]`.
        offset: Vec<usize>,
        /// Feature index of each entry, ascending for each node, `[n_entry]`.
        column: Vec<u32>,
        /// Value of each entry, `[n_entry]`.
        value: Vec<f32>,
        /// Features per node.
        width: usize,
    },
}

impl NodeFeature {
    /// Features per node.
    #[must_use]
    pub fn width(&self) -> usize {
        match *self {
            Self::Dense { width, .. } | Self::Sparse { width, .. } => width,
        }
    }

    /// The stored values.
    #[must_use]
    pub fn value(&self) -> &[f32] {
        match self {
            Self::Dense { value, .. } | Self::Sparse { value, .. } => value,
        }
    }

    /// Range of a node's values in [`NodeFeature::value`].
    ///
    /// # Panics
    /// If the node does not exist.
    #[must_use]
    pub fn row(&self, node: usize) -> Range<usize> {
        match self {
            Self::Dense { width, .. } => node * width..(node + 1) * width,
            Self::Sparse { offset, .. } => offset[node]..offset[node + 1],
        }
    }

    /// Writes all features of a node, `[width]`.
    ///
    /// # Panics
    /// If the node does not exist, or `out` does not have the length of one feature row.
    pub fn copy_row(&self, node: usize, out: &mut [f32]) {
        let row = self.row(node);
        match self {
            Self::Dense { value, .. } => out.copy_from_slice(&value[row]),
            Self::Sparse { column, value, .. } => {
                out.fill(0.0);
                for (&column, &value) in column[row.clone()].iter().zip(&value[row]) {
                    out[column as usize] = value;
                }
            }
        }
    }

    /// Checks lengths, and the order and range of columns.
    ///
    /// # Errors
    /// [`DatasetError::Inconsistent`], with the mismatch.
    pub fn check(&self, n_node: usize) -> Result<(), DatasetError> {
        let fail = |message: String| Err(DatasetError::Inconsistent(message));
        match self {
            Self::Dense { value, width } if n_node.checked_mul(*width) != Some(value.len()) => {
                fail(format!("{} node features, expected {n_node} times {width}", value.len()))
            }
            Self::Dense { .. } => Ok(()),
            Self::Sparse { offset, column, value, width } => {
                let n_entry = value.len();
                let ascends = offset.is_sorted() && offset.first() == Some(&0);
                if offset.len() != n_node + 1 || !ascends || offset.last() != Some(&n_entry) {
                    return fail(format!(
                        "the offsets of {n_entry} sparse node features do not divide them among \
                         {n_node} nodes"
                    ));
                }
                if column.len() != n_entry {
                    return fail(format!("{} columns for {n_entry} node features", column.len()));
                }
                for (node, bounds) in offset.windows(2).enumerate() {
                    let row = &column[bounds[0]..bounds[1]];
                    if !row.is_sorted_by(|a, b| a < b) {
                        return fail(format!(
                            "the features of node {node} are not in ascending order, each once"
                        ));
                    }
                    if let Some(last) = row.last().filter(|&&last| last as usize >= *width) {
                        return fail(format!("node {node} has feature {last} of {width}"));
                    }
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compressed_rows_that_do_not_fit_are_refused() {
        let check = |offset: &[usize], column: &[u32]| {
            let (offset, column, value) = (offset.to_vec(), column.to_vec(), vec![1.0; 3]);
            let checked = NodeFeature::Sparse { offset, column, value, width: 4 }.check(2);
            checked.map_err(|error| error.to_string())
        };
        assert_eq!(check(&[0, 2, 3], &[1, 3, 0]), Ok(()));
        for (offset, column, expected) in [
            (&[0, 2][..], &[1, 3, 0][..], "do not divide them among 2 nodes"),
            (&[0, 2, 2], &[1, 3, 0], "do not divide them"),
            (&[0, 4, 3], &[1, 3, 0], "do not divide them"),
            (&[0, 2, 3], &[1, 3], "2 columns for 3 node features"),
            (&[0, 2, 3], &[3, 1, 0], "node 0 are not in ascending order"),
            (&[0, 2, 3], &[1, 1, 0], "node 0 are not in ascending order"),
            (&[0, 2, 3], &[1, 3, 4], "node 1 has feature 4 of 4"),
        ] {
            let error = check(offset, column).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let dense = NodeFeature::Dense { value: vec![0.0; 7], width: 4 };
        assert!(
            dense.check(2).unwrap_err().to_string().contains("7 node features, expected 2 times 4")
        );
    }
}
