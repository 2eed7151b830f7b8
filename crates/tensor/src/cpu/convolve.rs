//! Continuous-filter convolution: filters of edges times features of nodes.

use super::rows::parallel;
use super::segment::reduce;
use super::wide::wide;

/// For every segment of edges adds the products of the edges' filters with the rows of `x` at
/// their other end. Forward: segments by receiver, other end the sender. The gradient of the
/// nodes: segments by sender, other end the receiver, `x` the gradient of the result.
pub(super) fn add_products(
    out: &mut [f32],
    filter: &[f32],
    x: &[f32],
    offset: &[u32],
    order: Option<&[u32]>,
    other_end: &[u32],
    width: usize,
) {
    reduce(out, offset, width, |places, row| match order {
        None => {
            let filter = &filter[places.start * width..places.end * width];
            add_run(row, filter, x, &other_end[places]);
        }
        Some(order) => add_listed(row, filter, x, &order[places], other_end),
    });
}

/// The gradient of the filters: `dfilter[e] += dy[receiver[e]] * x[sender[e]]`.
pub(super) fn add_to_filter(
    dfilter: &mut [f32],
    dy: &[f32],
    x: &[f32],
    receiver: &[u32],
    sender: &[u32],
    width: usize,
) {
    parallel(dfilter, width, |first, rows| {
        add_outer(rows, dy, x, &receiver[first..], &sender[first..], width);
    });
}

wide! {
    fn add_run(out: &mut [f32], filter: &[f32], x: &[f32], other_end: &[u32]) {
        let width = out.len();
        for (filter, &node) in filter.chunks_exact(width).zip(other_end) {
            let x = &x[node as usize * width..][..width];
            for (out, (f, x)) in out.iter_mut().zip(filter.iter().zip(x)) {
                *out += f * x;
            }
        }
    }
}

wide! {
    fn add_listed(out: &mut [f32], filter: &[f32], x: &[f32], edges: &[u32], other_end: &[u32]) {
        let width = out.len();
        for &edge in edges {
            let filter = &filter[edge as usize * width..][..width];
            let x = &x[other_end[edge as usize] as usize * width..][..width];
            for (out, (f, x)) in out.iter_mut().zip(filter.iter().zip(x)) {
                *out += f * x;
            }
        }
    }
}

wide! {
    fn add_outer(
        rows: &mut [f32],
        dy: &[f32],
        x: &[f32],
        receiver: &[u32],
        sender: &[u32],
        width: usize,
    ) {
        let ends = receiver.iter().zip(sender);
        for (row, (&receiver, &sender)) in rows.chunks_exact_mut(width).zip(ends) {
            let dy = &dy[receiver as usize * width..][..width];
            let x = &x[sender as usize * width..][..width];
            for (out, (dy, x)) in row.iter_mut().zip(dy.iter().zip(x)) {
                *out += dy * x;
            }
        }
    }
}
