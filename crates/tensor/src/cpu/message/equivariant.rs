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

/// The gradient with respect to w: `out (+)= [ds, u dv, v dv]`, dot products over the components.
pub(super) fn put_parts_gradient(
    out: RowsMut<'_>,
    [dy, vector, direction]: [Rows<'_>; 3],
    n_edge: usize,
    width: usize,
) {
    vectorised(PartsGradient { out, dy, vector, direction, n_edge, width });
}

/// The gradient with respect to v: `out (+)= w_3 dv`.
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
        let (width, add) = (self.width, self.out.adds());
        for edge in 0..self.n_edge {
            let [w1, w2, w3] = cut::<3>(self.parts.get(edge, 3 * width), width);
            let vector = cut::<3>(self.vector.get(edge, 3 * width), width);
            let direction = self.direction.get(edge, 3);
            let [scalars, components @ ..] = cut_mut::<4>(self.out.get(edge, 4 * width), width);
            put_sum(simd, scalars, [w1], add);
            for ((out, v), &u) in components.into_iter().zip(vector).zip(direction) {
                let us = simd.splat_f32s(u);
                put_each(
                    simd,
                    out,
                    [w2, w3, v],
                    add,
                    |sum, [w2, w3, v]| multiply_add(simd, w3, v, multiply_add(simd, w2, us, sum)),
                    |sum, [w2, w3, v]| sum + w2 * u + w3 * v,
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
        let (width, add) = (self.width, self.out.adds());
        for edge in 0..self.n_edge {
            let [ds, dx, dy, dz] = cut::<4>(self.dy.get(edge, 4 * width), width);
            let [vx, vy, vz] = cut::<3>(self.vector.get(edge, 3 * width), width);
            let direction = self.direction.get(edge, 3);
            let (x, y, z) = (direction[0], direction[1], direction[2]);
            let [xs, ys, zs] = [simd.splat_f32s(x), simd.splat_f32s(y), simd.splat_f32s(z)];
            let [scalars, along, across] = cut_mut::<3>(self.out.get(edge, 3 * width), width);
            put_sum(simd, scalars, [ds], add);
            put_each(
                simd,
                along,
                [dx, dy, dz],
                add,
                |sum, [dx, dy, dz]| {
                    let sum = multiply_add(simd, dy, ys, multiply_add(simd, dx, xs, sum));
                    multiply_add(simd, dz, zs, sum)
                },
                |sum, [dx, dy, dz]| sum + dx * x + dy * y + dz * z,
            );
            put_each(
                simd,
                across,
                [dx, dy, dz, vx, vy, vz],
                add,
                |sum, [dx, dy, dz, vx, vy, vz]| {
                    let sum = multiply_add(simd, dy, vy, multiply_add(simd, dx, vx, sum));
                    multiply_add(simd, dz, vz, sum)
                },
                |sum, [dx, dy, dz, vx, vy, vz]| sum + dx * vx + dy * vy + dz * vz,
            );
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
        let (width, add) = (self.width, self.out.adds());
        for edge in 0..self.n_edge {
            let [_, dv @ ..] = cut::<4>(self.dy.get(edge, 4 * width), width);
            let [_, _, w3] = cut::<3>(self.parts.get(edge, 3 * width), width);
            let components = cut_mut::<3>(self.out.get(edge, 3 * width), width);
            for (out, dv) in components.into_iter().zip(dv) {
                put_each(
                    simd,
                    out,
                    [w3, dv],
                    add,
                    |sum, [w3, dv]| multiply_add(simd, w3, dv, sum),
                    |sum, [w3, dv]| sum + w3 * dv,
                );
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
fn cut_mut<const N: usize>(row: &mut [f32], width: usize) -> [&mut [f32]; N] {
    let mut rest = row;
    std::array::from_fn(|_| {
        let (part, after) = std::mem::take(&mut rest).split_at_mut(width);
        rest = after;
        part
    })
}

/// `out (+)= x`.
#[inline(always)]
fn put_sum<S: Simd>(simd: S, out: &mut [f32], x: [&[f32]; 1], add: bool) {
    put_each(simd, out, x, add, |sum, [x]| simd.add_f32s(sum, x), |sum, [x]| sum + x);
}

/// Applies `vector` or `single` to an accumulator, 0 unless `add`, and the numbers at its position.
#[inline(always)]
fn put_each<S: Simd, const N: usize>(
    simd: S,
    out: &mut [f32],
    inputs: [&[f32]; N],
    add: bool,
    vector: impl Fn(S::f32s, [S::f32s; N]) -> S::f32s,
    single: impl Fn(f32, [f32; N]) -> f32,
) {
    let zeros = simd.splat_f32s(0.0);
    let (out, rest) = S::as_mut_simd_f32s(out);
    let heads: [&[S::f32s]; N] =
        std::array::from_fn(|input| &S::as_simd_f32s(inputs[input]).0[..out.len()]);
    let tails: [&[f32]; N] =
        std::array::from_fn(|input| &S::as_simd_f32s(inputs[input]).1[..rest.len()]);
    for (i, out) in out.iter_mut().enumerate() {
        let sum = if add { *out } else { zeros };
        *out = vector(sum, std::array::from_fn(|input| heads[input][i]));
    }
    for (i, out) in rest.iter_mut().enumerate() {
        let sum = if add { *out } else { 0.0 };
        *out = single(sum, std::array::from_fn(|input| tails[input][i]));
    }
}
