//! Elementwise loops over arrays.

use dfdx::prelude::*;

use super::out::{self, Out};
use super::rows::parallel;
use super::wide::wide;
use super::{Buffer, Dense, Result, filled, slice, sums};
use crate::Adam;
use crate::ops::{AdamKernels, ElementwiseKernels};

/// A kernel that adds a function of two arrays to a third one.
type OfTwo = fn(&mut [f32], &[f32], &[f32]);

impl ElementwiseKernels for Cpu {
    fn add(&self, a: &Dense, b: &Dense) -> Result<Dense> {
        filled(self, [a.shape().0, a.shape().1], |out| by_chunks(out, slice(a), slice(b), add))
    }

    fn multiply(&self, a: &Dense, b: &Dense) -> Result<Dense> {
        let (shape, a, b) = ([a.shape().0, a.shape().1], slice(a), slice(b));
        filled(self, shape, |out| by_chunks(out, a, b, add_product))
    }

    fn accumulate(&self, da: &mut Buffer, dy: &Buffer) -> Result<()> {
        // Nothing was added to an empty gradient.
        if !dy.is_empty() {
            out::add(da, dy.len(), |da| {
                da.rows(1, |first, da| add_to(da, &dy[first..first + da.len()]))
            });
        }
        Ok(())
    }

    fn accumulate_product(&self, da: &mut Buffer, dy: &Buffer, b: &Dense) -> Result<()> {
        out::add(da, dy.len(), |da| by_chunks(da, dy, slice(b), add_product));
        Ok(())
    }

    fn scale_rows(&self, x: &Dense, factor: &Dense) -> Result<Dense> {
        let (shape, x, factor) = (*x.shape(), slice(x), slice(factor));
        filled(self, [shape.0, shape.1], |out| accumulate_scaled_rows(out, x, factor, shape.1))
    }

    fn scale_rows_backward(
        &self,
        dx: Option<&mut Buffer>,
        dfactor: Option<&mut Buffer>,
        dy: &Buffer,
        x: &Dense,
        factor: &Dense,
    ) -> Result<()> {
        let (x, factor, width) = (slice(x), slice(factor), x.shape().1);
        if let Some(dx) = dx {
            out::add(dx, dy.len(), |dx| accumulate_scaled_rows(dx, dy, factor, width));
        }
        if let Some(dfactor) = dfactor {
            let dfactor = sums(dfactor, factor.len());
            if width > 0 {
                parallel(dfactor, 1, |first, dfactor| {
                    let [dy, x] = [dy, x].map(|rows| rows[first * width..].chunks_exact(width));
                    for (dfactor, (dy, x)) in dfactor.iter_mut().zip(dy.zip(x)) {
                        *dfactor += dy.iter().zip(x).map(|(dy, x)| dy * x).sum::<f32>();
                    }
                });
            }
        }
        Ok(())
    }

    fn add_row(&self, x: &Dense, row: &Dense) -> Result<Dense> {
        let (shape, x, row) = (*x.shape(), slice(x), slice(row));
        filled(self, [shape.0, shape.1], |out| {
            out.rows(shape.1, |first, out| {
                add_row_to_all(out, &x[first * shape.1..][..out.len()], row);
            })
        })
    }

    fn add_row_backward(&self, drow: &mut Buffer, dy: &Buffer) -> Result<()> {
        let width = drow.len();
        dy.chunks_exact(width.max(1)).for_each(|row| add_to(drow, row));
        Ok(())
    }
}

/// Runs `kernel` on new memory or accumulators, in parallel.
pub(super) fn by_chunks<'o>(out: Out<'o>, a: &[f32], b: &[f32], kernel: OfTwo) -> &'o mut [f32] {
    out.rows(1, |first, out| {
        let range = first..first + out.len();
        kernel(out, &a[range.clone()], &b[range]);
    })
}

/// Adds to row i of `out` row i of `x` times `factor[i]`.
fn accumulate_scaled_rows<'o>(
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

impl AdamKernels for Cpu {
    fn adam(
        &self,
        step: Adam,
        decay: &[f32],
        parameters: &[&Dense],
        gradients: &[Buffer],
        moments: &mut [[Buffer; 2]],
    ) -> Result<Vec<Dense>> {
        let each = parameters.iter().zip(decay).zip(gradients).zip(moments);
        each.map(|(((parameter, &decay), gradient), [first, second])| {
            let value = adam(step, decay, slice(parameter), gradient, first, second);
            self.try_tensor_from_vec(value, *parameter.shape())
        })
        .collect()
    }
}

/// The values after a step. `decay` times the value is added to its gradient.
fn adam(
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
    fn add(out: &mut [f32], a: &[f32], b: &[f32]) {
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
    /// Adds the same row to every row of `values`, each of which is `step` numbers long.
    pub(super) fn add_row(values: &mut [f32], row: &[f32], step: usize) {
        for values in values.chunks_exact_mut(step.max(1)) {
            for (value, x) in values.iter_mut().zip(row) {
                *value += x;
            }
        }
    }
}

wide! {
    /// `out += a * b`.
    pub(super) fn add_product(out: &mut [f32], a: &[f32], b: &[f32]) {
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
    fn add_row_to_all(out: &mut [f32], x: &[f32], row: &[f32]) {
        let width = row.len();
        for (out, x) in out.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
            for ((out, x), row) in out.iter_mut().zip(x).zip(row) {
                *out = x + row;
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
