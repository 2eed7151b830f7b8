//! Loops over arrays of equal length.

use super::out::{self, Out};
use super::rows::parallel;
use super::wide::wide;
use crate::Adam;

/// `out = a + b`.
pub(super) fn add<'o>(out: Out<'o>, a: &[f32], b: &[f32]) -> &'o mut [f32] {
    out.rows(1, |first, out| {
        let range = first..first + out.len();
        add_chunk(out, &a[range.clone()], &b[range]);
    })
}

/// `out += x`.
pub(super) fn accumulate<'o>(out: Out<'o>, x: &[f32]) -> &'o mut [f32] {
    out.rows(1, |first, out| add_to(out, &x[first..first + out.len()]))
}

/// `out += a * b`.
pub(super) fn accumulate_product<'o>(out: Out<'o>, a: &[f32], b: &[f32]) -> &'o mut [f32] {
    out.rows(1, |first, out| {
        let range = first..first + out.len();
        add_product(out, &a[range.clone()], &b[range]);
    })
}

/// Adds to row i of `out` row i of `x` times `factor[i]`.
pub(super) fn accumulate_scaled_rows<'o>(
    out: Out<'o>,
    x: &[f32],
    factor: &[f32],
    width: usize,
) -> &'o mut [f32] {
    out.rows(width, |first, rows| {
        let x = &x[first * width..first * width + rows.len()];
        add_scaled_rows(rows, x, &factor[first..], width);
    })
}

/// Adds to `out[i]` the scalar product of row i of `a` and row i of `b`.
pub(super) fn accumulate_dots(out: &mut [f32], a: &[f32], b: &[f32], width: usize) {
    if width == 0 {
        return;
    }
    parallel(out, 1, |first, out| {
        let rows =
            a[first * width..].chunks_exact(width).zip(b[first * width..].chunks_exact(width));
        for (out, (a, b)) in out.iter_mut().zip(rows) {
            *out += a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        }
    });
}

/// The values after a step. `decay` times the value is added to its gradient.
pub(super) fn adam(
    step: Adam,
    decay: f32,
    value: &[f32],
    gradient: &[f32],
    first: &mut [f32],
    second: &mut [f32],
) -> Vec<f32> {
    const CHUNK: usize = 1 << 12;
    let moments = first.chunks_mut(CHUNK).zip(second.chunks_mut(CHUNK));
    let inputs = value.chunks(CHUNK).zip(gradient.chunks(CHUNK)).zip(moments);
    out::new_beside(value.len(), CHUNK, inputs, |_, out, ((value, gradient), (first, second))| {
        let out = out::copied(out, value);
        adam_chunk(step, decay, out, gradient, first, second);
        out
    })
}

wide! {
    fn add_chunk(out: &mut [f32], a: &[f32], b: &[f32]) {
        for (out, (a, b)) in out.iter_mut().zip(a.iter().zip(b)) {
            *out = a + b;
        }
    }
}

wide! {
    /// `out += x`.
    pub(super) fn add_to(out: &mut [f32], x: &[f32]) {
        for (out, x) in out.iter_mut().zip(x) {
            *out += x;
        }
    }
}

wide! {
    /// Adds the same row to every row of `values`, of which each is `step` numbers long.
    pub(super) fn add_row(values: &mut [f32], row: &[f32], step: usize) {
        for values in values.chunks_exact_mut(step.max(1)) {
            for (value, x) in values.iter_mut().zip(row) {
                *value += x;
            }
        }
    }
}

wide! {
    fn add_product(out: &mut [f32], a: &[f32], b: &[f32]) {
        for (out, (a, b)) in out.iter_mut().zip(a.iter().zip(b)) {
            *out += a * b;
        }
    }
}

wide! {
    fn add_scaled_rows(out: &mut [f32], x: &[f32], factor: &[f32], width: usize) {
        let rows = out.chunks_exact_mut(width).zip(x.chunks_exact(width));
        for ((out, x), &factor) in rows.zip(factor) {
            for (out, x) in out.iter_mut().zip(x) {
                *out += factor * x;
            }
        }
    }
}

wide! {
    fn adam_chunk(
        step: Adam,
        decay: f32,
        value: &mut [f32],
        gradient: &[f32],
        first: &mut [f32],
        second: &mut [f32],
    ) {
        const KEEP: [f32; 2] = [Adam::BETA1 as f32, Adam::BETA2 as f32];
        const TAKE: [f32; 2] = [(1.0 - Adam::BETA1) as f32, (1.0 - Adam::BETA2) as f32];
        const EPSILON: f32 = Adam::EPSILON as f32;
        let moments = first.iter_mut().zip(second);
        for ((value, &g), (m, v)) in value.iter_mut().zip(gradient).zip(moments) {
            let g = g + decay * *value;
            *m = KEEP[0] * *m + TAKE[0] * g;
            *v = KEEP[1] * *v + TAKE[1] * g * g;
            *value -= step.learning_rate * *m / ((step.second_correction * *v).sqrt() + EPSILON);
        }
    }
}
