//! Scalars from vectors and vectors from scalars, node by node. `mixed` has rows x, y and z of
//! each node, each row l and r side by side: six blocks of `width` numbers per node.

use super::out::Out;
use super::wide::wide;

/// `out = [s, sqrt(r_x^2 + r_y^2 + r_z^2 + epsilon)]`, `[n_node, 2 width]`.
pub(super) fn norms_beside<'o>(
    out: Out<'o>,
    s: &[f32],
    mixed: &[f32],
    epsilon: f32,
    width: usize,
) -> &'o mut [f32] {
    out.rows(2 * width, |first, rows| {
        norms_of(rows, &s[first * width..], &mixed[6 * first * width..], epsilon, width);
    })
}

/// The gradient of `norms_beside` by the scalars.
pub(super) fn add_first_columns<'o>(ds: Out<'o>, dy: &[f32], width: usize) -> &'o mut [f32] {
    ds.rows(width, |first, rows| {
        add_columns(rows, &dy[2 * first * width..], width);
    })
}

/// The gradient of `norms_beside` by the vectors; `output` is its result.
pub(super) fn add_norm_gradient<'o>(
    dmixed: Out<'o>,
    dy: &[f32],
    mixed: &[f32],
    output: &[f32],
    width: usize,
) -> &'o mut [f32] {
    dmixed.rows(6 * width, |first, rows| {
        let (from_mixed, from_output) = (6 * first * width, 2 * first * width);
        norm_gradient(
            rows,
            &dy[from_output..],
            &mixed[from_mixed..],
            &output[from_output..],
            width,
        );
    })
}

/// `g_1 + g_3 (l . r)`, `[n_node, width]`.
pub(super) fn scalar_change<'o>(
    out: Out<'o>,
    gates: &[f32],
    mixed: &[f32],
    width: usize,
) -> &'o mut [f32] {
    out.rows(width, |first, rows| {
        scalar_rows(rows, &gates[3 * first * width..], &mixed[6 * first * width..], width);
    })
}

/// `g_2 l`, `[n_node, 3 width]`.
pub(super) fn vector_change<'o>(
    out: Out<'o>,
    gates: &[f32],
    mixed: &[f32],
    width: usize,
) -> &'o mut [f32] {
    out.rows(3 * width, |first, rows| {
        vector_rows(rows, &gates[3 * first * width..], &mixed[6 * first * width..], width);
    })
}

/// The gradient of both changes by the gates.
pub(super) fn add_to_gates<'o>(
    dgates: Out<'o>,
    [ds, dv]: [&[f32]; 2],
    mixed: &[f32],
    width: usize,
) -> &'o mut [f32] {
    dgates.rows(3 * width, |first, rows| {
        let start = first * width;
        gate_rows(rows, &ds[start..], &dv[3 * start..], &mixed[6 * start..], width);
    })
}

/// The gradient of both changes by the vectors.
pub(super) fn add_to_mixed<'o>(
    dmixed: Out<'o>,
    [ds, dv]: [&[f32]; 2],
    gates: &[f32],
    mixed: &[f32],
    width: usize,
) -> &'o mut [f32] {
    dmixed.rows(6 * width, |first, rows| {
        let start = first * width;
        mixed_rows(
            rows,
            &ds[start..],
            &dv[3 * start..],
            &gates[3 * start..],
            &mixed[6 * start..],
            width,
        );
    })
}

/// A row of `n` blocks in its blocks.
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
    fn scalar_rows(out: &mut [f32], gates: &[f32], mixed: &[f32], width: usize) {
        let inputs = gates.chunks_exact(3 * width).zip(mixed.chunks_exact(6 * width));
        for (out, (gates, mixed)) in out.chunks_exact_mut(width).zip(inputs) {
            let [g1, _, g3] = blocks(gates, width);
            let [lx, rx, ly, ry, lz, rz] = blocks(mixed, width);
            for k in 0..width {
                out[k] = g1[k] + g3[k] * (lx[k] * rx[k] + ly[k] * ry[k] + lz[k] * rz[k]);
            }
        }
    }
}

wide! {
    fn vector_rows(out: &mut [f32], gates: &[f32], mixed: &[f32], width: usize) {
        let inputs = gates.chunks_exact(3 * width).zip(mixed.chunks_exact(6 * width));
        for (out, (gates, mixed)) in out.chunks_exact_mut(3 * width).zip(inputs) {
            let [_, g2, _] = blocks(gates, width);
            let components = out.chunks_exact_mut(width).zip(mixed.chunks_exact(2 * width));
            for (out, mixed) in components {
                for (out, (g2, l)) in out.iter_mut().zip(g2.iter().zip(mixed)) {
                    *out = g2 * l;
                }
            }
        }
    }
}

wide! {
    fn gate_rows(dgates: &mut [f32], ds: &[f32], dv: &[f32], mixed: &[f32], width: usize) {
        let dy = ds.chunks_exact(width).zip(dv.chunks_exact(3 * width));
        let inputs = mixed.chunks_exact(6 * width).zip(dy);
        for (dgates, (mixed, (ds, dv))) in dgates.chunks_exact_mut(3 * width).zip(inputs) {
            let [lx, rx, ly, ry, lz, rz] = blocks(mixed, width);
            let [dx, dy, dz] = blocks(dv, width);
            let (d1, rest) = dgates.split_at_mut(width);
            let (d2, d3) = rest.split_at_mut(width);
            for k in 0..width {
                d1[k] += ds[k];
                d2[k] += dx[k] * lx[k] + dy[k] * ly[k] + dz[k] * lz[k];
                d3[k] += ds[k] * (lx[k] * rx[k] + ly[k] * ry[k] + lz[k] * rz[k]);
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
        width: usize,
    ) {
        let dy = ds.chunks_exact(width).zip(dv.chunks_exact(3 * width));
        let inputs = gates.chunks_exact(3 * width).zip(mixed.chunks_exact(6 * width)).zip(dy);
        for (dmixed, ((gates, mixed), (ds, dv))) in dmixed.chunks_exact_mut(6 * width).zip(inputs) {
            let [_, g2, g3] = blocks(gates, width);
            let components = mixed.chunks_exact(2 * width).zip(dv.chunks_exact(width));
            for (dmixed, (mixed, dv)) in dmixed.chunks_exact_mut(2 * width).zip(components) {
                let [l, r] = blocks(mixed, width);
                let (dl, dr) = dmixed.split_at_mut(width);
                for k in 0..width {
                    let scaled = ds[k] * g3[k];
                    dl[k] += dv[k] * g2[k] + scaled * r[k];
                    dr[k] += scaled * l[k];
                }
            }
        }
    }
}
