//! Submatrices.

use std::ops::Range;

use dfdx::prelude::*;

use super::elementwise::add_to;
use super::rows::parallel;
use super::{Buffer, Dense, Result, filled, slice, sums};
use crate::backend::Blocks;
use crate::ops::BlockKernels;

impl BlockKernels for Cpu {
    fn blocks(&self, x: &Dense, blocks: &Blocks) -> Result<Vec<Dense>> {
        let (n_row, n_column) = *x.shape();
        let x = slice(x);
        let copy = |[rows, columns]: [Range<usize>; 2]| {
            let width = columns.len();
            filled(self, [rows.len(), width], |out| {
                out.rows(width, |first, out| {
                    for (row, out) in out.chunks_exact_mut(width).enumerate() {
                        let start = (rows.start + first + row) * n_column + columns.start;
                        out.copy_from_slice(&x[start..start + width]);
                    }
                })
            })
        };
        blocks.each([n_row, n_column]).map(copy).collect()
    }

    fn blocks_backward(
        &self,
        dx: &mut Buffer,
        dy: &[Option<Buffer>],
        [n_row, n_column]: [usize; 2],
        blocks: &Blocks,
    ) -> Result<()> {
        let dx = sums(dx, n_row * n_column);
        for ([rows, columns], dy) in blocks.each([n_row, n_column]).zip(dy) {
            let Some(dy) = dy else { continue };
            let width = columns.len();
            let dx = &mut dx[rows.start * n_column..rows.end * n_column];
            parallel(dx, n_column, |first, rows| {
                for (row, dx) in rows.chunks_exact_mut(n_column).enumerate() {
                    let start = (first + row) * width;
                    add_to(&mut dx[columns.clone()], &dy[start..start + width]);
                }
            });
        }
        Ok(())
    }
}
