//! Scalars and vectors of nodes, node by node. `mixed` has rows x, y and z of each node, each with
//! l and r concatenated: six blocks of `width` numbers per node.

use dfdx::prelude::*;

use super::out::{self, Out};
use super::wide::wide;
use super::{Buffer, Dense, Result, filled, slice};
use crate::ops::EquivariantKernels;

impl EquivariantKernels for Cpu {
    /// `[s, sqrt(r_x^2 + r_y^2 + r_z^2 + epsilon)]`.
    fn norms_beside(&self, s: &Dense, mixed: &Dense, epsilon: f32) -> Result<Dense> {
        let (&(n_node, width), s, mixed) = (s.shape(), slice(s), slice(mixed));
        filled(self, [n_node, 2 * width], |out| {
            out.rows(2 * width, |first, rows| {
                norms_of(rows, &s[first * width..], &mixed[6 * first * width..], epsilon, width);
            })
        })
    }

    fn norms_beside_backward(
        &self,
        ds: Option<&mut Buffer>,
        dmixed: Option<&mut Buffer>,
        dy: &Buffer,
        mixed: &Dense,
        output: &Dense,
    ) -> Result<()> {
        let (width, mixed, output) = (mixed.shape().1 / 2, slice(mixed), slice(output));
        if let Some(ds) = ds {
            out::add(ds, dy.len() / 2, |ds| {
                ds.rows(width, |first, rows| add_columns(rows, &dy[2 * first * width..], width))
            });
        }
        if let Some(dmixed) = dmixed {
            out::add(dmixed, mixed.len(), |dmixed| {
                dmixed.rows(6 * width, |first, rows| {
                    let [from_mixed, from_output] = [6, 2].map(|parts| parts * first * width);
                    let (dy, output) = (&dy[from_output..], &output[from_output..]);
                    norm_gradient(rows, dy, &mixed[from_mixed..], output, width);
                })
            });
        }
        Ok(())
    }

    fn add_received(&self, state: [&Dense; 2], received: &Dense, limit: f32) -> Result<[Dense; 2]> {
        let width = state[0].shape().1;
        let state = add_received(state.map(slice), slice(received), limit, width);
        scalars_and_vectors(self, state, width)
    }

    fn add_received_backward(
        &self,
        dreceived: &mut Buffer,
        dy: [&Buffer; 2],
        received: &Dense,
        limit: f32,
    ) -> Result<()> {
        let (received, width) = (slice(received), received.shape().1 / 4);
        let dy = dy.map(|dy| dy.as_slice());
        out::add(dreceived, received.len(), |dreceived| {
            add_received_gradient(dreceived, dy, received, limit, width)
        });
        Ok(())
    }

    fn equivariant_update(
        &self,
        state: [&Dense; 2],
        gates: &Dense,
        mixed: &Dense,
        limit: f32,
    ) -> Result<[Dense; 2]> {
        let width = state[0].shape().1;
        let by = Update { gates: slice(gates), mixed: slice(mixed), limit, width };
        scalars_and_vectors(self, update(state.map(slice), by), width)
    }

    fn equivariant_update_backward(
        &self,
        dgates: Option<&mut Buffer>,
        dmixed: Option<&mut Buffer>,
        dy: [&Buffer; 2],
        gates: &Dense,
        mixed: &Dense,
        limit: f32,
    ) -> Result<()> {
        let width = mixed.shape().1 / 2;
        let update = Update { gates: slice(gates), mixed: slice(mixed), limit, width };
        let gradients = [dgates.map(|dgates| &mut **dgates), dmixed.map(|dmixed| &mut **dmixed)];
        update_backward(gradients, dy.map(|dy| dy.as_slice()), update);
        Ok(())
    }
}

/// Two new matrices, `[n_node, width]` and `[3 n_node, width]`.
fn scalars_and_vectors(device: &Cpu, [s, v]: [Vec<f32>; 2], width: usize) -> Result<[Dense; 2]> {
    let matrix = |values: Vec<f32>| {
        let n_row = values.len() / width.max(1);
        device.try_tensor_from_vec(values, (n_row, width))
    };
    Ok([matrix(s)?, matrix(v)?])
}

/// Scalars `[n_node, width]` and vectors `[n_node, 3 width]` plus the received messages, `[n_node,
/// 4 width]`, clipped to the limit.
fn add_received(state: [&[f32]; 2], received: &[f32], limit: f32, width: usize) -> [Vec<f32>; 2] {
    changed(state, width, |first, s, v| {
        add_received_rows(s, v, &received[4 * first * width..], limit, width);
    })
}

/// The gradient of [`add_received`] with respect to the received messages.
fn add_received_gradient<'o>(
    dreceived: Out<'o>,
    [ds, dv]: [&[f32]; 2],
    received: &[f32],
    limit: f32,
    width: usize,
) -> &'o mut [f32] {
    dreceived.rows(4 * width, |first, rows| {
        let start = first * width;
        let (ds, dv) = (&ds[start..], &dv[3 * start..]);
        received_gradient_rows(rows, ds, dv, &received[4 * start..], limit, width);
    })
}

/// How nodes update their own scalars and vectors.
#[derive(Clone, Copy)]
struct Update<'a> {
    /// `[n_node, 3 width]`.
    gates: &'a [f32],
    /// `[n_node, 6 width]`.
    mixed: &'a [f32],
    limit: f32,
    width: usize,
}

/// Scalars and vectors plus `g_1 + g_3 (l . r)` and `g_2 l`, clipped to the limit.
fn update(state: [&[f32]; 2], update: Update<'_>) -> [Vec<f32>; 2] {
    let Update { gates, mixed, limit, width } = update;
    changed(state, width, |first, s, v| {
        let start = first * width;
        update_rows(s, v, &gates[3 * start..], &mixed[6 * start..], limit, width);
    })
}

/// Adds the needed gradients of [`update`] with respect to gates and mixed vectors; empty ones
/// stand for zeros.
fn update_backward(
    gradients: [Option<&mut Vec<f32>>; 2],
    [ds, dv]: [&[f32]; 2],
    update: Update<'_>,
) {
    let Update { gates, mixed, limit, width } = update;
    let of_gates = |first: usize, rows: &mut [f32]| {
        let start = first * width;
        let (ds, dv) = (&ds[start..], &dv[3 * start..]);
        gate_rows(rows, ds, dv, &gates[3 * start..], &mixed[6 * start..], limit, width);
    };
    let of_mixed = |first: usize, rows: &mut [f32]| {
        let start = first * width;
        let (ds, dv) = (&ds[start..], &dv[3 * start..]);
        mixed_rows(rows, ds, dv, &gates[3 * start..], &mixed[6 * start..], limit, width);
    };
    match gradients {
        [Some(dgates), Some(dmixed)] if dgates.is_empty() && dmixed.is_empty() => {
            // The inputs of both are in the cache for the second.
            let n_node = chunk_nodes(width);
            let sizes = [3, 6].map(|parts| parts * n_node * width);
            [*dgates, *dmixed] =
                out::new_pair([gates.len(), mixed.len()], sizes, |index, dgates, dmixed| {
                    let (dgates, dmixed) = (out::zeroed(dgates), out::zeroed(dmixed));
                    of_gates(index * n_node, dgates);
                    of_mixed(index * n_node, dmixed);
                    (dgates, dmixed)
                });
        }
        [dgates, dmixed] => {
            if let Some(dgates) = dgates {
                out::add(dgates, gates.len(), |dgates| dgates.rows(3 * width, of_gates));
            }
            if let Some(dmixed) = dmixed {
                out::add(dmixed, mixed.len(), |dmixed| dmixed.rows(6 * width, of_mixed));
            }
        }
    }
}

/// Copies of scalars and vectors, to which `add(first node, scalars, vectors)` adds.
fn changed(
    [s, v]: [&[f32]; 2],
    width: usize,
    add: impl Fn(usize, &mut [f32], &mut [f32]) + Sync + Send,
) -> [Vec<f32>; 2] {
    let n_node = chunk_nodes(width);
    let sizes = [1, 3].map(|parts| parts * n_node * width);
    out::new_pair([s.len(), v.len()], sizes, |index, of_s, of_v| {
        let [first_s, first_v] = sizes.map(|size| index * size);
        let of_s = out::copied_from(of_s, &s[first_s..]);
        let of_v = out::copied_from(of_v, &v[first_v..]);
        add(index * n_node, of_s, of_v);
        (of_s, of_v)
    })
}

/// Number of nodes whose scalars, vectors and changes fit into a core's own cache.
fn chunk_nodes(width: usize) -> usize {
    ((1 << 11) / width.max(1)).max(1)
}

/// A change, clipped to the limit; NaN stays NaN.
#[inline(always)]
#[allow(clippy::inline_always, reason = "it takes on the features of its caller")]
fn clipped(change: f32, limit: f32) -> f32 {
    let change = if change > limit { limit } else { change };
    if change < -limit { -limit } else { change }
}

/// The gradient with respect to a clipped change.
#[inline(always)]
#[allow(clippy::inline_always, reason = "it takes on the features of its caller")]
fn within(dy: f32, change: f32, limit: f32) -> f32 {
    if change.abs() > limit { 0.0 } else { dy }
}

/// Splits a row into `n` blocks.
#[inline(always)]
#[allow(clippy::inline_always, reason = "it takes on the features of its caller")]
fn blocks<const N: usize>(row: &[f32], width: usize) -> [&[f32]; N] {
    std::array::from_fn(|block| &row[block * width..][..width])
}

wide! {
    fn norms_of(out: &mut [f32], s: &[f32], mixed: &[f32], epsilon: f32, width: usize) {
        let inputs = s.chunks_exact(width).zip(mixed.chunks_exact(6 * width));
        for (out, (s, mixed)) in out.chunks_exact_mut(2 * width).zip(inputs) {
            let [_, rx, _, ry, _, rz] = blocks(mixed, width);
            let (scalars, norms) = out.split_at_mut(width);
            scalars.copy_from_slice(s);
            for k in 0..width {
                norms[k] = (rx[k] * rx[k] + ry[k] * ry[k] + rz[k] * rz[k] + epsilon).sqrt();
            }
        }
    }
}

wide! {
    fn add_columns(ds: &mut [f32], dy: &[f32], width: usize) {
        for (ds, dy) in ds.chunks_exact_mut(width).zip(dy.chunks_exact(2 * width)) {
            for (ds, dy) in ds.iter_mut().zip(dy) {
                *ds += dy;
            }
        }
    }
}

wide! {
    fn norm_gradient(dmixed: &mut [f32], dy: &[f32], mixed: &[f32], output: &[f32], width: usize) {
        let inputs = mixed.chunks_exact(6 * width);
        let outputs = dy.chunks_exact(2 * width).zip(output.chunks_exact(2 * width));
        let rows = dmixed.chunks_exact_mut(6 * width).zip(inputs.zip(outputs));
        for (dmixed, (mixed, (dy, output))) in rows {
            let ([_, dy], [_, norm]) = (blocks(dy, width), blocks(output, width));
            for (dmixed, mixed) in
                dmixed.chunks_exact_mut(2 * width).zip(mixed.chunks_exact(2 * width))
            {
                let (dr, [_, r]) = (&mut dmixed[width..], blocks(mixed, width));
                for k in 0..width {
                    dr[k] += dy[k] * r[k] / norm[k];
                }
            }
        }
    }
}

wide! {
    fn add_received_rows(
        s: &mut [f32],
        v: &mut [f32],
        received: &[f32],
        limit: f32,
        width: usize,
    ) {
        let state = s.chunks_exact_mut(width).zip(v.chunks_exact_mut(3 * width));
        for ((s, v), received) in state.zip(received.chunks_exact(4 * width)) {
            let (of_s, of_v) = received.split_at(width);
            for (s, &change) in s.iter_mut().zip(of_s) {
                *s += clipped(change, limit);
            }
            for (v, &change) in v.iter_mut().zip(of_v) {
                *v += clipped(change, limit);
            }
        }
    }
}

wide! {
    fn received_gradient_rows(
        dreceived: &mut [f32],
        ds: &[f32],
        dv: &[f32],
        received: &[f32],
        limit: f32,
        width: usize,
    ) {
        let dy = ds.chunks_exact(width).zip(dv.chunks_exact(3 * width));
        let rows = dreceived.chunks_exact_mut(4 * width).zip(received.chunks_exact(4 * width));
        for ((dreceived, received), (ds, dv)) in rows.zip(dy) {
            let (of_s, of_v) = dreceived.split_at_mut(width);
            let (change_s, change_v) = received.split_at(width);
            for (of_s, (&ds, &change)) in of_s.iter_mut().zip(ds.iter().zip(change_s)) {
                *of_s += within(ds, change, limit);
            }
            for (of_v, (&dv, &change)) in of_v.iter_mut().zip(dv.iter().zip(change_v)) {
                *of_v += within(dv, change, limit);
            }
        }
    }
}

wide! {
    fn update_rows(
        s: &mut [f32],
        v: &mut [f32],
        gates: &[f32],
        mixed: &[f32],
        limit: f32,
        width: usize,
    ) {
        let state = s.chunks_exact_mut(width).zip(v.chunks_exact_mut(3 * width));
        let inputs = gates.chunks_exact(3 * width).zip(mixed.chunks_exact(6 * width));
        for ((s, v), (gates, mixed)) in state.zip(inputs) {
            let [g1, g2, g3] = blocks(gates, width);
            let [lx, rx, ly, ry, lz, rz] = blocks(mixed, width);
            for k in 0..width {
                let dot = lx[k] * rx[k] + ly[k] * ry[k] + lz[k] * rz[k];
                s[k] += clipped(g1[k] + g3[k] * dot, limit);
            }
            for (v, l) in v.chunks_exact_mut(width).zip([lx, ly, lz]) {
                for k in 0..width {
                    v[k] += clipped(g2[k] * l[k], limit);
                }
            }
        }
    }
}

wide! {
    fn gate_rows(
        dgates: &mut [f32],
        ds: &[f32],
        dv: &[f32],
        gates: &[f32],
        mixed: &[f32],
        limit: f32,
        width: usize,
    ) {
        let dy = ds.chunks_exact(width).zip(dv.chunks_exact(3 * width));
        let inputs = gates.chunks_exact(3 * width).zip(mixed.chunks_exact(6 * width)).zip(dy);
        for (dgates, ((gates, mixed), (ds, dv))) in dgates.chunks_exact_mut(3 * width).zip(inputs) {
            let [g1, g2, g3] = blocks(gates, width);
            let [lx, rx, ly, ry, lz, rz] = blocks(mixed, width);
            let (d1, rest) = dgates.split_at_mut(width);
            let (d2, d3) = rest.split_at_mut(width);
            for k in 0..width {
                let dot = lx[k] * rx[k] + ly[k] * ry[k] + lz[k] * rz[k];
                let ds = within(ds[k], g1[k] + g3[k] * dot, limit);
                d1[k] += ds;
                d3[k] += ds * dot;
            }
            for (dv, l) in dv.chunks_exact(width).zip([lx, ly, lz]) {
                for k in 0..width {
                    d2[k] += within(dv[k], g2[k] * l[k], limit) * l[k];
                }
            }
        }
    }
}

wide! {
    fn mixed_rows(
        dmixed: &mut [f32],
        ds: &[f32],
        dv: &[f32],
        gates: &[f32],
        mixed: &[f32],
        limit: f32,
        width: usize,
    ) {
        let dy = ds.chunks_exact(width).zip(dv.chunks_exact(3 * width));
        let inputs = gates.chunks_exact(3 * width).zip(mixed.chunks_exact(6 * width)).zip(dy);
        let mut scaled = vec![0.0; width];
        for (dmixed, ((gates, mixed), (ds, dv))) in dmixed.chunks_exact_mut(6 * width).zip(inputs) {
            let [g1, g2, g3] = blocks(gates, width);
            let [lx, rx, ly, ry, lz, rz] = blocks(mixed, width);
            for k in 0..width {
                let dot = lx[k] * rx[k] + ly[k] * ry[k] + lz[k] * rz[k];
                scaled[k] = within(ds[k], g1[k] + g3[k] * dot, limit) * g3[k];
            }
            let components = mixed.chunks_exact(2 * width).zip(dv.chunks_exact(width));
            for (dmixed, (mixed, dv)) in dmixed.chunks_exact_mut(2 * width).zip(components) {
                let [l, r] = blocks(mixed, width);
                let (dl, dr) = dmixed.split_at_mut(width);
                for k in 0..width {
                    dl[k] += within(dv[k], g2[k] * l[k], limit) * g2[k] + scaled[k] * r[k];
                    dr[k] += scaled[k] * l[k];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_beyond_the_limit_count_as_the_limit_and_have_no_gradient() {
        let received = [0.5, 3.0, -3.0, -2.0, 0.0, f32::NAN, 2.5, -0.5];
        let [s, v] = add_received([&[1.0; 2], &[1.0; 6]], &received, 2.0, 1);
        assert_eq!((s, &v[..3]), (vec![1.5, 1.0], &[3.0, -1.0, -1.0][..]));
        assert!(v[3].is_nan() && v[4..] == [3.0, 0.5]);
        let mut dreceived = vec![1.0; 4];
        out::add(&mut dreceived, 4, |dreceived| {
            add_received_gradient(dreceived, [&[10.0], &[10.0; 3]], &received, 2.0, 1)
        });
        assert_eq!(dreceived, [11.0, 1.0, 1.0, 11.0]);
    }

    #[test]
    fn gradients_of_an_update_are_the_same_together_and_alone() {
        let numbers = |n: usize, step: usize| -> Vec<f32> {
            (0..n).map(|i| ((i * step) % 101) as f32 / 50.0 - 1.0).collect()
        };
        for [n_node, width] in [[0, 3], [1, 1], [700, 7], [3, 3000]] {
            let n = n_node * width;
            let (gates, mixed) = (numbers(3 * n, 37), numbers(6 * n, 41));
            let (ds, dv) = (numbers(n, 43), numbers(3 * n, 47));
            let update = Update { gates: &gates, mixed: &mixed, limit: 0.5, width };
            let (mut dgates, mut dmixed) = (Vec::new(), Vec::new());
            update_backward([Some(&mut dgates), Some(&mut dmixed)], [&ds, &dv], update);
            let (mut alone_gates, mut alone_mixed) = (vec![0.0; 3 * n], Vec::new());
            update_backward([Some(&mut alone_gates), None], [&ds, &dv], update);
            update_backward([None, Some(&mut alone_mixed)], [&ds, &dv], update);
            assert_eq!((dgates, dmixed), (alone_gates, alone_mixed), "{n_node} x {width}");
        }
    }
}
