//! Submatrices: up to eight of them in one launch.

use bytemuck::{Pod, Zeroable};
use dfdx::prelude::*;

use super::error::Error;
use super::gradient::Sum;
use super::kernels::Kernels;
use super::module::{Argument, Launch, count};
use super::{Buffer, Dense, raw};
use crate::backend::Blocks;

type Result<T> = std::result::Result<T, Error>;

/// Blocks per launch.
const ROOM: usize = 8;

/// Same layout as `Blocks` in kernels/block.cu.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Table {
    at: [u64; ROOM],
    first: [u32; ROOM],
    n: [u32; ROOM],
}

impl Kernels<'_> {
    pub(crate) fn blocks(&self, x: &Dense, blocks: &Blocks) -> Result<Vec<Dense>> {
        let &(n_row, n_column) = x.shape();
        let each = blocks.each([n_row, n_column]);
        let results: Vec<Dense> = each
            .map(|[rows, columns]| self.matrix([rows.len(), columns.len()]))
            .collect::<Result<_>>()?;
        let at: Vec<u64> = results.iter().map(raw::of_tensor).collect();
        for first in (0..at.len()).step_by(ROOM) {
            self.of_blocks("copy_blocks", &at, blocks, first, &[x.into()], [n_row, n_column])?;
        }
        Ok(results)
    }

    pub(crate) fn blocks_backward(
        &self,
        dx: &mut Buffer,
        dy: &[Option<Buffer>],
        whole: [usize; 2],
        blocks: &Blocks,
    ) -> Result<()> {
        let at: Vec<u64> = dy.iter().map(|dy| dy.as_ref().map_or(0, raw::of_buffer)).collect();
        let Sum { place, mut adds } = self.sum(dx, whole[0] * whole[1]);
        for first in (0..at.len()).step_by(ROOM) {
            let given = [place, i32::from(adds).into()];
            self.of_blocks("add_blocks", &at, blocks, first, &given, whole)?;
            adds = true;
        }
        Ok(())
    }

    /// Runs a kernel on the blocks from `first` on, with a thread for each element of the whole.
    fn of_blocks(
        &self,
        kernel: &str,
        at: &[u64],
        blocks: &Blocks,
        first: usize,
        given: &[Argument],
        [n_row, n_column]: [usize; 2],
    ) -> Result<()> {
        let mut table = Table::zeroed();
        let n_block = ROOM.min(at.len() - first);
        for (k, range) in blocks.ranges[first..first + n_block].iter().enumerate() {
            table.at[k] = at[first + k];
            table.first[k] = count("rows", range.start)?;
            table.n[k] = count("rows", range.len())?;
        }
        let n = n_row * n_column;
        let sizes = [
            count("blocks", n_block)?.into(),
            i32::from(blocks.of_rows).into(),
            count("columns", n_column)?.into(),
            count("elements", n)?.into(),
        ];
        let arguments = [given, &sizes].concat();
        self.launch_with(kernel, Launch::each(n)?, bytemuck::bytes_of_mut(&mut table), &arguments)
    }
}
