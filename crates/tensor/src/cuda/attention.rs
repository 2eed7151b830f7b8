//! Attention along edges, and per-head operations.

use cudarc::driver::DeviceSlice;
use dfdx::prelude::*;

use super::elementwise::n_number;
use super::error::Error;
use super::gradient::Sum;
use super::kernels::Kernels;
use super::linear::ROWS;
use super::module::{Argument, arguments, count, memory};
use super::segment::Summed;
use super::{Buffer, Dense};
use crate::Aggregate;
use crate::backend::Attention;

type Result<T> = std::result::Result<T, Error>;

impl Kernels<'_> {
    pub(crate) fn attend(&self, attention: &Attention<'_, Cuda>) -> Result<[Dense; 2]> {
        let Attention { x, scores: [theirs, own], from, to, n_head } = *attention;
        let width = x.shape().1;
        let score = self.matrix([to.n_item, n_head])?;
        let heads = count("heads", n_head)?;
        let arguments = arguments![&score, theirs, own, &from.of, &to.of, heads];
        self.each("edge_scores", n_number(&score), arguments)?;
        let share = self.segment_softmax(&score, to)?;
        let out = self.matrix([to.n_segment, width])?;
        let weight = (&share).into();
        let of = Summed::Weighted { weight, x: x.into(), from, head_width: width / n_head };
        self.add_sums(Sum::first(&out), of, to, width, Aggregate::Sum)?;
        Ok([out, share])
    }

    pub(crate) fn attend_backward(
        &self,
        dx: &mut Buffer,
        dscores: &mut [Buffer; 2],
        dy: &Buffer,
        attention: &Attention<'_, Cuda>,
        [out, share]: [&Dense; 2],
    ) -> Result<()> {
        let Attention { x, scores: [theirs, own], from, to, n_head } = *attention;
        let width = x.shape().1;
        let head_width = count("columns", width / n_head)?;
        let heads = count("heads", n_head)?;
        let mean = self.matrix([to.n_segment, n_head])?;
        let n_mean = count("heads", n_number(&mean).max(1))?;
        let arguments = arguments![&mean, memory(dy), out, n_mean, head_width];
        self.each("dots_of_heads", n_number(&mean), arguments)?;
        let dscore = self.matrix([to.n_item, n_head])?;
        let arguments = arguments![
            &dscore,
            memory(dy),
            x,
            share,
            &mean,
            theirs,
            own,
            &from.of,
            &to.of,
            heads,
            head_width
        ];
        self.each("attend_backward_scores", n_number(&dscore), arguments)?;
        let [of_theirs, of_own] = dscores;
        let rows = || Summed::Rows((&dscore).into());
        let of_own = self.sum(of_own, to.n_segment * n_head);
        self.add_sums(of_own, rows(), to, n_head, Aggregate::Sum)?;
        let of_theirs = self.sum(of_theirs, from.n_segment * n_head);
        self.add_sums(of_theirs, rows(), from, n_head, Aggregate::Sum)?;
        let (weight, x) = (share.into(), memory(dy));
        let of = Summed::Weighted { weight, x, from: to, head_width: width / n_head };
        let dx = self.sum(dx, from.n_segment * width);
        self.add_sums(dx, of, from, width, Aggregate::Sum)
    }

    pub(crate) fn head_scores(&self, x: &Dense, weight: &Dense) -> Result<Dense> {
        let &(n_head, head_width) = weight.shape();
        let out = self.matrix([x.shape().0, n_head])?;
        let sizes = [count("heads", n_head)?, count("columns", head_width)?];
        let arguments = arguments![&out, x, weight, sizes[0], sizes[1]];
        self.each("dots_of_heads", n_number(&out), arguments)?;
        Ok(out)
    }

    pub(crate) fn head_scores_backward(
        &self,
        dx: &mut Buffer,
        dweight: &mut Buffer,
        dy: &Buffer,
        x: &Dense,
        weight: &Dense,
    ) -> Result<()> {
        let &(n_head, head_width) = weight.shape();
        let (n_row, width) = (x.shape().0, n_head * head_width);
        let sizes = [count("heads", n_head)?, count("columns", head_width)?];
        let [dx, adds] = self.sum(dx, n_number(x)).arguments();
        let arguments = arguments![dx, memory(dy), weight, adds, sizes[0], sizes[1]];
        self.each("head_scores_backward_rows", n_number(x), arguments)?;
        let n_group = n_row.div_ceil(ROWS);
        let partial = self.unwritten(n_group * width)?;
        let rows = count("rows", n_row)?;
        let arguments = arguments![&partial, memory(dy), x, sizes[0], sizes[1], rows];
        self.each("head_scores_backward_weight", n_group * width, arguments)?;
        let dweight = self.sum(dweight, width);
        self.column_sums(dweight, Argument::from(&partial), [n_group, width])
    }

    pub(crate) fn mean_of_heads(&self, x: &Dense, n_head: usize) -> Result<Dense> {
        let width = x.shape().1 / n_head;
        let out = self.matrix([x.shape().0, width])?;
        let arguments = arguments![&out, x, count("heads", n_head)?, count("columns", width)?];
        self.each("mean_of_heads", n_number(&out), arguments)?;
        Ok(out)
    }

    pub(crate) fn mean_of_heads_backward(
        &self,
        dx: &mut Buffer,
        dy: &Buffer,
        n_head: usize,
        width: usize,
    ) -> Result<()> {
        let sizes = [count("heads", n_head)?, count("columns", width)?];
        let n = dy.len() * n_head;
        let [dx, adds] = self.sum(dx, n).arguments();
        let arguments = arguments![dx, memory(dy), adds, sizes[0], sizes[1]];
        self.each("mean_of_heads_backward", n, arguments)
    }

    pub(crate) fn add_row(&self, x: &Dense, row: &Dense) -> Result<Dense> {
        let out = self.matrix([x.shape().0, x.shape().1])?;
        self.each(
            "add_row",
            n_number(x),
            arguments![&out, x, row, count("columns", x.shape().1)?],
        )?;
        Ok(out)
    }

    pub(crate) fn add_row_backward(&self, drow: &mut Buffer, dy: &Buffer) -> Result<()> {
        let width = drow.len();
        let drow = Sum { place: memory(drow), adds: true };
        self.column_sums(drow, memory(dy), [dy.len() / width.max(1), width])
    }
}
