//! Linear layers: product, bias and activation of one block of rows while it is in the cache.

use rayon::prelude::*;

use super::activation::{apply, multiply_by_derivative};
use super::elementwise::add_to;
use super::product::{View, product};
use crate::Activation;

/// Rows of a block.
const BLOCK: usize = 256;
/// At most so many sums of weight gradients are kept side by side.
const MAX_PARTIAL: usize = 16;
/// Weights larger than this have no partial sums; their gradient is divided by rows instead.
const LARGE_WEIGHT: usize = 1 << 16;
/// Rows of a large weight's gradient that one thread computes.
const WEIGHT_ROWS: usize = 32;

/// A layer and its input.
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

/// Where gradients are added.
pub(super) struct Gradients<'a> {
    /// `[n_row, n_in]`, if it is wanted.
    pub(super) input: Option<&'a mut [f32]>,
    /// `[n_in, n_out]`.
    pub(super) weight: &'a mut [f32],
    /// `[n_out]`.
    pub(super) bias: Option<&'a mut [f32]>,
}

/// `output = activation(input weight + bias)`, and the sum before the activation.
pub(super) fn forward(output: &mut [f32], sum: Option<&mut Vec<f32>>, layer: &Layer<'_>) {
    let width = BLOCK * layer.n_out;
    let Some(sum) = sum else {
        return each_block(output.chunks_mut(width.max(1)).enumerate(), |(block, output)| {
            forward_block(output, block, layer);
            apply(layer.activation, output);
        });
    };
    let blocks = output.chunks_mut(width.max(1)).zip(sum.chunks_mut(width.max(1))).enumerate();
    each_block(blocks, |(block, (output, sum))| {
        forward_block(sum, block, layer);
        output.copy_from_slice(sum);
        apply(layer.activation, output);
    });
}

fn each_block<T: Send>(blocks: impl Iterator<Item = T>, kernel: impl Fn(T) + Sync + Send) {
    let mut blocks: Vec<T> = blocks.collect();
    if blocks.len() == 1 {
        // Waking another thread costs more than one block.
        blocks.drain(..).for_each(kernel);
    } else {
        blocks.into_par_iter().with_max_len(1).for_each(kernel);
    }
}

fn forward_block(sum: &mut [f32], block: usize, layer: &Layer<'_>) {
    let n_row = sum.len() / layer.n_out;
    let first = block * BLOCK * layer.n_in;
    let input = View::new(&layer.input[first..first + n_row * layer.n_in], n_row, layer.n_in);
    let weight = View::new(layer.weight, layer.n_in, layer.n_out);
    if let Some(bias) = layer.bias {
        sum.chunks_exact_mut(layer.n_out).for_each(|row| row.copy_from_slice(bias));
    }
    product(sum, input, weight, layer.bias.is_some());
}

/// Adds the gradients. `dy` becomes the gradient of the sum before the activation, whose derivative
/// is computed `from` that sum or from the output.
pub(super) fn backward(gradients: Gradients<'_>, dy: &mut [f32], layer: &Layer<'_>, from: &[f32]) {
    if dy.is_empty() {
        return;
    }
    let (n_in, n_out) = (layer.n_in, layer.n_out);
    let n_row = dy.len() / n_out;
    let n_weight = n_in * n_out;
    let large = n_weight > LARGE_WEIGHT;
    let group = n_row.div_ceil(BLOCK).div_ceil(MAX_PARTIAL) * BLOCK;
    let n_partial = n_out + if large { 0 } else { n_weight };
    let mut partial = vec![0.0; n_row.div_ceil(group) * n_partial];

    let mut of_input = gradients.input.map(|input| input.chunks_mut(group * n_in));
    let groups = dy.chunks_mut(group * n_out).zip(partial.chunks_mut(n_partial)).enumerate().map(
        |(index, (dy, partial))| {
            let dx = of_input.as_mut().and_then(Iterator::next);
            (index * group, dy, dx, partial)
        },
    );
    each_block(groups, |(first, dy, mut dx, partial)| {
        let (of_bias, of_weight) = partial.split_at_mut(n_out);
        for (block, dy) in dy.chunks_mut(BLOCK * n_out).enumerate() {
            let n_row = dy.len() / n_out;
            let row = first + block * BLOCK;
            let rows = |width: usize| row * width..(row + n_row) * width;
            multiply_by_derivative(layer.activation, dy, &from[rows(n_out)]);
            let dy_view = View::new(dy, n_row, n_out);
            if let Some(dx) = &mut dx {
                let start = block * BLOCK * n_in;
                let dx = &mut dx[start..start + n_row * n_in];
                let weight = View::new(layer.weight, n_in, n_out);
                product(dx, dy_view, weight.transposed(), true);
            }
            if !large {
                let input = View::new(&layer.input[rows(n_in)], n_row, n_in);
                product(of_weight, input.transposed(), dy_view, true);
            }
            if layer.bias.is_some() {
                dy.chunks_exact(n_out).for_each(|row| add_to(of_bias, row));
            }
        }
    });

    if large {
        let input = View::new(layer.input, n_row, n_in).transposed();
        let dy = View::new(dy, n_row, n_out);
        let blocks = gradients.weight.chunks_mut(WEIGHT_ROWS * n_out).enumerate();
        each_block(blocks, |(block, rows)| {
            let input = input.rows(block * WEIGHT_ROWS, rows.len() / n_out);
            product(rows, input, dy, true);
        });
    } else {
        for partial in partial.chunks_exact(n_partial) {
            add_to(gradients.weight, &partial[n_out..]);
        }
    }
    if let Some(of_bias) = gradients.bias {
        for partial in partial.chunks_exact(n_partial) {
            add_to(of_bias, &partial[..n_out]);
        }
    }
}
