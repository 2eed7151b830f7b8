//! Sums, maxima and softmax over segments, gathering, and sums along edges.

use dfdx::prelude::*;

use super::elementwise::n_number;
use super::error::Error;
use super::gradient::Sum;
use super::kernels::Kernels;
use super::module::{Argument, Launch, arguments, count, memory};
use super::{Buffer, Dense, Segments};
use crate::Aggregate;

type Result<T> = std::result::Result<T, Error>;

/// Positions per part of a segment: PART in `kernels/segment.cu`.
const PART: usize = 32;

/// What to sum.
#[derive(Clone, Copy)]
pub(super) enum Summed<'a> {
    /// Rows of items.
    Rows(Argument),
    /// Products of two rows of each item.
    Products(Argument, Argument),
    /// The row of the item's source segment, times a weight per head.
    Weighted { weight: Argument, x: Argument, from: &'a Segments, head_width: usize },
    /// 1 for every number that is the maximum of its segment.
    Largest { x: Argument, largest: Argument },
}

impl Kernels<'_> {
    pub(crate) fn gather(&self, x: &Dense, segments: &Segments) -> Result<Dense> {
        let width = x.shape().1;
        let out = self.matrix([segments.n_item, width])?;
        let arguments = arguments![&out, x, &segments.of, count("columns", width)?];
        self.each("gather", segments.n_item * width, arguments)?;
        Ok(out)
    }

    pub(crate) fn gather_backward(
        &self,
        dx: &mut Buffer,
        dy: &Buffer,
        segments: &Segments,
        width: usize,
    ) -> Result<()> {
        let dx = self.sum(dx, segments.n_segment * width);
        self.add_sums(dx, Summed::Rows(memory(dy)), segments, width, Aggregate::Sum)
    }

    pub(crate) fn segment(
        &self,
        x: &Dense,
        segments: &Segments,
        aggregate: Aggregate,
    ) -> Result<Dense> {
        let width = x.shape().1;
        let out = self.matrix([segments.n_segment, width])?;
        self.add_sums(Sum::first(&out), Summed::Rows(x.into()), segments, width, aggregate)?;
        Ok(out)
    }

    pub(crate) fn segment_backward(
        &self,
        dx: &mut Buffer,
        dy: &Buffer,
        segments: &Segments,
        aggregate: Aggregate,
        width: usize,
    ) -> Result<()> {
        let n = count("elements", segments.n_item * width)?;
        let [dx, adds] = self.sum(dx, n as usize).arguments();
        let arguments = arguments![
            dx,
            memory(dy),
            &segments.of,
            &segments.offset,
            adds,
            count("columns", width)?,
            n,
            is_mean(aggregate)
        ];
        self.launch("segment_backward", Launch::each(n as usize)?, arguments)
    }

    pub(crate) fn segment_max(&self, x: &Dense, segments: &Segments) -> Result<Dense> {
        let width = x.shape().1;
        let out = self.matrix([segments.n_segment, width])?;
        let kernels = ["segment_max", "join_largest"];
        self.reduce(kernels, Sum::first(&out), &[x.into()], segments, width, 0)?;
        Ok(out)
    }

    pub(crate) fn segment_max_backward(
        &self,
        dx: &mut Buffer,
        dy: &Buffer,
        x: &Dense,
        largest: &Dense,
        segments: &Segments,
    ) -> Result<()> {
        let width = x.shape().1;
        let shared = self.matrix([segments.n_segment, width])?;
        let of = Summed::Largest { x: x.into(), largest: largest.into() };
        self.add_sums(Sum::first(&shared), of, segments, width, Aggregate::Sum)?;
        let width = count("columns", width)?;
        let dx = self.sum_from_zeros(dx, n_number(x))?;
        let arguments = arguments![dx, memory(dy), x, largest, &shared, &segments.of, width];
        self.each("add_to_largest", n_number(x), arguments)
    }

    pub(crate) fn segment_softmax(&self, x: &Dense, segments: &Segments) -> Result<Dense> {
        let &(n_item, width) = x.shape();
        let columns = count("columns", width)?;
        let largest = self.segment_max(x, segments)?;
        let out = self.matrix([n_item, width])?;
        let arguments = arguments![&out, x, &largest, &segments.of, columns];
        self.each("exp_of_difference", n_number(x), arguments)?;
        let total = self.segment(&out, segments, Aggregate::Sum)?;
        self.each("divide_by_total", n_number(x), arguments![&out, &total, &segments.of, columns])?;
        Ok(out)
    }

    pub(crate) fn segment_softmax_backward(
        &self,
        dx: &mut Buffer,
        dy: &Buffer,
        output: &Dense,
        segments: &Segments,
    ) -> Result<()> {
        let width = output.shape().1;
        let total = self.matrix([segments.n_segment, width])?;
        let of = Summed::Products(output.into(), memory(dy));
        self.add_sums(Sum::first(&total), of, segments, width, Aggregate::Sum)?;
        let width = count("columns", width)?;
        let [dx, adds] = self.sum(dx, n_number(output)).arguments();
        let arguments = arguments![dx, memory(dy), output, &total, &segments.of, adds, width];
        self.each("softmax_backward", n_number(output), arguments)
    }

    pub(crate) fn propagate(
        &self,
        x: &Dense,
        weight: Option<&Dense>,
        from: &Segments,
        to: &Segments,
        aggregate: Aggregate,
    ) -> Result<Dense> {
        let width = x.shape().1;
        let out = self.matrix([to.n_segment, width])?;
        let weight = weight.map_or(Argument::Pointer(0), Argument::from);
        let of = Summed::Weighted { weight, x: x.into(), from, head_width: width };
        self.add_sums(Sum::first(&out), of, to, width, aggregate)?;
        Ok(out)
    }

    #[allow(clippy::too_many_arguments, reason = "kernels take arrays, not objects")]
    pub(crate) fn propagate_backward(
        &self,
        dx: &mut Buffer,
        dy: &mut Buffer,
        weight: Option<&Dense>,
        from: &Segments,
        to: &Segments,
        aggregate: Aggregate,
        width: usize,
    ) -> Result<()> {
        if aggregate == Aggregate::Mean {
            let columns = count("columns", width)?;
            let n = to.n_segment * width;
            self.each("divide_by_count", n, arguments![memory(dy), &to.offset, columns])?;
        }
        let weight = weight.map_or(Argument::Pointer(0), Argument::from);
        let of = Summed::Weighted { weight, x: memory(dy), from: to, head_width: width };
        let dx = self.sum(dx, from.n_segment * width);
        self.add_sums(dx, of, from, width, Aggregate::Sum)
    }

    /// The sum or mean over each segment, `[n_segment, width]`; 0 without items.
    pub(super) fn add_sums(
        &self,
        out: Sum,
        of: Summed<'_>,
        segments: &Segments,
        width: usize,
        aggregate: Aggregate,
    ) -> Result<()> {
        let mean = is_mean(aggregate);
        let run = |kernel, inputs: &[Argument]| {
            self.reduce([kernel, "join_sums"], out, inputs, segments, width, mean)
        };
        match of {
            Summed::Rows(x) => run("segment_sum", &[x]),
            Summed::Products(x, y) => run("segment_sum_products", &[x, y]),
            Summed::Weighted { weight, x, from, head_width } => {
                let head_width = count("columns", head_width.max(1))?;
                run("propagate", &[weight, x, Argument::from(&from.of), head_width.into()])
            }
            Summed::Largest { x, largest } => run("segment_count_largest", &[x, largest]),
        }
    }

    /// Sums of parts and, for segments with several parts, the sums of those. What is launched
    /// depends on the number of items, never on where segments end: a recorded step is repeated
    /// for other batches of the same shape.
    fn reduce(
        &self,
        [parts, join]: [&str; 2],
        out: Sum,
        inputs: &[Argument],
        segments: &Segments,
        width: usize,
        mean: i32,
    ) -> Result<()> {
        let n_chunk = segments.n_item.div_ceil(PART);
        let may_have_long = segments.n_item > PART;
        let partial = self.unwritten(if may_have_long { 2 * n_chunk * width } else { 1 })?;
        // Those whose values are written, which includes segments without items.
        let n_new = if out.adds { 0 } else { segments.n_segment };
        let rest = arguments![
            &segments.of,
            segments.order.as_ref(),
            &segments.offset,
            count("items", segments.n_item)?,
            count("segments", n_new)?,
            count("columns", width)?,
            mean
        ];
        let places = [out.place, Argument::from(&partial)];
        let all = [places.as_slice(), inputs, rest].concat();
        self.launch(parts, Launch::each(n_chunk.max(n_new) * width)?, &all)?;
        if may_have_long {
            let all = [places.as_slice(), rest].concat();
            let blocks = [count("items", n_chunk)?, count("columns", width.div_ceil(32))?];
            self.launch(join, Launch { blocks, threads: 256, shared: 0 }, &all)?;
        }
        Ok(())
    }
}

fn is_mean(aggregate: Aggregate) -> i32 {
    i32::from(aggregate == Aggregate::Mean)
}
