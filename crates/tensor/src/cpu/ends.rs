//! Sums over an edge and its two ends.

use super::rows::parallel;
use super::wide::wide;

/// `out[e] = edge[e] + a[from[e]] + b[to[e]]`.
pub(super) fn add(
    out: &mut [f32],
    edge: &[f32],
    [a, b]: [&[f32]; 2],
    [from, to]: [&[u32]; 2],
    width: usize,
) {
    parallel(out, width, |first, rows| {
        let edge = &edge[first * width..first * width + rows.len()];
        add_rows(rows, edge, a, b, &from[first..], &to[first..], width);
    });
}

wide! {
    fn add_rows(
        out: &mut [f32],
        edge: &[f32],
        a: &[f32],
        b: &[f32],
        from: &[u32],
        to: &[u32],
        width: usize,
    ) {
        let rows = out.chunks_exact_mut(width).zip(edge.chunks_exact(width));
        for ((out, edge), (&from, &to)) in rows.zip(from.iter().zip(to)) {
            let a = &a[from as usize * width..][..width];
            let b = &b[to as usize * width..][..width];
            for ((out, edge), (a, b)) in out.iter_mut().zip(edge).zip(a.iter().zip(b)) {
                *out = edge + (a + b);
            }
        }
    }
}
