//! Sums and products, elementwise and row by row.

use cudarc::driver::DeviceSlice;
use dfdx::prelude::*;

use super::error::Error;
use super::kernels::Kernels;
use super::module::{Launch, arguments, count, memory};
use super::{Buffer, Dense};

type Result<T> = std::result::Result<T, Error>;

/// Number of elements of a matrix.
pub(super) fn n_number(x: &Dense) -> usize {
    x.shape().0 * x.shape().1
}

impl Kernels<'_> {
    pub(crate) fn add(&self, a: &Dense, b: &Dense) -> Result<Dense> {
        self.of_two("add", a, b)
    }

    pub(crate) fn multiply(&self, a: &Dense, b: &Dense) -> Result<Dense> {
        self.of_two("multiply", a, b)
    }

    /// Applies `kernel` (out, a, b, n) to two matrices of the same shape.
    fn of_two(&self, kernel: &str, a: &Dense, b: &Dense) -> Result<Dense> {
        let out = self.matrix([a.shape().0, a.shape().1])?;
        self.each(kernel, n_number(a), arguments![&out, a, b])?;
        Ok(out)
    }

    pub(crate) fn accumulate(&self, da: &mut Buffer, dy: &Buffer) -> Result<()> {
        let n = dy.len();
        let [da, adds] = self.sum(da, n).arguments();
        self.each("accumulate", n, arguments![da, memory(dy), adds])
    }

    pub(crate) fn accumulate_product(&self, da: &mut Buffer, dy: &Buffer, b: &Dense) -> Result<()> {
        let n = dy.len();
        let [da, adds] = self.sum(da, n).arguments();
        self.each("accumulate_product", n, arguments![da, memory(dy), b, adds])
    }

    pub(crate) fn accumulate_scaled(
        &self,
        dx: &mut Buffer,
        scale: &Buffer,
        unit: &Buffer,
    ) -> Result<()> {
        let n = unit.len();
        let [dx, adds] = self.sum(dx, n).arguments();
        self.each("accumulate_scaled", n, arguments![dx, memory(unit), memory(scale), adds])
    }

    pub(crate) fn scale_rows(&self, x: &Dense, factor: &Dense) -> Result<Dense> {
        let &(n_row, width) = x.shape();
        let out = self.matrix([n_row, width])?;
        let width = count("columns", width)?;
        self.each("accumulate_scaled_rows", n_number(x), arguments![&out, x, factor, 0, width])?;
        Ok(out)
    }

    pub(crate) fn scale_rows_backward(
        &self,
        dx: Option<&mut Buffer>,
        dfactor: Option<&mut Buffer>,
        dy: &Buffer,
        x: &Dense,
        factor: &Dense,
    ) -> Result<()> {
        let width = count("columns", x.shape().1)?;
        if let Some(dx) = dx {
            let n = dy.len();
            let [dx, adds] = self.sum(dx, n).arguments();
            let arguments = arguments![dx, memory(dy), factor, adds, width];
            self.each("accumulate_scaled_rows", n, arguments)?;
        }
        if let Some(dfactor) = dfactor {
            let [dfactor, adds] = self.sum(dfactor, x.shape().0).arguments();
            let n_row = count("rows", x.shape().0)?;
            // 8 warps per block, one warp per row.
            let launch = Launch { blocks: [n_row.div_ceil(8), 1], threads: 256, shared: 0 };
            let arguments = arguments![dfactor, memory(dy), x, adds, width, n_row];
            self.launch("accumulate_dots", launch, arguments)?;
        }
        Ok(())
    }
}
