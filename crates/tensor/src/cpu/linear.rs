//! Linear layers: product, bias and activation of a block of rows while it is in the cache.

use dfdx::prelude::*;

use super::activation::{apply, multiply_by_derivative};
use super::elementwise::{add_row, add_to};
use super::out::{self, Out};
use super::product::{View, product_into};
use super::scratch::Scratch;
use super::team::{each, join};
use super::{Buffer, Dense, Result, slice};
use crate::Activation;
use crate::backend::{LinearLayer, LinearOutput};
use crate::ops::LinearKernels;

impl LinearKernels for Cpu {
    fn linear(&self, layer: &LinearLayer<'_, Self>, keep_sum: bool) -> Result<LinearOutput<Self>> {
        let shape = (layer.input.shape().0, layer.weight.shape().1);
        if !keep_sum {
            let output = forward(shape.0, &plain(layer));
            return Ok((self.try_tensor_from_vec(output, shape)?, None));
        }
        let [output, sum] = forward_with_sum(shape.0, &plain(layer));
        let sum = self.try_tensor_from_vec(sum, shape)?;
        Ok((self.try_tensor_from_vec(output, shape)?, Some(sum)))
    }

    fn linear_backward(
        &self,
        dx: Option<&mut Buffer>,
        dweight: &mut Buffer,
        dbias: Option<&mut Buffer>,
        dy: &mut Buffer,
        layer: &LinearLayer<'_, Self>,
        from: &Dense,
    ) -> Result<()> {
        let gradients = Gradients {
            input: dx.map(|dx| &mut **dx),
            weight: dweight,
            bias: dbias.map(|dbias| &mut **dbias),
        };
        backward(gradients, dy, &plain(layer), slice(from));
        Ok(())
    }
}

fn plain<'a>(layer: &LinearLayer<'a, Cpu>) -> Layer<'a> {
    Layer {
        input: slice(layer.input),
        weight: slice(layer.weight),
        bias: layer.bias.map(slice),
        n_in: layer.weight.shape().0,
        n_out: layer.weight.shape().1,
        activation: layer.activation,
    }
}

/// Minimum and maximum rows per block. The gemm microkernels take 6 at a time.
const MIN_BLOCK: usize = 72;
const MAX_BLOCK: usize = 252;
/// Minimum rows of a weight's gradient per thread.
const WEIGHT_ROWS: usize = 32;

#[derive(Clone, Copy)]
pub(super) struct Layer<'a> {
    /// `[n_row, n_in]`.
    pub(super) input: &'a [f32],
    /// `[n_in, n_out]`.
    pub(super) weight: &'a [f32],
    /// `[n_out]`.
    pub(super) bias: Option<&'a [f32]>,
    pub(super) n_in: usize,
    pub(super) n_out: usize,
    pub(super) activation: Activation,
}

/// Accumulators of the gradients; empty ones stand for zeros.
pub(super) struct Gradients<'a> {
    /// `[n_row, n_in]`, if needed.
    pub(super) input: Option<&'a mut Vec<f32>>,
    /// `[n_in, n_out]`.
    pub(super) weight: &'a mut Vec<f32>,
    /// `[n_out]`.
    pub(super) bias: Option<&'a mut Vec<f32>>,
}

/// `activation(input weight + bias)`, `[n_row, n_out]`.
pub(super) fn forward(n_row: usize, layer: &Layer<'_>) -> Vec<f32> {
    let block = block_rows(n_row);
    out::new(n_row * layer.n_out, |output| {
        output.by_blocks(block * layer.n_out, |index, output| {
            let output = forward_block(output, index * block, layer);
            for rows in output.chunks_mut(few_rows(layer)) {
                add_bias(rows, layer);
                apply(layer.activation, rows);
            }
            output
        })
    })
}

/// The same, plus the sum before the activation.
pub(super) fn forward_with_sum(n_row: usize, layer: &Layer<'_>) -> [Vec<f32>; 2] {
    let block = block_rows(n_row);
    out::new_pair([n_row * layer.n_out; 2], [block * layer.n_out; 2], |index, output, sum| {
        let sum = forward_block(Out::New(sum), index * block, layer);
        let few = few_rows(layer);
        let output = out::by_parts(output, few, |index, output| {
            let first = index * few;
            let sum = &mut sum[first..first + output.len()];
            add_bias(sum, layer);
            let output = out::copied(output, sum);
            apply(layer.activation, output);
            output
        });
        (output, sum)
    })
}

/// Rows per block: at least four blocks of about equal size, so that two threads get equal shares.
fn block_rows(n_row: usize) -> usize {
    let n_block = n_row.div_ceil(MAX_BLOCK).max(4);
    n_row.div_ceil(n_block).next_multiple_of(6).clamp(MIN_BLOCK, MAX_BLOCK)
}

/// Numbers in a few whole rows that stay in the L1 cache between passes over them.
fn few_rows(layer: &Layer<'_>) -> usize {
    const FEW: usize = 2048;
    (FEW / layer.n_out.max(1)).max(1) * layer.n_out.max(1)
}

fn add_bias(rows: &mut [f32], layer: &Layer<'_>) {
    if let Some(bias) = layer.bias {
        add_row(rows, bias, layer.n_out);
    }
}

/// Writes to new memory the product of each row with the weight.
fn forward_block<'o>(sum: Out<'o>, first: usize, layer: &Layer<'_>) -> &'o mut [f32] {
    let n_row = sum.len() / layer.n_out;
    let first = first * layer.n_in;
    let input = View::new(&layer.input[first..first + n_row * layer.n_in], n_row, layer.n_in);
    let weight = View::new(layer.weight, layer.n_in, layer.n_out);
    product_into(sum, input, weight)
}

/// Adds the gradients. `dy` becomes the gradient of the sum before the activation, whose derivative
/// is computed `from` that sum or from the output.
pub(super) fn backward(gradients: Gradients<'_>, dy: &mut [f32], layer: &Layer<'_>, from: &[f32]) {
    if dy.is_empty() {
        return;
    }
    let (n_in, n_out) = (layer.n_in, layer.n_out);
    let n_row = dy.len() / n_out;
    let block = block_rows(n_row);
    if layer.activation != Activation::Identity {
        let blocks = dy.chunks_mut(block * n_out).zip(from.chunks(block * n_out));
        each(blocks.collect(), |(dy, from)| {
            multiply_by_derivative(layer.activation, dy, from);
        });
    }
    let dy = &*dy;
    let input = View::new(layer.input, n_row, n_in).transposed();
    // Sums over all rows are computed in order.
    let of_weight = |n: usize| {
        if let Some(of_bias) = gradients.bias {
            out::add(of_bias, n_out, |of_bias| {
                let of_bias = of_bias.values();
                dy.chunks_exact(n_out).for_each(|row| add_to(of_bias, row));
                of_bias
            });
        }
        out::add(gradients.weight, n_in * n_out, |of_weight| {
            of_weight.by_blocks(n * n_out, |index, rows| {
                let input = input.rows(index * n..index * n + rows.len() / n_out);
                product_into(rows, input, View::new(dy, n_row, n_out))
            })
        });
    };
    let of_input = |dx: &mut Vec<f32>| {
        let turned = transposed_weight(layer);
        let weight = View::new(&turned, n_out, n_in);
        out::add(dx, n_row * n_in, |dx| {
            dx.by_blocks(block * n_in, |index, dx| {
                let first = index * block * n_out;
                let n_row = dx.len() / n_in;
                let dy = &dy[first..first + n_row * n_out];
                product_into(dx, View::new(dy, n_row, n_out), weight)
            })
        });
    };
    if n_row <= block {
        // Waking another thread costs more than one block.
        gradients.input.map(of_input);
        of_weight(n_in);
    } else {
        // Each thread goes over all rows of `dy`, so there are no more parts than threads. Each sum
        // is computed in the same way in all of them.
        let n = n_in.div_ceil(rayon::current_num_threads()).next_multiple_of(WEIGHT_ROWS);
        join(|| of_weight(n), || _ = gradients.input.map(of_input));
    }
}

/// `[n_out, n_in]`.
fn transposed_weight(layer: &Layer<'_>) -> Scratch {
    const TILE: usize = 16;
    let Layer { weight, n_in, n_out, .. } = *layer;
    let mut out = Scratch::new(n_in * n_out);
    for (tile, rows) in weight.chunks(TILE * n_out).enumerate() {
        for j in 0..n_out {
            for (i, row) in rows.chunks_exact(n_out).enumerate() {
                out[j * n_in + tile * TILE + i] = row[j];
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares with sums in double precision, without an activation.
    fn check(n_row: usize, n_in: usize, n_out: usize) {
        let numbers = |n: usize, step: usize| -> Vec<f32> {
            (0..n).map(|i| (i * step % 17) as f32 / 8.0 - 1.0).collect()
        };
        let (input, weight) = (numbers(n_row * n_in, 5), numbers(n_in * n_out, 7));
        let (bias, mut dy) = (numbers(n_out, 3), numbers(n_row * n_out, 11));
        let layer = Layer {
            input: &input,
            weight: &weight,
            bias: Some(&bias),
            n_in,
            n_out,
            activation: Activation::Identity,
        };
        let [y, sum] = forward_with_sum(n_row, &layer);
        assert_eq!(y, sum);
        assert_eq!(y, forward(n_row, &layer));
        let [mut dx, mut dw, mut db] = [n_row * n_in, n_in * n_out, n_out].map(|n| vec![1.0; n]);
        let gradients = Gradients { input: Some(&mut dx), weight: &mut dw, bias: Some(&mut db) };
        backward(gradients, &mut dy, &layer, &y);

        let dot = |n: usize, term: &dyn Fn(usize) -> f32| -> f64 {
            (0..n).map(|k| f64::from(term(k))).sum()
        };
        let near = |got: f32, expected: f64| {
            assert!((f64::from(got) - expected).abs() < 1e-4 * (n_row as f64), "{got} {expected}");
        };
        for place in 0..200 {
            let (row, i, j) = (place * 37 % n_row, place * 13 % n_in, place * 29 % n_out);
            let product = dot(n_in, &|k| input[row * n_in + k] * weight[k * n_out + j]);
            near(y[row * n_out + j], product + f64::from(bias[j]));
            let of_input = dot(n_out, &|k| dy[row * n_out + k] * weight[i * n_out + k]);
            near(dx[row * n_in + i], 1.0 + of_input);
            let of_weight = dot(n_row, &|k| input[k * n_in + i] * dy[k * n_out + j]);
            near(dw[i * n_out + j], 1.0 + of_weight);
            near(db[j], 1.0 + dot(n_row, &|k| dy[k * n_out + j]));
        }
    }

    #[test]
    fn many_rows_in_groups_of_blocks() {
        check(20 * MAX_BLOCK + 3, 7, 5);
    }

    #[test]
    fn a_large_weight_divided_by_its_rows() {
        check(MAX_BLOCK + 1, 300, 250);
    }

    /// All results, for rows of which only the first `n_real` have a gradient.
    fn results(n_row: usize, n_real: usize, [n_in, n_out]: [usize; 2]) -> [Vec<f32>; 4] {
        let numbers = |n: usize, step: usize| -> Vec<f32> {
            (0..n).map(|i| ((i * step) % 1009) as f32 / 300.0 - 1.7).collect()
        };
        let (input, weight) = (numbers(n_row * n_in, 377), numbers(n_in * n_out, 611));
        let (bias, mut dy) = (numbers(n_out, 71), numbers(n_row * n_out, 499));
        dy[n_real * n_out..].fill(0.0);
        let activation = Activation::Silu;
        let layer =
            Layer { input: &input, weight: &weight, bias: Some(&bias), n_in, n_out, activation };
        let [mut y, sum] = forward_with_sum(n_row, &layer);
        let [mut dx, mut dw, mut db] = [n_row * n_in, n_in * n_out, n_out].map(|n| numbers(n, 29));
        let gradients = Gradients { input: Some(&mut dx), weight: &mut dw, bias: Some(&mut db) };
        backward(gradients, &mut dy, &layer, &sum);
        y.truncate(n_real * n_out);
        dx.truncate(n_real * n_in);
        [y, dx, dw, db]
    }

    #[test]
    fn rows_behind_change_no_bit() {
        let shapes = [[64, 64], [7, 5], [40, 1], [1, 40], [1, 1], [2, 3], [600, 40], [300, 250]];
        let blocks = [1, 2, 16, 17].map(|n| n * MAX_BLOCK);
        let borders = blocks.into_iter().flat_map(|n| [n - 1, n, n + 1, n + 2, n + 3]);
        for n_real in (1..9).chain([50, 513, 514]).chain(borders) {
            for shape in shapes {
                let alone = results(n_real, n_real, shape);
                for more in [1, 2, 3, 30, MAX_BLOCK, 700] {
                    let found = results(n_real + more, n_real, shape);
                    for (what, (a, b)) in
                        ["y", "dx", "dweight", "dbias"].iter().zip(alone.iter().zip(&found))
                    {
                        let differ = a.iter().zip(b).position(|(a, b)| a.to_bits() != b.to_bits());
                        assert_eq!(differ, None, "{what} of {n_real} + {more} rows, {shape:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_single_row_and_a_single_column() {
        check(1, 3, 1);
    }

    #[test]
    fn no_rows_at_all() {
        let layer = Layer {
            input: &[],
            weight: &[1.0, 2.0],
            bias: None,
            n_in: 1,
            n_out: 2,
            activation: Activation::Silu,
        };
        assert!(forward(0, &layer).is_empty());
        let mut dw = vec![5.0; 2];
        let mut dx = Vec::new();
        let gradients = Gradients { input: Some(&mut dx), weight: &mut dw, bias: None };
        backward(gradients, &mut [], &layer, &[]);
        assert_eq!(dw, [5.0, 5.0]);
    }
}
