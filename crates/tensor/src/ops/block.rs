//! Submatrices, such as the rows of a weight that belong to one of its inputs.

use std::ops::Range;

use batchlab_core::ModelError;

use crate::backend::{Blocks, kernels};
use crate::matrix::engine;
use crate::{Backend, Buffer, Dense, Matrix, Pass};

impl<D: Backend> Pass<'_, D> {
    /// A copy of some rows of `x`.
    pub fn rows(&mut self, x: &Matrix<D>, rows: Range<usize>) -> Result<Matrix<D>, ModelError> {
        self.one_block(x, Blocks { of_rows: true, ranges: vec![rows] })
    }

    /// A copy of some columns of `x`.
    pub fn columns(
        &mut self,
        x: &Matrix<D>,
        columns: Range<usize>,
    ) -> Result<Matrix<D>, ModelError> {
        self.one_block(x, Blocks { of_rows: false, ranges: vec![columns] })
    }

    /// Copies of several ranges of rows at once.
    ///
    /// With the rows of a weight, a layer on concatenated inputs is a sum of layers, `[a; b] W = a
    /// W_a + b W_b`, each of which runs where its input lives: the part of nodes is computed once
    /// per node instead of once per edge.
    pub fn blocks_of_rows(
        &mut self,
        x: &Matrix<D>,
        rows: Vec<Range<usize>>,
    ) -> Result<Vec<Matrix<D>>, ModelError> {
        self.blocks(x, Blocks { of_rows: true, ranges: rows })
    }

    /// The same for columns.
    pub fn blocks_of_columns(
        &mut self,
        x: &Matrix<D>,
        columns: Vec<Range<usize>>,
    ) -> Result<Vec<Matrix<D>>, ModelError> {
        self.blocks(x, Blocks { of_rows: false, ranges: columns })
    }

    fn one_block(&mut self, x: &Matrix<D>, block: Blocks) -> Result<Matrix<D>, ModelError> {
        let mut blocks = self.blocks(x, block)?;
        blocks.pop().ok_or_else(|| engine("a range has a block"))
    }

    fn blocks(&mut self, x: &Matrix<D>, blocks: Blocks) -> Result<Vec<Matrix<D>>, ModelError> {
        let whole = x.shape();
        let n = whole[usize::from(!blocks.of_rows)];
        for range in &blocks.ranges {
            assert!(range.start <= range.end && range.end <= n, "the block {range:?} of {n}");
        }
        let results = self.device().blocks(x.tensor(), &blocks).map_err(engine)?;
        let of_x = x.gradient();
        Ok(self.record_all(results, x.is_tracked(), move |device, dy| {
            device.blocks_backward(&mut *of_x.sum(device)?, &dy, whole, &blocks)
        }))
    }
}

kernels! {
    /// Kernels of submatrices.
    pub trait BlockKernels;

    /// A copy of each block.
    fn blocks(x: &Dense<Self>, blocks: &Blocks) -> Vec<Dense<Self>>;
    /// The gradient of `blocks` for a matrix of the shape `whole`, from those that exist.
    fn blocks_backward(
        dx: &mut Buffer<Self>, dy: &[Option<Buffer<Self>>], whole: [usize; 2], blocks: &Blocks
    ) -> ();
}
