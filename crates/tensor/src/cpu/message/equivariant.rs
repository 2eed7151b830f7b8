//! Messages of scalars and vectors, see [`Message::equivariant`](crate::Message::equivariant).

#![allow(clippy::inline_always, reason = "these take on the processor features of the loop")]

use pulp::{Simd, WithSimd};

use super::rows::{Rows, RowsMut};
use crate::cpu::simd::{multiply_add, vectorised};

/// `out (+)= [w_1, w_2 u + w_3 v]` for the rows of w (`[3 width]`), v (`[3 width]`) and u (`[3]`).
pub(super) fn put_equivariant(
    out: RowsMut<'_>,
    [parts, vector, direction]: [Rows<'_>; 3],
    n_edge: usize,
    width: usize,
) {
    vectorised(Messages { out, parts, vector, direction, n_edge, width });
}

/// The gradient by w: `out (+)= [ds, u dv, v dv]`, scalar products over the components.
pub(super) fn put_parts_gradient(
    out: RowsMut<'_>,
    [dy, vector, direction]: [Rows<'_>; 3],
    n_edge: usize,
    width: usize,
) {
    vectorised(PartsGradient { out, dy, vector, direction, n_edge, width });
}

/// The gradient by v: `out (+)= w_3 dv`.
pub(super) fn put_vector_gradient(
    out: RowsMut<'_>,
    [dy, parts]: [Rows<'_>; 2],
    n_edge: usize,
    width: usize,
) {
    vectorised(VectorGradient { out, dy, parts, n_edge, width });
}

struct Messages<'a> {
    out: RowsMut<'a>,
    parts: Rows<'a>,
    vector: Rows<'a>,
    direction: Rows<'a>,
    n_edge: usize,
    width: usize,
}

impl WithSimd for Messages<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let width = self.width;
        let add = self.out.add;
        for edge in 0..self.n_edge {
            let [w1, w2, w3] = cut::<3>(self.parts.get(edge, 3 * width), width);
            let vector = cut::<3>(self.vector.get(edge, 3 * width), width);
            let direction = self.direction.get(edge, 3);
            let (scalars, vectors) = self.out.get(edge, 4 * width).split_at_mut(width);
            each(
                simd,
                scalars,
                [w1, w1],
                add,
                |sum, [w, _]| sum_of(simd, sum, w),
                |s, [w, _]| s + w,
            );
            let components = vectors.chunks_exact_mut(width.max(1)).zip(vector);
            for ((out, v), &u) in components.zip(direction) {
                let us = simd.splat_f32s(u);
                if !add {
                    out.fill(0.0);
                }
                each(
                    simd,
                    out,
                    [w2, w2],
                    true,
                    |sum, [w, _]| multiply_add(simd, w, us, sum),
                    |sum, [w, _]| sum + w * u,
                );
                each(
                    simd,
                    out,
                    [w3, v],
                    true,
                    |sum, [w, v]| multiply_add(simd, w, v, sum),
                    |sum, [w, v]| sum + w * v,
                );
            }
        }
    }
}

struct PartsGradient<'a> {
    out: RowsMut<'a>,
    dy: Rows<'a>,
    vector: Rows<'a>,
    direction: Rows<'a>,
    n_edge: usize,
    width: usize,
}

impl WithSimd for PartsGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let width = self.width;
        let add = self.out.add;
        for edge in 0..self.n_edge {
            let [ds, dv @ ..] = cut::<4>(self.dy.get(edge, 4 * width), width);
            let vector = cut::<3>(self.vector.get(edge, 3 * width), width);
            let direction = self.direction.get(edge, 3);
            let out = self.out.get(edge, 3 * width);
            if !add {
                out.fill(0.0);
            }
            let (scalars, others) = out.split_at_mut(width);
            let (along, across) = others.split_at_mut(width);
            each(
                simd,
                scalars,
                [ds, ds],
                true,
                |sum, [d, _]| sum_of(simd, sum, d),
                |s, [d, _]| s + d,
            );
            for ((dv, v), &u) in dv.into_iter().zip(vector).zip(direction) {
                let us = simd.splat_f32s(u);
                each(
                    simd,
                    along,
                    [dv, dv],
                    true,
                    |sum, [d, _]| multiply_add(simd, d, us, sum),
                    |sum, [d, _]| sum + d * u,
                );
                each(
                    simd,
                    across,
                    [dv, v],
                    true,
                    |sum, [d, v]| multiply_add(simd, d, v, sum),
                    |sum, [d, v]| sum + d * v,
                );
            }
        }
    }
}

struct VectorGradient<'a> {
    out: RowsMut<'a>,
    dy: Rows<'a>,
    parts: Rows<'a>,
    n_edge: usize,
    width: usize,
}

impl WithSimd for VectorGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let width = self.width;
        let add = self.out.add;
        for edge in 0..self.n_edge {
            let [_, dv @ ..] = cut::<4>(self.dy.get(edge, 4 * width), width);
            let [_, _, w3] = cut::<3>(self.parts.get(edge, 3 * width), width);
            let out = self.out.get(edge, 3 * width).chunks_exact_mut(width.max(1));
            for (out, dv) in out.zip(dv) {
                if add {
                    each(
                        simd,
                        out,
                        [w3, dv],
                        true,
                        |sum, [w, d]| multiply_add(simd, w, d, sum),
                        |sum, [w, d]| sum + w * d,
                    );
                } else {
                    each(
                        simd,
                        out,
                        [w3, dv],
                        true,
                        |_, [w, d]| simd.mul_f32s(w, d),
                        |_, [w, d]| w * d,
                    );
                }
            }
        }
    }
}

/// The parts of a row, each of this width.
#[inline(always)]
fn cut<const N: usize>(row: &[f32], width: usize) -> [&[f32]; N] {
    std::array::from_fn(|part| &row[part * width..][..width])
}

#[inline(always)]
fn sum_of<S: Simd>(simd: S, a: S::f32s, b: S::f32s) -> S::f32s {
    simd.add_f32s(a, b)
}

/// Sets every number of a row from what it was, or from 0 unless `add`, and those of two others.
#[inline(always)]
fn each<S: Simd>(
    simd: S,
    out: &mut [f32],
    [a, b]: [&[f32]; 2],
    add: bool,
    vector: impl Fn(S::f32s, [S::f32s; 2]) -> S::f32s,
    single: impl Fn(f32, [f32; 2]) -> f32,
) {
    let ((a, a_rest), (b, b_rest)) = (S::as_simd_f32s(a), S::as_simd_f32s(b));
    let (out, rest) = S::as_mut_simd_f32s(out);
    for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
        *out = vector(if add { *out } else { simd.splat_f32s(0.0) }, [a, b]);
    }
    for ((out, &a), &b) in rest.iter_mut().zip(a_rest).zip(b_rest) {
        *out = single(if add { *out } else { 0.0 }, [a, b]);
    }
}
