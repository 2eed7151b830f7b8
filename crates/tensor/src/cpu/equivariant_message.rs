//! Messages of scalars and vectors along edges.

use std::ops::Range;

use super::rows::parallel;
use super::segment::reduce;
use super::wide::wide;

/// Everything that messages are made of, see [`EquivariantMessage`](crate::EquivariantMessage).
#[derive(Clone, Copy)]
pub(super) struct Message<'a> {
    pub(super) filter: &'a [f32],
    pub(super) cutoff: &'a [f32],
    pub(super) x: &'a [f32],
    pub(super) v: &'a [f32],
    pub(super) direction: &'a [f32],
    /// Node at either end of each edge.
    pub(super) from: &'a [u32],
    pub(super) to: &'a [u32],
    pub(super) width: usize,
}

/// The edges of each node at one end.
#[derive(Clone, Copy)]
pub(super) struct EdgesOf<'a> {
    pub(super) offset: &'a [u32],
    pub(super) order: Option<&'a [u32]>,
}

/// Adds the scalars that arrive at each node, `[n_node, width]`.
pub(super) fn add_scalars(out: &mut [f32], message: &Message<'_>, edges: EdgesOf<'_>) {
    reduce(out, edges.offset, message.width, |places, row| {
        add_scalars_of(row, places, edges.order, *message);
    });
}

/// Adds the vectors that arrive at each node, `[n_node, 3 width]`.
pub(super) fn add_vectors(out: &mut [f32], message: &Message<'_>, edges: EdgesOf<'_>) {
    reduce(out, edges.offset, 3 * message.width, |places, row| {
        add_vectors_of(row, places, edges.order, *message);
    });
}

/// Gradients of the scalars and of the vectors that arrived.
#[derive(Clone, Copy)]
pub(super) struct Arrived<'a> {
    /// `[n_node, width]`.
    pub(super) s: &'a [f32],
    /// `[n_node, 3 width]`.
    pub(super) v: &'a [f32],
}

/// Adds the gradient of the filters, `[n_edge, 3 width]`.
pub(super) fn add_to_filter(out: &mut [f32], dy: Arrived<'_>, message: &Message<'_>) {
    parallel(out, 3 * message.width, |first, rows| filter_rows(rows, first, dy, *message));
}

/// Adds the gradient of x, `[n_node, 3 width]`; `edges` by the end that features are taken from.
pub(super) fn add_to_x(
    out: &mut [f32],
    dy: Arrived<'_>,
    message: &Message<'_>,
    edges: EdgesOf<'_>,
) {
    reduce(out, edges.offset, 3 * message.width, |places, row| {
        x_row(row, places, edges.order, dy, *message);
    });
}

/// Adds the gradient of v, `[n_node, 3 width]`; `edges` by the end that features are taken from.
pub(super) fn add_to_v(
    out: &mut [f32],
    dy: Arrived<'_>,
    message: &Message<'_>,
    edges: EdgesOf<'_>,
) {
    reduce(out, edges.offset, 3 * message.width, |places, row| {
        v_row(row, places, edges.order, dy, *message);
    });
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "it takes on the features of its caller")]
fn edge_at(order: Option<&[u32]>, place: usize) -> usize {
    order.map_or(place, |order| order[place] as usize)
}

/// The `part`-th block of `width` columns in a row of three blocks.
#[inline(always)]
#[allow(clippy::inline_always, reason = "it takes on the features of its caller")]
fn part(values: &[f32], row: usize, part: usize, width: usize) -> &[f32] {
    &values[(3 * row + part) * width..][..width]
}

/// The three blocks of a row.
#[inline(always)]
#[allow(clippy::inline_always, reason = "it takes on the features of its caller")]
fn parts(values: &[f32], row: usize, width: usize) -> [&[f32]; 3] {
    [0, 1, 2].map(|k| part(values, row, k, width))
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "it takes on the features of its caller")]
fn parts_mut(row: &mut [f32], width: usize) -> [&mut [f32]; 3] {
    let (a, rest) = row.split_at_mut(width);
    let (b, c) = rest.split_at_mut(width);
    [a, b, &mut c[..width]]
}

wide! {
    fn add_scalars_of(
        out: &mut [f32],
        places: Range<usize>,
        order: Option<&[u32]>,
        message: Message<'_>,
    ) {
        let width = message.width;
        for place in places {
            let edge = edge_at(order, place);
            let factor = message.cutoff[edge];
            let filter = part(message.filter, edge, 0, width);
            let x = part(message.x, message.from[edge] as usize, 0, width);
            for (out, (f, x)) in out.iter_mut().zip(filter.iter().zip(x)) {
                *out += factor * f * x;
            }
        }
    }
}

wide! {
    fn add_vectors_of(
        out: &mut [f32],
        places: Range<usize>,
        order: Option<&[u32]>,
        message: Message<'_>,
    ) {
        let width = message.width;
        let [ox, oy, oz] = parts_mut(out, width);
        for place in places {
            let edge = edge_at(order, place);
            let node = message.from[edge] as usize;
            let factor = message.cutoff[edge];
            let [_, f1, f2] = parts(message.filter, edge, width);
            let [_, x1, x2] = parts(message.x, node, width);
            let [vx, vy, vz] = parts(message.v, node, width);
            let u = &message.direction[3 * edge..][..3];
            for k in 0..width {
                let along = factor * f1[k] * x1[k];
                let carried = factor * f2[k] * x2[k];
                ox[k] += along * u[0] + carried * vx[k];
                oy[k] += along * u[1] + carried * vy[k];
                oz[k] += along * u[2] + carried * vz[k];
            }
        }
    }
}

wide! {
    fn filter_rows(rows: &mut [f32], first: usize, dy: Arrived<'_>, message: Message<'_>) {
        let width = message.width;
        for (row, out) in rows.chunks_exact_mut(3 * width).enumerate() {
            let edge = first + row;
            let (from, to) = (message.from[edge] as usize, message.to[edge] as usize);
            let factor = message.cutoff[edge];
            let [x0, x1, x2] = parts(message.x, from, width);
            let [vx, vy, vz] = parts(message.v, from, width);
            let u = &message.direction[3 * edge..][..3];
            let gs = &dy.s[to * width..][..width];
            let [gx, gy, gz] = parts(dy.v, to, width);
            let [o0, o1, o2] = parts_mut(out, width);
            for k in 0..width {
                let along = u[0] * gx[k] + u[1] * gy[k] + u[2] * gz[k];
                let carried = vx[k] * gx[k] + vy[k] * gy[k] + vz[k] * gz[k];
                o0[k] += factor * gs[k] * x0[k];
                o1[k] += factor * along * x1[k];
                o2[k] += factor * carried * x2[k];
            }
        }
    }
}

wide! {
    fn x_row(
        out: &mut [f32],
        places: Range<usize>,
        order: Option<&[u32]>,
        dy: Arrived<'_>,
        message: Message<'_>,
    ) {
        let width = message.width;
        let [o0, o1, o2] = parts_mut(out, width);
        for place in places {
            let edge = edge_at(order, place);
            let (from, to) = (message.from[edge] as usize, message.to[edge] as usize);
            let factor = message.cutoff[edge];
            let [f0, f1, f2] = parts(message.filter, edge, width);
            let [vx, vy, vz] = parts(message.v, from, width);
            let u = &message.direction[3 * edge..][..3];
            let gs = &dy.s[to * width..][..width];
            let [gx, gy, gz] = parts(dy.v, to, width);
            for k in 0..width {
                let along = u[0] * gx[k] + u[1] * gy[k] + u[2] * gz[k];
                let carried = vx[k] * gx[k] + vy[k] * gy[k] + vz[k] * gz[k];
                o0[k] += factor * gs[k] * f0[k];
                o1[k] += factor * along * f1[k];
                o2[k] += factor * carried * f2[k];
            }
        }
    }
}

wide! {
    fn v_row(
        out: &mut [f32],
        places: Range<usize>,
        order: Option<&[u32]>,
        dy: Arrived<'_>,
        message: Message<'_>,
    ) {
        let width = message.width;
        let [ox, oy, oz] = parts_mut(out, width);
        for place in places {
            let edge = edge_at(order, place);
            let (from, to) = (message.from[edge] as usize, message.to[edge] as usize);
            let factor = message.cutoff[edge];
            let filter = part(message.filter, edge, 2, width);
            let x = part(message.x, from, 2, width);
            let [gx, gy, gz] = parts(dy.v, to, width);
            for k in 0..width {
                let carried = factor * filter[k] * x[k];
                ox[k] += carried * gx[k];
                oy[k] += carried * gy[k];
                oz[k] += carried * gz[k];
            }
        }
    }
}
