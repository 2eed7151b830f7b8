//! Weighted sums of rows along edges: the product of a sparse matrix with a dense one. The per-edge
//! rows are never written to memory.

#![allow(unsafe_code, reason = "vectors are loaded and stored through pointers")]
#![allow(clippy::inline_always, reason = "these take on the processor features of the loop")]

use std::ops::Range;

use dfdx::prelude::*;
use pulp::{Simd, WithSimd};

use super::elementwise::add_to;
use super::segment::{reduce_rows, scale};
use super::simd::{lanes, load, multiply_add, store, vectorised};
use super::{Buffer, Dense, Result, Segments, filled_from_zeros, slice, sums};
use crate::Aggregate;
use crate::ops::PropagateKernels;

impl PropagateKernels for Cpu {
    fn propagate(
        &self,
        x: &Dense,
        weight: Option<&Dense>,
        from: &Segments,
        to: &Segments,
        aggregate: Aggregate,
    ) -> Result<Dense> {
        let width = x.shape().1;
        filled_from_zeros(self, [to.n_segment, width], |out| {
            add_products(out, ends(to, from), factors(slice(x), weight, width));
            scale(out, &to.offset, aggregate, width);
        })
    }

    fn propagate_backward(
        &self,
        dx: &mut Buffer,
        dy: &mut Buffer,
        weight: Option<&Dense>,
        from: &Segments,
        to: &Segments,
        aggregate: Aggregate,
        width: usize,
    ) -> Result<()> {
        scale(dy, &to.offset, aggregate, width);
        let dx = sums(dx, from.n_segment * width);
        add_products(dx, ends(from, to), factors(dy, weight, width));
        Ok(())
    }
}

/// Edges by the node that sums over them.
fn ends<'a>(own: &'a Segments, other: &'a Segments) -> Edges<'a> {
    Edges { offset: &own.offset, order: own.order.as_deref(), other_end: &other.of }
}

fn factors<'a>(x: &'a [f32], weight: Option<&'a Dense>, width: usize) -> Factors<'a> {
    Factors { x, weight: weight.map(slice), n_head: 1, width }
}

/// Edges by the node that sums over them.
#[derive(Clone, Copy)]
pub(super) struct Edges<'a> {
    /// `[n_node + 1]`.
    pub(super) offset: &'a [u32],
    /// `[n_edge]`, none if edges are in this order.
    pub(super) order: Option<&'a [u32]>,
    /// Node at the other end of each edge, `[n_edge]`.
    pub(super) other_end: &'a [u32],
}

/// Rows at the other ends, and their factors.
#[derive(Clone, Copy)]
pub(super) struct Factors<'a> {
    /// `[n_other, n_head * width]`.
    pub(super) x: &'a [f32],
    /// `[n_edge, n_head]`, or none for 1.
    pub(super) weight: Option<&'a [f32]>,
    pub(super) n_head: usize,
    /// Columns per head.
    pub(super) width: usize,
}

/// Adds to each node's row of `out` the weighted rows at the other ends of its edges.
pub(super) fn add_products(out: &mut [f32], edges: Edges<'_>, factors: Factors<'_>) {
    let n_column = factors.n_head * factors.width;
    let add = |bounds: &[u32], rows: &mut [f32]| add_rows(rows, bounds, 0, edges, factors);
    reduce_rows(0.0, out, edges.offset, n_column, add, add_to);
}

/// The same for the nodes of one task: row i sums over positions `bounds[i]..bounds[i + 1]`,
/// counted from `first`.
pub(super) fn add_rows(
    rows: &mut [f32],
    bounds: &[u32],
    first: u32,
    edges: Edges<'_>,
    factors: Factors<'_>,
) {
    vectorised(Task { rows, bounds, first, edges, factors });
}

struct Task<'a> {
    rows: &'a mut [f32],
    bounds: &'a [u32],
    first: u32,
    edges: Edges<'a>,
    factors: Factors<'a>,
}

impl WithSimd for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { rows, bounds, first, edges, factors } = self;
        let Factors { n_head, width, .. } = factors;
        let lanes = lanes::<S>();
        for (row, bounds) in rows.chunks_exact_mut(n_head * width).zip(bounds.windows(2)) {
            let places = (bounds[0] - first) as usize..(bounds[1] - first) as usize;
            for (head, out) in row.chunks_exact_mut(width).enumerate() {
                let mut column = 0;
                macro_rules! panels {
                    ($($n:literal)*) => {$(
                        while column + $n * lanes <= width {
                            let at = PanelPosition { head, column };
                            let out = &mut out[column..column + $n * lanes];
                            panel::<S, $n>(simd, out, places.clone(), at, edges, factors);
                            column += $n * lanes;
                        }
                    )*};
                }
                // Sums stay in registers: the 32 registers of AVX-512 hold a row of 256 numbers,
                // others have 16.
                if lanes == 16 {
                    panels!(16);
                }
                panels!(8 4 2 1);
                rest(
                    &mut out[column..],
                    places.clone(),
                    PanelPosition { head, column },
                    edges,
                    factors,
                );
            }
        }
    }
}

/// The position of a panel.
#[derive(Clone, Copy)]
struct PanelPosition {
    head: usize,
    /// Within the head.
    column: usize,
}

#[inline(always)]
fn panel<S: Simd, const N: usize>(
    simd: S,
    out: &mut [f32],
    places: Range<usize>,
    at: PanelPosition,
    edges: Edges<'_>,
    factors: Factors<'_>,
) {
    let lanes = lanes::<S>();
    assert_eq!(out.len(), N * lanes, "a panel of the row");
    let mut sum = [simd.splat_f32s(0.0); N];
    for place in places {
        let (weight, start) = look_up(place, at, edges, factors);
        let row = &factors.x[start..start + N * lanes];
        let weight = simd.splat_f32s(weight);
        for (j, sum) in sum.iter_mut().enumerate() {
            // SAFETY: j < N, and `row` has N vectors' worth of numbers.
            let x = unsafe { load::<S>(row.as_ptr().add(j * lanes)) };
            *sum = multiply_add(simd, weight, x, *sum);
        }
    }
    for (j, sum) in sum.into_iter().enumerate() {
        // SAFETY: j < N, and `out` has N vectors' worth of numbers.
        unsafe {
            let out = out.as_mut_ptr().add(j * lanes);
            store::<S>(out, simd.add_f32s(load::<S>(out), sum));
        }
    }
}

/// The columns after the last whole vector.
#[inline(always)]
fn rest(
    out: &mut [f32],
    places: Range<usize>,
    at: PanelPosition,
    edges: Edges<'_>,
    factors: Factors<'_>,
) {
    if out.is_empty() {
        return;
    }
    for place in places {
        let (weight, start) = look_up(place, at, edges, factors);
        for (out, x) in out.iter_mut().zip(&factors.x[start..]) {
            *out += weight * x;
        }
    }
}

/// Weight of the edge at a position, and the panel's offset in the row at its other end.
#[inline(always)]
fn look_up(
    place: usize,
    at: PanelPosition,
    edges: Edges<'_>,
    factors: Factors<'_>,
) -> (f32, usize) {
    let Factors { weight, n_head, width, .. } = factors;
    let edge = edges.order.map_or(place, |order| order[place] as usize);
    let weight = weight.map_or(1.0, |weight| weight[edge * n_head + at.head]);
    let row = edges.other_end[edge] as usize * n_head + at.head;
    (weight, row * width + at.column)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hub of 5,000 edges among small nodes and one without edges, sorted and indexed.
    #[test]
    fn sums_of_every_width() {
        let sizes = [3, 0, 5000, 1, 700];
        let mut offset = vec![0_u32];
        offset.extend(sizes.iter().scan(0, |sum, size| {
            *sum += size;
            Some(*sum)
        }));
        let n_edge = 5704_usize;
        let other_end: Vec<u32> = (0..n_edge as u32).map(|e| e * 13 % 11).collect();
        let listed: Vec<u32> = (0..n_edge as u32).map(|p| p * 7 % n_edge as u32).collect();
        for [n_head, width] in [[1, 1], [1, 7], [2, 20], [1, 40], [4, 128], [1, 256], [1, 300]] {
            // Multiples of 1/4 below 2^22: all sums are exact.
            let weight: Vec<f32> = (0..n_edge * n_head).map(|i| (i % 5) as f32 / 4.0).collect();
            let x: Vec<f32> = (0..11 * n_head * width).map(|i| (i % 9) as f32 - 4.0).collect();
            for order in [None, Some(&listed[..])] {
                for weight in [None, Some(&weight[..])] {
                    let edges = Edges { offset: &offset, order, other_end: &other_end };
                    let mut out = vec![0.5; sizes.len() * n_head * width];
                    add_products(&mut out, edges, Factors { x: &x, weight, n_head, width });
                    for (i, &out) in out.iter().enumerate() {
                        let (node, column) = (i / (n_head * width), i % (n_head * width));
                        let places = offset[node] as usize..offset[node + 1] as usize;
                        let term = |place: usize| {
                            let edge = order.map_or(place, |order| order[place] as usize);
                            let weight = weight.map_or(1.0, |w| w[edge * n_head + column / width]);
                            weight * x[other_end[edge] as usize * n_head * width + column]
                        };
                        let expected = 0.5 + places.map(term).sum::<f32>();
                        assert!((out - expected).abs() < 1e-6, "{n_head} x {width}, {i}");
                    }
                }
            }
        }
    }
}
