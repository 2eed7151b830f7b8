//! Node features, dense or sparse.

use std::rc::Rc;

use batchlab_core::{ModelError, PaddedBatch};

use crate::matrix::engine;
use crate::segments::sorted;
use crate::{Activation, Aggregate, Backend, Matrix, Pass, Segments};

/// Node features of a batch.
pub enum Features<D: Backend> {
    /// All of them, `[n_node, width]`.
    Dense(Matrix<D>),
    /// The non-zero ones.
    Sparse(SparseFeatures<D>),
}

/// Compressed sparse rows: an entry is an edge from a feature to a node.
pub struct SparseFeatures<D: Backend> {
    /// Features of the entries: entries are items, features are segments.
    pub column: Rc<Segments<D>>,
    /// Nodes of the entries: entries are items, nodes are segments.
    pub row: Rc<Segments<D>>,
    /// Value of each entry, `[n_entry, 1]`.
    pub value: Matrix<D>,
}

impl<D: Backend> Features<D> {
    pub(super) fn put(
        device: &D,
        arena: &mut D::Arena,
        reclaimed: Option<Self>,
        batch: &PaddedBatch<'_>,
    ) -> Result<Self, ModelError> {
        let reclaimed = match reclaimed {
            Some(Self::Dense(matrix)) => Some(matrix.into_tensor()),
            _ => None,
        };
        let matrix = |arena: &mut D::Arena, values: &[f32], shape| {
            let tensor = device.put_matrix(arena, reclaimed, values, shape).map_err(engine)?;
            Ok::<_, ModelError>(Matrix::from_kernel(tensor, false))
        };
        let (n_node, width) = (batch.shape.n_node as usize, batch.node_feature_width);
        if !are_sparse(batch) {
            return Ok(Self::Dense(matrix(arena, batch.node_feature, [n_node, width])?));
        }
        let column = batch.feature_column;
        let mut row = Vec::with_capacity(column.len());
        for (node, bounds) in (0..).zip(batch.feature_offset.windows(2)) {
            row.extend((bounds[0]..bounds[1]).map(|_| node));
        }
        let (order, offset) = sorted(column, width);
        let mut put = |of: &[u32], offset: &[u32], order: Option<&[u32]>| {
            Segments::put(device, arena, of, offset, order).map_err(engine)
        };
        Ok(Self::Sparse(SparseFeatures {
            column: put(column, &offset, Some(&order))?,
            row: put(&row, batch.feature_offset, None)?,
            value: matrix(arena, batch.feature_value, [column.len(), 1])?,
        }))
    }

    /// Their device address; `None` for sparse features, whose number varies between batches.
    pub(super) fn address(&self) -> Option<u64> {
        match self {
            Self::Dense(matrix) => Some(D::address(matrix.tensor())),
            Self::Sparse(_) => None,
        }
    }

    /// Features per node.
    #[must_use]
    pub fn width(&self) -> usize {
        match self {
            Self::Dense(matrix) => matrix.n_column(),
            Self::Sparse(sparse) => sparse.column.n_segment(),
        }
    }
}

impl<D: Backend> Pass<'_, D> {
    /// The product of the features `[n_node, n_in]` with a weight `[n_in, n_out]`, plus a bias `[1,
    /// n_out]`. For sparse features only non-zero values are multiplied, here and for the gradient.
    pub fn project(
        &mut self,
        features: &Features<D>,
        weight: &Matrix<D>,
        bias: Option<&Matrix<D>>,
    ) -> Result<Matrix<D>, ModelError> {
        match features {
            Features::Dense(matrix) => self.linear(matrix, weight, bias, Activation::Identity),
            Features::Sparse(SparseFeatures { column, row, value }) => {
                let product = self.propagate(weight, Some(value), column, row, Aggregate::Sum)?;
                match bias {
                    Some(bias) => self.add_row(&product, bias),
                    None => Ok(product),
                }
            }
        }
    }
}

pub(super) fn are_sparse(batch: &PaddedBatch<'_>) -> bool {
    !batch.feature_offset.is_empty()
}

/// Lengths of the arrays on the device.
pub(super) fn lengths(batch: &PaddedBatch<'_>) -> [usize; 6] {
    if !are_sparse(batch) {
        return [batch.node_feature.len(), 0, 0, 0, 0, 0];
    }
    let n_entry = batch.feature_column.len();
    let n_offset = [batch.feature_offset.len(), batch.node_feature_width + 1];
    [n_entry, n_entry, n_entry, n_entry, n_offset[0], n_offset[1]]
}

pub(super) fn check(batch: &PaddedBatch<'_>) -> Result<(), ModelError> {
    let (n_node, width) = (batch.shape.n_node as usize, batch.node_feature_width);
    let (offset, column) = (batch.feature_offset, batch.feature_column);
    let n_entry = batch.feature_value.len();
    let ends = [offset.first(), offset.last()].map(|end| end.map(|&end| end as usize));
    if offset.len() != n_node + 1
        || ends != [Some(0), Some(n_entry)]
        || column.len() != n_entry
        || !offset.is_sorted()
    {
        return Err(ModelError::Batch(format!(
            "the batch's {n_entry} sparse node features are not divided among its {n_node} nodes"
        )));
    }
    if let Some(column) = column.iter().find(|&&column| column as usize >= width) {
        return Err(ModelError::Batch(format!(
            "the batch has a node with feature {column}, but there are {width}, counted from 0"
        )));
    }
    Ok(())
}
