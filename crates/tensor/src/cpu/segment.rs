//! Sums over segments, partitioned by items: all threads work on a segment with 10^5 items, such as
//! the padding node that owns all padding edges.

use std::ops::Range;

use dfdx::prelude::*;

use super::elementwise::add_to;
use super::extremum::{add_to_largest, add_to_softmax, largest, softmax};
use super::out::{self, Out};
use super::rows::parallel;
use super::team::each;
use super::wide::wide;
use super::{Buffer, Dense, Result, Segments, filled, filled_from_zeros, slice, sums};
use crate::Aggregate;
use crate::ops::SegmentKernels;

impl SegmentKernels for Cpu {
    fn gather(&self, x: &Dense, segments: &Segments) -> Result<Dense> {
        let (x, width) = (slice(x), x.shape().1);
        filled(self, [segments.n_item, width], |out| gather(out, x, &segments.of, width))
    }

    fn gather_backward(
        &self,
        dx: &mut Buffer,
        dy: &Buffer,
        segments: &Segments,
        width: usize,
    ) -> Result<()> {
        let dx = sums(dx, segments.n_segment * width);
        sum(dx, dy, &segments.offset, segments.order.as_deref(), width);
        Ok(())
    }

    fn segment(&self, x: &Dense, segments: &Segments, aggregate: Aggregate) -> Result<Dense> {
        let width = x.shape().1;
        filled_from_zeros(self, [segments.n_segment, width], |out| {
            sum(out, slice(x), &segments.offset, segments.order.as_deref(), width);
            scale(out, &segments.offset, aggregate, width);
        })
    }

    fn segment_backward(
        &self,
        dx: &mut Buffer,
        dy: &Buffer,
        segments: &Segments,
        aggregate: Aggregate,
        width: usize,
    ) -> Result<()> {
        let mut scaled = dy.to_vec();
        scale(&mut scaled, &segments.offset, aggregate, width);
        out::add(dx, segments.n_item * width, |dx| {
            dx.rows(width, |first, rows| {
                add_gathered(rows, &scaled, &segments.of[first..], width);
            })
        });
        Ok(())
    }

    fn segment_max(&self, x: &Dense, segments: &Segments) -> Result<Dense> {
        let width = x.shape().1;
        filled_from_zeros(self, [segments.n_segment, width], |out| {
            largest(out, slice(x), segments, width);
        })
    }

    fn segment_max_backward(
        &self,
        dx: &mut Buffer,
        dy: &Buffer,
        x: &Dense,
        largest: &Dense,
        segments: &Segments,
    ) -> Result<()> {
        let (x, width) = (slice(x), x.shape().1);
        add_to_largest(sums(dx, x.len()), dy, [x, slice(largest)], segments, width);
        Ok(())
    }

    fn segment_softmax(&self, x: &Dense, segments: &Segments) -> Result<Dense> {
        let &(n_item, width) = x.shape();
        filled_from_zeros(self, [n_item, width], |out| softmax(out, slice(x), segments, width))
    }

    fn segment_softmax_backward(
        &self,
        dx: &mut Buffer,
        dy: &Buffer,
        output: &Dense,
        segments: &Segments,
    ) -> Result<()> {
        let (output, width) = (slice(output), output.shape().1);
        add_to_softmax(sums(dx, output.len()), dy, output, segments, width);
        Ok(())
    }
}

/// Longer segments are split into parts of this many items.
const PART: usize = 1024;
/// Items plus segments per task.
const TASK: usize = 1024;

/// The work of one task.
pub(super) enum Piece {
    /// Some whole segments.
    Whole(Range<usize>),
    /// Some items of one long segment.
    Part { segment: usize, items: Range<usize> },
}

/// Adds to row s of `out` (`[n_segment, width]`) what `add(positions, row)` computes for the
/// positions `offset[s]..offset[s + 1]`; long segments are split.
pub(super) fn reduce(
    out: &mut [f32],
    offset: &[u32],
    width: usize,
    add: impl Fn(Range<usize>, &mut [f32]) + Sync + Send,
) {
    reduce_from(0.0, out, offset, width, add, add_to);
}

/// The same for reductions other than sums: parts of long segments start from `start` and are
/// joined by `combine`.
pub(super) fn reduce_from(
    start: f32,
    out: &mut [f32],
    offset: &[u32],
    width: usize,
    add: impl Fn(Range<usize>, &mut [f32]) + Sync + Send,
    combine: impl Fn(&mut [f32], &[f32]),
) {
    let add_rows = |bounds: &[u32], rows: &mut [f32]| {
        for (row, bounds) in rows.chunks_exact_mut(width).zip(bounds.windows(2)) {
            add(bounds[0] as usize..bounds[1] as usize, row);
        }
    };
    reduce_rows(start, out, offset, width, add_rows, combine);
}

/// The same for kernels that process all rows of a task: `add(bounds, rows)` gets n rows and n + 1
/// bounds.
pub(super) fn reduce_rows(
    start: f32,
    out: &mut [f32],
    offset: &[u32],
    width: usize,
    add: impl Fn(&[u32], &mut [f32]) + Sync + Send,
    combine: impl Fn(&mut [f32], &[f32]),
) {
    if out.is_empty() {
        return;
    }
    let pieces = cut(offset);
    let n_part = pieces.iter().filter(|piece| matches!(piece, Piece::Part { .. })).count();
    let mut parts = vec![start; n_part * width];

    let mut rows = &mut *out;
    let mut next_row = 0;
    let mut next_part = parts.chunks_exact_mut(width);
    let tasks: Vec<(&Piece, &mut [f32])> = pieces
        .iter()
        .map(|piece| {
            let own = match piece {
                Piece::Part { .. } => next_part.next().unwrap_or_default(),
                Piece::Whole(segments) => {
                    let skipped = (segments.start - next_row) * width;
                    let (own, rest) =
                        std::mem::take(&mut rows)[skipped..].split_at_mut(segments.len() * width);
                    rows = rest;
                    next_row = segments.end;
                    own
                }
            };
            (piece, own)
        })
        .collect();
    let run = |(piece, own): (&Piece, &mut [f32])| match piece {
        Piece::Part { items, .. } => add(&[items.start as u32, items.end as u32], own),
        Piece::Whole(segments) => add(&offset[segments.start..=segments.end], own),
    };
    each(tasks, run);

    let mut part = parts.chunks_exact(width);
    for piece in &pieces {
        if let Piece::Part { segment, .. } = piece
            && let Some(part) = part.next()
        {
            combine(&mut out[segment * width..(segment + 1) * width], part);
        }
    }
}

/// Partitions the work based on offsets alone. Parts count from the start of their segment, so a
/// segment's sum does not depend on its position in the batch.
pub(super) fn cut(offset: &[u32]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut cost = 0;
    for (segment, bounds) in offset.windows(2).enumerate() {
        let (first, end) = (bounds[0] as usize, bounds[1] as usize);
        let long = end - first > PART;
        if (long || cost >= TASK) && start < segment {
            pieces.push(Piece::Whole(start..segment));
            start = segment;
            cost = 0;
        }
        if long {
            for item in (first..end).step_by(PART) {
                let items = item..(item + PART).min(end);
                pieces.push(Piece::Part { segment, items });
            }
            start = segment + 1;
        } else {
            cost += end - first + 1;
        }
    }
    let n_segment = offset.len().saturating_sub(1);
    if start < n_segment {
        pieces.push(Piece::Whole(start..n_segment));
    }
    pieces
}

/// Adds each row of `x` to the row of its segment.
pub(super) fn sum(out: &mut [f32], x: &[f32], offset: &[u32], order: Option<&[u32]>, width: usize) {
    reduce(out, offset, width, |places, row| match order {
        None => add_rows(row, &x[places.start * width..places.end * width]),
        Some(order) => add_listed_rows(row, x, &order[places]),
    });
}

/// Divides each row by the number of items of its segment, for a mean.
pub(super) fn scale(rows: &mut [f32], offset: &[u32], aggregate: Aggregate, width: usize) {
    if aggregate == Aggregate::Sum || width == 0 {
        return;
    }
    parallel(rows, width, |first, rows| {
        for (row, bounds) in rows.chunks_exact_mut(width).zip(offset[first..].windows(2)) {
            let factor = 1.0 / (bounds[1] - bounds[0]).max(1) as f32;
            for value in row {
                *value *= factor;
            }
        }
    });
}

/// Copies to each item the row of its segment.
pub(super) fn gather<'o>(out: Out<'o>, x: &[f32], of: &[u32], width: usize) -> &'o mut [f32] {
    out.rows(width, |first, rows| {
        for (row, &segment) in rows.chunks_exact_mut(width).zip(&of[first..]) {
            row.copy_from_slice(&x[segment as usize * width..][..width]);
        }
    })
}

wide! {
    fn add_rows(out: &mut [f32], rows: &[f32]) {
        for row in rows.chunks_exact(out.len()) {
            for (out, x) in out.iter_mut().zip(row) {
                *out += x;
            }
        }
    }
}

wide! {
    fn add_listed_rows(out: &mut [f32], x: &[f32], items: &[u32]) {
        let width = out.len();
        for &item in items {
            let row = &x[item as usize * width..][..width];
            for (out, x) in out.iter_mut().zip(row) {
                *out += x;
            }
        }
    }
}

wide! {
    /// Adds to each item the row of its segment.
    fn add_gathered(rows: &mut [f32], x: &[f32], of: &[u32], width: usize) {
        for (row, &segment) in rows.chunks_exact_mut(width).zip(of) {
            let source = &x[segment as usize * width..][..width];
            for (out, x) in row.iter_mut().zip(source) {
                *out += x;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_counted_once_with_one_hub_among_small_segments() {
        let sizes = [3, 0, 5000, 0, 0, 1, 1024, 1025, 700, 700, 2];
        let mut offset = vec![0];
        for size in sizes {
            offset.push(offset[offset.len() - 1] + size);
        }
        let n_item = offset[sizes.len()] as usize;
        let x: Vec<f32> = (0..n_item).flat_map(|i| [1.0, (i % 7) as f32]).collect();
        let mut out = vec![0.5; 2 * sizes.len()];
        sum(&mut out, &x, &offset, None, 2);
        let expected = offset.windows(2).flat_map(|bounds| {
            let sum: usize = (bounds[0]..bounds[1]).map(|i| i as usize % 7).sum();
            [0.5 + (bounds[1] - bounds[0]) as f32, 0.5 + sum as f32]
        });
        assert_eq!(out, expected.collect::<Vec<f32>>());
    }

    #[test]
    fn a_hub_is_shared_among_tasks() {
        assert_eq!(cut(&[0, 2, 100_002, 100_003]).len(), 1 + 98 + 1);
    }
}
