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
        for edge in 0..self.n_edge {
            let [w1, w2, w3] = cut::<3>(self.parts.get(edge, 3 * width), width);
            let vector = cut::<3>(self.vector.get(edge, 3 * width), width);
            let direction = self.direction.get(edge, 3);
            let [scalars, components @ ..] = cut_mut::<4>(self.out.sums(edge, 4 * width), width);
            add_scaled(simd, scalars, w1, 1.0);
            for ((out, v), &u) in components.into_iter().zip(vector).zip(direction) {
                add_scaled(simd, out, w2, u);
                add_product(simd, out, w3, v);
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
        for edge in 0..self.n_edge {
            let [ds, dv @ ..] = cut::<4>(self.dy.get(edge, 4 * width), width);
            let vector = cut::<3>(self.vector.get(edge, 3 * width), width);
            let direction = self.direction.get(edge, 3);
            let [scalars, along, across] = cut_mut::<3>(self.out.sums(edge, 3 * width), width);
            add_scaled(simd, scalars, ds, 1.0);
            for ((dv, v), &u) in dv.into_iter().zip(vector).zip(direction) {
                add_scaled(simd, along, dv, u);
                add_product(simd, across, dv, v);
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
        for edge in 0..self.n_edge {
            let [_, dv @ ..] = cut::<4>(self.dy.get(edge, 4 * width), width);
            let [_, _, w3] = cut::<3>(self.parts.get(edge, 3 * width), width);
            let components = cut_mut::<3>(self.out.sums(edge, 3 * width), width);
            for (out, dv) in components.into_iter().zip(dv) {
                add_product(simd, out, w3, dv);
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

/// `out += factor x`.
#[inline(always)]
fn add_scaled<S: Simd>(simd: S, out: &mut [f32], x: &[f32], factor: f32) {
    let (x, x_rest) = S::as_simd_f32s(x);
    let (out, rest) = S::as_mut_simd_f32s(out);
    let factors = simd.splat_f32s(factor);
    for (out, &x) in out.iter_mut().zip(x) {
        *out = multiply_add(simd, x, factors, *out);
    }
    for (out, &x) in rest.iter_mut().zip(x_rest) {
        *out += x * factor;
    }
}

/// `out += a b`.
#[inline(always)]
fn add_product<S: Simd>(simd: S, out: &mut [f32], a: &[f32], b: &[f32]) {
    let ((a, a_rest), (b, b_rest)) = (S::as_simd_f32s(a), S::as_simd_f32s(b));
    let (out, rest) = S::as_mut_simd_f32s(out);
    for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
        *out = multiply_add(simd, a, b, *out);
    }
    for ((out, &a), &b) in rest.iter_mut().zip(a_rest).zip(b_rest) {
        *out += a * b;
    }
}
