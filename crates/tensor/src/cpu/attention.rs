//! Attention along edges, per head: scores, their softmax over the incoming edges of a receiver,
//! and the weighted sum of the senders' rows, all for one receiver while they are in the cache.
//!
//! Edges are sorted by receiver. A receiver with many edges is shared between tasks, each with its
//! own softmax, which are merged at the end.

use dfdx::prelude::*;

use super::dot::{self, add_dots, dots};
use super::math::exp;
use super::propagate::{Edges, Factors, add_products, add_rows};
use super::rows::parallel;
use super::segment::{Piece, cut, sum};
use super::team::each;
use super::wide::wide;
use super::{Buffer, Dense, Result, filled_from_zeros, slice, sums};
use crate::ops::AttentionKernels;
use crate::{Activation, backend};

impl AttentionKernels for Cpu {
    fn attend(&self, attention: &backend::Attention<'_, Self>) -> Result<[Dense; 2]> {
        let (from, to) = (attention.from, attention.to);
        let mut share = vec![0.0; from.n_item * attention.n_head];
        let out = filled_from_zeros(self, [to.n_segment, attention.x.shape().1], |out| {
            forward(out, &mut share, &plain(attention));
        })?;
        Ok([out, self.try_tensor_from_vec(share, (from.n_item, attention.n_head))?])
    }

    fn attend_backward(
        &self,
        dx: &mut Buffer,
        [sender, receiver]: &mut [Buffer; 2],
        dy: &Buffer,
        attention: &backend::Attention<'_, Self>,
        results: [&Dense; 2],
    ) -> Result<()> {
        let plain = plain(attention);
        let mut gradients = Gradients {
            x: sums(dx, plain.x.len()),
            sender_score: sums(sender, plain.sender_score.len()),
            receiver_score: sums(receiver, plain.receiver_score.len()),
        };
        let from = attention.from;
        let by_sender = BySender { offset: &from.offset, order: from.order.as_deref() };
        backward(&mut gradients, dy, results.map(slice), &plain, by_sender);
        Ok(())
    }

    fn head_scores(&self, x: &Dense, weight: &Dense) -> Result<Dense> {
        let n_head = weight.shape().0;
        filled_from_zeros(self, [x.shape().0, n_head], |out| {
            dot::head_scores(out, slice(x), slice(weight), n_head);
        })
    }

    fn head_scores_backward(
        &self,
        dx: &mut Buffer,
        dweight: &mut Buffer,
        dy: &Buffer,
        x: &Dense,
        weight: &Dense,
    ) -> Result<()> {
        let n_head = weight.shape().0;
        let (x, weight) = (slice(x), slice(weight));
        let (dx, dweight) = (sums(dx, x.len()), sums(dweight, weight.len()));
        dot::head_scores_backward(dx, dweight, dy, x, weight, n_head);
        Ok(())
    }

    fn mean_of_heads(&self, x: &Dense, n_head: usize) -> Result<Dense> {
        let (n_row, width, x) = (x.shape().0, x.shape().1 / n_head, slice(x));
        filled_from_zeros(self, [n_row, width], |out| {
            parallel(out, width, |first, out| {
                add_means(out, &x[first * n_head * width..], n_head, width);
            });
        })
    }

    fn mean_of_heads_backward(
        &self,
        dx: &mut Buffer,
        dy: &Buffer,
        n_head: usize,
        width: usize,
    ) -> Result<()> {
        parallel(sums(dx, dy.len() * n_head), n_head * width, |first, dx| {
            add_shares(dx, &dy[first * width..], n_head, width);
        });
        Ok(())
    }
}

fn plain<'a>(attention: &backend::Attention<'a, Cpu>) -> Attention<'a> {
    let backend::Attention { x, scores, from, to, n_head } = *attention;
    Attention {
        x: slice(x),
        sender_score: slice(scores[0]),
        receiver_score: slice(scores[1]),
        sender: &from.of,
        receiver: &to.of,
        offset: &to.offset,
        n_head,
        width: x.shape().1 / n_head,
        slope: Activation::LEAKY_SLOPE,
    }
}

/// The inputs of attention.
#[derive(Clone, Copy)]
pub(super) struct Attention<'a> {
    /// `[n_sender, n_head * width]`.
    pub(super) x: &'a [f32],
    /// `[n_sender, n_head]`.
    pub(super) sender_score: &'a [f32],
    /// `[n_receiver, n_head]`.
    pub(super) receiver_score: &'a [f32],
    /// Sender of each edge.
    pub(super) sender: &'a [u32],
    /// Receiver of each edge, ascending.
    pub(super) receiver: &'a [u32],
    /// First edge of each receiver, and the number of edges.
    pub(super) offset: &'a [u32],
    pub(super) n_head: usize,
    /// Columns per head.
    pub(super) width: usize,
    /// Slope for scores below 0.
    pub(super) slope: f32,
}

struct Task<'a> {
    /// n + 1 bounds, for n rows.
    bounds: [u32; 2],
    /// Receivers of these edges.
    receivers: std::ops::Range<usize>,
    rows: &'a mut [f32],
    share: &'a mut [f32],
    /// Maximum score and sum of exponentials of each head; for a part of a receiver.
    part: Option<[&'a mut [f32]; 2]>,
}

/// Adds the sums to `out` `[n_receiver, n_head * width]`, and writes the share of each edge
/// `[n_edge, n_head]`.
pub(super) fn forward(out: &mut [f32], share: &mut [f32], attention: &Attention<'_>) {
    let Attention { offset, n_head, width, .. } = *attention;
    let n_column = n_head * width;
    if out.is_empty() || n_column == 0 {
        return;
    }
    let pieces = cut(offset);
    let n_part = pieces.iter().filter(|piece| matches!(piece, Piece::Part { .. })).count();
    let mut part_rows = vec![0.0; n_part * n_column];
    let mut part_sums = vec![0.0; n_part * 2 * n_head];
    let tasks = tasks(&pieces, out, share, (&mut part_rows, &mut part_sums), attention);
    each(tasks, |task| run(task, attention));
    join(&pieces, out, share, (&part_rows, &part_sums), [n_head, width]);
}

fn tasks<'a>(
    pieces: &[Piece],
    mut rows: &'a mut [f32],
    mut share: &'a mut [f32],
    (part_rows, part_sums): (&'a mut [f32], &'a mut [f32]),
    attention: &Attention<'_>,
) -> Vec<Task<'a>> {
    let Attention { offset, n_head, width, .. } = *attention;
    let n_column = n_head * width;
    let mut parts =
        part_rows.chunks_exact_mut(n_column).zip(part_sums.chunks_exact_mut(2 * n_head));
    let mut next_row = 0;
    let mut next_edge = 0;
    let mut tasks = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let (receivers, bounds) = match piece {
            Piece::Whole(s) => (s.clone(), [offset[s.start], offset[s.end]]),
            Piece::Part { segment, items } => {
                (*segment..segment + 1, [items.start as u32, items.end as u32])
            }
        };
        debug_assert_eq!(bounds[0], next_edge, "pieces cover all edges in their order");
        let n_edge = (bounds[1] - bounds[0]) as usize;
        let (own_share, rest) = std::mem::take(&mut share).split_at_mut(n_edge * n_head);
        share = rest;
        next_edge = bounds[1];
        let (own_rows, part) = match piece {
            Piece::Part { .. } => {
                let Some((row, sums)) = parts.next() else { continue };
                let (largest, total) = sums.split_at_mut(n_head);
                (row, Some([largest, total]))
            }
            Piece::Whole(segments) => {
                let skipped = (segments.start - next_row) * n_column;
                let (own, rest) =
                    std::mem::take(&mut rows)[skipped..].split_at_mut(segments.len() * n_column);
                rows = rest;
                next_row = segments.end;
                (own, None)
            }
        };
        tasks.push(Task { bounds, receivers, rows: own_rows, share: own_share, part });
    }
    tasks
}

fn run(task: Task<'_>, attention: &Attention<'_>) {
    let Attention { x, sender_score, receiver_score, sender, offset, n_head, width, slope, .. } =
        *attention;
    let Task { bounds: [first, end], receivers, rows, share, part } = task;
    let sender = &sender[first as usize..end as usize];
    let own_score = &receiver_score[receivers.start * n_head..receivers.end * n_head];
    let of_part = [first, end];
    let is_part = part.is_some();
    let bounds = if is_part { &of_part[..] } else { &offset[receivers.start..=receivers.end] };
    let mut own = vec![0.0; if is_part { 0 } else { 2 * own_score.len() }];
    let [largest, total] = part.unwrap_or_else(|| {
        let (largest, total) = own.split_at_mut(own_score.len());
        [largest, total]
    });
    soften(share, largest, total, bounds, sender, sender_score, own_score, slope, n_head);
    if !is_part {
        divide(share, total, bounds, n_head);
    }
    let edges = Edges { offset, order: None, other_end: sender };
    add_rows(rows, bounds, first, edges, Factors { x, weight: Some(share), n_head, width });
}

/// Merges the softmaxes of the parts of long segments.
fn join(
    pieces: &[Piece],
    out: &mut [f32],
    share: &mut [f32],
    (part_rows, part_sums): (&[f32], &[f32]),
    [n_head, width]: [usize; 2],
) {
    let n_column = n_head * width;
    let parts: Vec<_> = pieces
        .iter()
        .filter_map(|piece| match piece {
            Piece::Part { segment, items } => Some((*segment, items.clone())),
            Piece::Whole(_) => None,
        })
        .zip(part_rows.chunks_exact(n_column).zip(part_sums.chunks_exact(2 * n_head)))
        .collect();
    for group in parts.chunk_by(|((a, _), _), ((b, _), _)| a == b) {
        let segment = group[0].0.0;
        let out = &mut out[segment * n_column..(segment + 1) * n_column];
        for (head, out) in out.chunks_exact_mut(width).enumerate() {
            let score = |sums: &[f32]| sums[head];
            let largest = group
                .iter()
                .map(|(_, (_, sums))| score(sums))
                .fold(f32::NEG_INFINITY, |a, b| if b > a || b.is_nan() { b } else { a });
            let rescaled = |sums: &[f32]| exp::<false>(score(sums) - largest);
            let total: f32 =
                group.iter().map(|(_, (_, sums))| rescaled(sums) * sums[n_head + head]).sum();
            for ((_, items), (row, sums)) in group {
                let factor = rescaled(sums) / total;
                for (out, x) in out.iter_mut().zip(&row[head * width..]) {
                    *out += factor * x;
                }
                let share = &mut share[items.start * n_head..items.end * n_head];
                for share in share.iter_mut().skip(head).step_by(n_head) {
                    *share *= factor;
                }
            }
        }
    }
}

/// Accumulators of the gradients.
pub(super) struct Gradients<'a> {
    pub(super) x: &'a mut [f32],
    pub(super) sender_score: &'a mut [f32],
    pub(super) receiver_score: &'a mut [f32],
}

/// Edges sorted by sender.
#[derive(Clone, Copy)]
pub(super) struct BySender<'a> {
    pub(super) offset: &'a [u32],
    pub(super) order: Option<&'a [u32]>,
}

/// Adds the gradients of [`forward`], whose results were `out` and `share`.
pub(super) fn backward(
    gradients: &mut Gradients<'_>,
    dy: &[f32],
    [out, share]: [&[f32]; 2],
    attention: &Attention<'_>,
    by_sender: BySender<'_>,
) {
    let Attention { x, sender, receiver, offset, n_head, width, slope, .. } = *attention;
    let [of_sender, of_receiver] = [attention.sender_score, attention.receiver_score];
    // Softmax gradient: share * (d - the share-weighted mean of d), where d is the factor on the
    // score's share, and its mean follows from the result.
    let mut mean = vec![0.0; of_receiver.len()];
    add_dots(&mut mean, dy, out, [n_head, width]);
    let mut dscore = vec![0.0; share.len()];
    parallel(&mut dscore, n_head, |first, dscore| {
        let edges = first..first + dscore.len() / n_head;
        let (sender, receiver) = (&sender[edges.clone()], &receiver[edges.clone()]);
        dots(dscore, [dy, x], [receiver, sender], [n_head, width]);
        let share = &share[edges.start * n_head..edges.end * n_head];
        of_scores(dscore, share, &mean, sender, receiver, of_sender, of_receiver, slope, n_head);
    });
    sum(gradients.receiver_score, &dscore, offset, None, n_head);
    let BySender { offset, order } = by_sender;
    sum(gradients.sender_score, &dscore, offset, order, n_head);
    let edges = Edges { offset, order, other_end: receiver };
    add_products(gradients.x, edges, Factors { x: dy, weight: Some(share), n_head, width });
}

wide! {
    /// Replaces scores, minus the maximum of their receiver and head, by their exponentials;
    /// `bounds` of n receivers, and for each receiver and head the maximum score and the sum.
    fn soften(
        share: &mut [f32],
        largest: &mut [f32],
        total: &mut [f32],
        bounds: &[u32],
        sender: &[u32],
        of_sender: &[f32],
        of_receiver: &[f32],
        slope: f32,
        n_head: usize,
    ) {
        let first = bounds[0];
        let rows = largest.chunks_exact_mut(n_head).zip(total.chunks_exact_mut(n_head));
        let rows = rows.zip(of_receiver.chunks_exact(n_head));
        for (((largest, total), own), bounds) in rows.zip(bounds.windows(2)) {
            let edges = (bounds[0] - first) as usize..(bounds[1] - first) as usize;
            let share = &mut share[edges.start * n_head..edges.end * n_head];
            largest.fill(f32::NEG_INFINITY);
            for (share, &node) in share.chunks_exact_mut(n_head).zip(&sender[edges]) {
                let theirs = &of_sender[node as usize * n_head..][..n_head];
                for ((share, largest), (a, b)) in
                    share.iter_mut().zip(&mut *largest).zip(theirs.iter().zip(own))
                {
                    let sum = a + b;
                    let score = if sum > 0.0 { sum } else { slope * sum };
                    *share = score;
                    *largest = if score > *largest || score.is_nan() { score } else { *largest };
                }
            }
            total.fill(0.0);
            for share in share.chunks_exact_mut(n_head) {
                for ((share, largest), total) in share.iter_mut().zip(&*largest).zip(&mut *total) {
                    *share = exp::<FUSED>(*share - largest);
                    *total += *share;
                }
            }
        }
    }
}

wide! {
    fn divide(share: &mut [f32], total: &[f32], bounds: &[u32], n_head: usize) {
        let first = bounds[0];
        for (total, bounds) in total.chunks_exact(n_head).zip(bounds.windows(2)) {
            let edges = (bounds[0] - first) as usize..(bounds[1] - first) as usize;
            let share = &mut share[edges.start * n_head..edges.end * n_head];
            for share in share.chunks_exact_mut(n_head) {
                for (share, total) in share.iter_mut().zip(total) {
                    *share /= total;
                }
            }
        }
    }
}

wide! {
    /// Turns the factors on shares into the gradient of the scores before their slope.
    fn of_scores(
        dscore: &mut [f32],
        share: &[f32],
        mean: &[f32],
        sender: &[u32],
        receiver: &[u32],
        of_sender: &[f32],
        of_receiver: &[f32],
        slope: f32,
        n_head: usize,
    ) {
        let rows = dscore.chunks_exact_mut(n_head).zip(share.chunks_exact(n_head));
        for ((dscore, share), (&sender, &receiver)) in rows.zip(sender.iter().zip(receiver)) {
            let theirs = &of_sender[sender as usize * n_head..][..n_head];
            let own = &of_receiver[receiver as usize * n_head..][..n_head];
            let mean = &mean[receiver as usize * n_head..][..n_head];
            for head in 0..n_head {
                let d = share[head] * (dscore[head] - mean[head]);
                dscore[head] = if theirs[head] + own[head] > 0.0 { d } else { slope * d };
            }
        }
    }
}

wide! {
    fn add_means(out: &mut [f32], x: &[f32], n_head: usize, width: usize) {
        let factor = 1.0 / n_head as f32;
        let rows = out.chunks_exact_mut(width).zip(x.chunks_exact(n_head * width));
        for (out, x) in rows {
            for x in x.chunks_exact(width) {
                for (out, x) in out.iter_mut().zip(x) {
                    *out += x;
                }
            }
            for out in &mut *out {
                *out *= factor;
            }
        }
    }
}

wide! {
    fn add_shares(dx: &mut [f32], dy: &[f32], n_head: usize, width: usize) {
        let factor = 1.0 / n_head as f32;
        let rows = dx.chunks_exact_mut(n_head * width).zip(dy.chunks_exact(width));
        for (dx, dy) in rows {
            for dx in dx.chunks_exact_mut(width) {
                for (dx, dy) in dx.iter_mut().zip(dy) {
                    *dx += factor * dy;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compared in double precision, with a receiver of 3,000 edges among small ones and one
    /// without edges.
    #[test]
    fn a_hub_is_like_one_softmax() {
        let (n_head, width, n_sender) = (2, 20, 50);
        let sizes = [3_u32, 3000, 0, 5];
        let offset: Vec<u32> = (0..=4).map(|n| sizes[..n].iter().sum()).collect();
        let n_edge = offset[4] as usize;
        let sender: Vec<u32> = (0..n_edge as u32).map(|e| e * 17 % n_sender).collect();
        let receiver: Vec<u32> =
            (0..4).flat_map(|i| std::iter::repeat_n(i, sizes[i as usize] as usize)).collect();
        let numbers = |n: usize, step: usize| -> Vec<f32> {
            (0..n).map(|i| (i * step % 101) as f32 / 20.0 - 2.5).collect()
        };
        let x = numbers(50 * n_head * width, 37);
        let (theirs, own) = (numbers(50 * n_head, 29), numbers(4 * n_head, 53));
        let attention = Attention {
            x: &x,
            sender_score: &theirs,
            receiver_score: &own,
            sender: &sender,
            receiver: &receiver,
            offset: &offset,
            n_head,
            width,
            slope: 0.2,
        };
        let mut out = vec![0.0; 4 * n_head * width];
        let mut share = vec![0.0; n_edge * n_head];
        forward(&mut out, &mut share, &attention);
        for node in 0..4 {
            for head in 0..n_head {
                let edges = offset[node] as usize..offset[node + 1] as usize;
                let e = |edge: usize| {
                    let at = sender[edge] as usize * n_head + head;
                    let sum = f64::from(theirs[at]) + f64::from(own[node * n_head + head]);
                    (if sum > 0.0 { sum } else { 0.2 * sum }).exp()
                };
                let total: f64 = edges.clone().map(e).sum();
                for edge in edges.clone() {
                    let found = f64::from(share[edge * n_head + head]);
                    assert!((found - e(edge) / total).abs() < 1e-5, "edge {edge}");
                }
                for column in 0..width {
                    let at = |edge| sender[edge] as usize * n_head * width + head * width + column;
                    let term = |edge| e(edge) / total * f64::from(x[at(edge)]);
                    let expected: f64 = edges.clone().map(term).sum();
                    let found = f64::from(out[(node * n_head + head) * width + column]);
                    assert!((found - expected).abs() < 1e-5, "{found} for {expected}");
                }
            }
        }
    }
}
