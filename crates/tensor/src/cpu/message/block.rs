//! A block of edges, and the computation of one step on it.

use super::band::Expansion;
use super::equivariant::put_equivariant;
use super::rows::{Rows, RowsMut, put, put_gaussians, put_scaled, put_scaled_product};
use super::step::{Plan, Step};
use super::tasks::EdgePlan;
use crate::Activation;
use crate::cpu::activation;
use crate::cpu::elementwise::add_row;
use crate::cpu::scratch::Scratch;
use crate::cpu::tile::{self, Factor};
use crate::message::program::{EdgeLayer, Operation};

/// Consecutive edges of a task.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    /// Position of the first edge.
    pub(super) first: usize,
    pub(super) n: usize,
    pub(super) from: &'a [u32],
    pub(super) to: &'a [u32],
    /// The edge at each position; `None` if positions are edges.
    pub(super) order: Option<&'a [u32]>,
}

/// The bands of a block, for each banded step of Gaussians.
pub(super) struct Bands {
    bands: Vec<Option<Expansion>>,
    distance: Vec<f32>,
}

impl<'a> Block<'a> {
    /// Splits a range of positions into blocks of at most `n_row` edges.
    pub(super) fn cut(
        edges: &'a EdgePlan,
        places: std::ops::Range<usize>,
        n_row: usize,
    ) -> impl Iterator<Item = Self> {
        let end = places.end;
        let n_row = even_rows(places.len(), n_row);
        places.step_by(n_row).map(move |first| {
            let range = first..(first + n_row).min(end);
            Self {
                first,
                n: range.len(),
                from: &edges.from[range.clone()],
                to: &edges.to[range.clone()],
                order: edges.order.as_ref().map(|order| &order[range]),
            }
        })
    }

    /// Rows of a matrix with one row per edge.
    pub(super) fn rows_of_edges(&self, values: &'a [f32], width: usize) -> Rows<'a> {
        match self.order {
            Some(order) => Rows::looked_up(values, width, order),
            None => Rows::in_place(&values[self.first * width..], width),
        }
    }

    /// The values of a step, wherever they are. `values` are those in blocks.
    pub(super) fn rows(&self, step: &Step<'a>, values: &'a [f32]) -> Rows<'a> {
        match step.operation {
            _ if !values.is_empty() => Rows::in_place(values, step.stride),
            Operation::From => Rows::looked_up(step.rows, step.width, self.from),
            Operation::To => Rows::looked_up(step.rows, step.width, self.to),
            Operation::Stored => self.rows_of_edges(step.rows, step.width),
            _ => Rows::in_place(values, step.stride),
        }
    }
}

/// The factors of a product in a block, their values, and the scale of both, if one of them is
/// scaled.
pub(super) struct Factors<'a> {
    /// Steps that have values.
    pub(super) steps: [usize; 2],
    pub(super) rows: [Rows<'a>; 2],
    pub(super) scale: Option<Rows<'a>>,
}

impl<'a> Factors<'a> {
    pub(super) fn new(
        plan: &'a Plan<'a>,
        factors: [usize; 2],
        block: &Block<'a>,
        values: &'a [&mut [f32]],
    ) -> Self {
        let steps = factors.map(|v| plan.scaled(v).unwrap_or(v));
        let scale = factors.into_iter().find(|&v| plan.scaled(v).is_some());
        Self {
            steps,
            rows: steps.map(|v| block.rows(&plan.steps[v], &*values[v])),
            scale: scale.map(|v| block.rows_of_edges(plan.steps[v].rows, 1)),
        }
    }
}

impl Bands {
    pub(super) fn new(plan: &Plan<'_>) -> Self {
        let bands = plan
            .steps
            .iter()
            .map(|step| step.band.filter(|_| !step.in_forward).map(Expansion::new));
        Self { bands: bands.collect(), distance: Vec::new() }
    }

    /// Computes the bands of a block.
    pub(super) fn expand(&mut self, plan: &Plan<'_>, block: &Block<'_>) {
        for (expansion, step) in self.bands.iter_mut().zip(&plan.steps) {
            let Some(expansion) = expansion else { continue };
            distances(&mut self.distance, block, step.rows);
            expansion.expand(&self.distance);
        }
    }

    /// The bands of a step, if it has any.
    pub(super) fn of_step(&self, step: usize) -> Option<&Expansion> {
        self.bands[step].as_ref()
    }
}

/// Edges per block if `n` are split into as few blocks of at most `most` as possible: about equally
/// many in each, in whole tiles of [`tile`].
fn even_rows(n: usize, most: usize) -> usize {
    n.div_ceil(n.div_ceil(most).max(1)).next_multiple_of(6).clamp(1, most)
}

fn distances(out: &mut Vec<f32>, block: &Block<'_>, distance: &[f32]) {
    out.clear();
    match block.order {
        Some(order) => out.extend(order.iter().map(|&edge| distance[edge as usize])),
        None => out.extend_from_slice(&distance[block.first..block.first + block.n]),
    }
}

/// Computes step `v` for a block, with its values written to `out`. The values before an activation
/// go to `sum`, if given. `before` holds the values of the preceding steps.
pub(super) fn evaluate(
    plan: &Plan<'_>,
    v: usize,
    block: &Block<'_>,
    bands: &Bands,
    before: &[&mut [f32]],
    out: &mut [f32],
    sum: Option<&mut [f32]>,
) {
    match (plan.steps[v].operation.activation(), sum) {
        (Activation::Identity, _) => put_values(plan, v, block, bands, before, out, &[]),
        (activation, None) => {
            put_values(plan, v, block, bands, before, out, &[]);
            activation::apply(activation, out);
        }
        (activation, Some(sum)) => {
            put_values(plan, v, block, bands, before, sum, out);
            activation::apply_to(activation, out, sum);
        }
    }
}

/// Computes values before their activation, while prefetching memory that will be written next.
fn put_values(
    plan: &Plan<'_>,
    v: usize,
    block: &Block<'_>,
    bands: &Bands,
    before: &[&mut [f32]],
    out: &mut [f32],
    ahead: &[f32],
) {
    let step = &plan.steps[v];
    let (n, width) = (block.n, step.width);
    let rows = |v: usize| block.rows(&plan.steps[v], &*before[v]);
    match &step.operation {
        Operation::Gaussians => {
            let mut own = Vec::with_capacity(n);
            distances(&mut own, block, step.rows);
            let basis = step.basis.expect("a step of Gaussians is made with its basis");
            put_gaussians(out, step.stride, &own, &basis);
        }
        Operation::From | Operation::To | Operation::Stored => {
            let source = block.rows(step, &[]);
            put(RowsMut::in_place(out, step.stride, false), source, n, width);
        }
        Operation::Linear(layer) => product(plan, step, layer, bands, before, out, ahead),
        Operation::Sum { terms, .. } => {
            for (place, &term) in terms.iter().enumerate() {
                put(RowsMut::in_place(out, step.stride, place > 0), rows(term), n, width);
            }
        }
        Operation::Product([a, b]) => {
            let Factors { rows, scale, .. } = Factors::new(plan, [*a, *b], block, before);
            put_scaled_product(RowsMut::in_place(out, step.stride, false), rows, scale, n, width);
        }
        Operation::Scale { input } => {
            let factor = block.rows_of_edges(step.rows, 1);
            put_scaled(RowsMut::in_place(out, step.stride, false), rows(*input), factor, n, width);
        }
        Operation::Equivariant { input, vector } => {
            let direction = block.rows_of_edges(step.rows, 3);
            let out = RowsMut::in_place(out, step.stride, false);
            put_equivariant(out, [rows(*input), rows(*vector), direction], n, width / 4);
        }
    }
}

fn product(
    plan: &Plan<'_>,
    step: &Step<'_>,
    layer: &EdgeLayer,
    bands: &Bands,
    before: &[&mut [f32]],
    out: &mut [f32],
    ahead: &[f32],
) {
    let n_out = step.stride;
    let n = out.len() / n_out;
    if let Some(bands) = bands.of_step(layer.input) {
        bands.product(out, &step.weight, n_out, ahead);
        if let Some(bias) = step.bias {
            add_row(out, bias, n_out);
        }
        return;
    }
    let input_step = plan.steps[layer.input].stride;
    let input = Factor::rows(&*before[layer.input], [n, layer.n_in], input_step);
    let Some(bias) = step.bias else {
        return tile::product_and_fetch(out, input, &step.weight, n_out, false, [ahead, &[]]);
    };
    let mut row = Scratch::zeros(n_out);
    row[..bias.len()].copy_from_slice(bias);
    tile::product_and_row(out, input, &step.weight, &row, n_out, [ahead, &[]]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_even_and_no_larger_than_there_is_room_for() {
        for (n, most, expected) in [
            (584, 192, 150),
            (192, 192, 192),
            (193, 192, 102),
            (5, 54, 6),
            (0, 24, 1),
            (25, 24, 18),
        ] {
            assert_eq!(even_rows(n, most), expected, "{n} edges, at most {most}");
        }
    }
}
