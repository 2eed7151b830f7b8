//! Submatrices.

use std::ops::Range;

use dfdx::prelude::*;

use super::elementwise::add_to;
use super::rows::parallel;
use super::{Buffer, Dense, Result, filled, slice, sums};
use crate::ops::BlockKernels;

impl BlockKernels for Cpu {
    fn block(
        &self,
        x: &Dense,
        rows: &Range<usize>,
        columns: &Range<usize>,
        shape: [usize; 2],
    ) -> Result<Dense> {
        let (x, n_column, width) = (slice(x), x.shape().1, columns.len());
        filled(self, shape, |out| {
            out.rows(width, |first, out| {
                for (row, out) in out.chunks_exact_mut(width).enumerate() {
                    let start = (rows.start + first + row) * n_column + columns.start;
                    out.copy_from_slice(&x[start..start + width]);
                }
            })
        })
    }

    fn block_backward(
        &self,
        dx: &mut Buffer,
        dy: &Buffer,
        [n_row, n_column]: [usize; 2],
        rows: &Range<usize>,
        columns: &Range<usize>,
    ) -> Result<()> {
        let width = columns.len();
        let dx = &mut sums(dx, n_row * n_column)[rows.start * n_column..rows.end * n_column];
        parallel(dx, n_column, |first, rows| {
            for (row, dx) in rows.chunks_exact_mut(n_column).enumerate() {
                let start = (first + row) * width;
                add_to(&mut dx[columns.clone()], &dy[start..start + width]);
            }
        });
        Ok(())
    }
}
