//! From the gradients of the aggregated messages to those of parameters, nodes and edges.

use std::ops::Range;

use super::Kept;
use super::block::{Bands, Block, Factors, evaluate};
use super::equivariant::{put_parts_gradient, put_vector_gradient};
use super::forward::per_task;
use super::rows::{Rows, RowsMut, add_to_row, put, put_scaled, put_scaled_product};
use super::step::{Plan, Step};
use super::tasks::{EdgePlan, Task, add_shared, n_shared, share};
use crate::cpu::scratch::Scratch;
use crate::cpu::team::each;
use crate::cpu::tile::{self, Factor};
use crate::cpu::{activation, elementwise, out, segment};
use crate::message::program::{EdgeLayer, Operation};

/// Gradients of the results.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct Incoming<'a> {
    /// `[n_node, width]`, with respect to the aggregated messages.
    pub(in crate::cpu) received: &'a [f32],
    /// `[n_edge, width]`, with respect to the values returned per edge.
    pub(in crate::cpu) edge: Option<&'a [f32]>,
}

/// Adds the needed gradients of all matrices: per step, of the first matrix (nodes, edges or
/// weight) and of the second (bias).
pub(in crate::cpu) fn backward(
    plan: &Plan<'_>,
    edges: &EdgePlan,
    incoming: Incoming<'_>,
    kept: Kept,
    mut gradients: Vec<[Option<&mut [f32]>; 2]>,
) {
    let n_edge = edges.from.len();
    // Each step's sums or rows: in place if they belong to a single task.
    let mut buffers: Vec<Outgoing> =
        plan.steps.iter().map(|step| Outgoing::new(step, edges, n_edge)).collect();
    let mut kept = kept;
    let mut own_kept = per_task(edges, plan, &mut kept.0);
    let mut parts: Vec<_> = plan
        .steps
        .iter()
        .zip(&mut gradients)
        .zip(&mut buffers)
        .map(|((step, gradient), buffer)| {
            buffer.parts(step, edges, gradient[0].as_deref_mut()).into_iter()
        })
        .collect();
    let mut written = vec![vec![0..0; plan.steps.len()]; edges.tasks.len()];
    let work: Vec<_> = edges
        .tasks
        .iter()
        .zip(&mut written)
        .map(|(task, written)| {
            let out = parts.iter_mut().map(|parts| parts.next().unwrap_or_default()).collect();
            (task, own_kept.next().unwrap_or_default(), out, written)
        })
        .collect();
    drop((parts, own_kept));
    let turned: Vec<Scratch> = plan
        .steps
        .iter()
        .map(|step| match &step.operation {
            Operation::Linear(linear) if plan.steps[linear.input].tracked => {
                step.transposed_weight(linear.n_in)
            }
            _ => Scratch::new(0),
        })
        .collect();
    each(work, |(task, kept, out, written)| {
        let turned = &turned;
        Backward { plan, edges, task, incoming, kept, out, written, turned }.run();
    });
    let buffers = buffers.iter().enumerate();
    for ((step, gradient), (v, buffer)) in plan.steps.iter().zip(&mut gradients).zip(buffers) {
        let written: Vec<_> = written.iter().map(|written| written[v].clone()).collect();
        buffer.add(step, edges, gradient, &written);
    }
}

/// Rows of a weight per thread when the tasks' sums are added up.
const SUM_ROWS: usize = 32;

/// Output of the tasks for one step.
enum Outgoing {
    Nothing,
    /// Sums of tasks that share nodes, at either end.
    Nodes(Scratch),
    /// A row per position, to be summed or permuted afterwards.
    Places(Scratch),
    /// Sums of a weight and a bias, concatenated, for each task.
    Layers(Scratch),
}

impl Outgoing {
    fn new(step: &Step<'_>, edges: &EdgePlan, n_edge: usize) -> Self {
        let places = || Self::Places(Scratch::zeros(n_edge * step.width));
        match &step.operation {
            Operation::Linear(linear) if linear.of_weight || linear.of_bias => {
                Self::Layers(Scratch::new(edges.tasks.len() * n_layer(linear, step)))
            }
            _ if !step.tracked => Self::Nothing,
            Operation::From if !edges.scatter => places(),
            Operation::From => {
                let ranges = edges.tasks.iter().map(|task| &task.from);
                Self::Nodes(Scratch::zeros(n_shared(ranges, step.width)))
            }
            Operation::To => {
                let ranges = edges.tasks.iter().map(|task| &task.to);
                Self::Nodes(Scratch::zeros(n_shared(ranges, step.width)))
            }
            Operation::Stored if edges.order.is_some() => places(),
            _ => Self::Nothing,
        }
    }

    /// Each task's part; a part of the gradient itself if no other task writes to it.
    fn parts<'a>(
        &'a mut self,
        step: &Step<'_>,
        edges: &EdgePlan,
        gradient: Option<&'a mut [f32]>,
    ) -> Vec<&'a mut [f32]> {
        let by_edges = |values: &'a mut [f32]| {
            let mut rest = values;
            let cut = |task: &Task| {
                let n = task.edges.len() * step.width;
                let (own, after) = std::mem::take(&mut rest).split_at_mut(n);
                rest = after;
                own
            };
            edges.tasks.iter().map(cut).collect()
        };
        match (self, &step.operation, gradient) {
            (Self::Layers(sums), Operation::Linear(linear), _) => {
                sums.chunks_exact_mut(n_layer(linear, step).max(1)).collect()
            }
            (Self::Nodes(shared), Operation::From, Some(gradient)) => {
                share(gradient, shared, edges.tasks.iter().map(|task| &task.from), step.width)
            }
            (Self::Nodes(shared), Operation::To, Some(gradient)) => {
                share(gradient, shared, edges.tasks.iter().map(|task| &task.to), step.width)
            }
            (Self::Places(rows), ..) => by_edges(rows),
            (Self::Nothing, Operation::Stored, Some(gradient)) => by_edges(gradient),
            _ => Vec::new(),
        }
    }

    /// Adds to the gradients what the tasks have not added themselves; of a weight, only the rows
    /// that each has written.
    fn add(
        &self,
        step: &Step<'_>,
        edges: &EdgePlan,
        gradient: &mut [Option<&mut [f32]>; 2],
        written: &[Range<usize>],
    ) {
        let [first, second] = gradient;
        match (self, &step.operation) {
            (Self::Layers(sums), Operation::Linear(linear)) => {
                let of_tasks = || sums.chunks_exact(n_layer(linear, step).max(1));
                if let Some(first) = first {
                    // In the order of the tasks, whatever the thread.
                    out::each_block(first, SUM_ROWS * step.width, |index, rows| {
                        let first = step.margin + index * SUM_ROWS;
                        for (sums, written) in of_tasks().zip(written) {
                            let rows = rows.chunks_exact_mut(step.width.max(1));
                            for (place, row) in (first..).zip(rows) {
                                if written.contains(&place) {
                                    let sum = &sums[place * step.stride..][..step.width];
                                    elementwise::add_to(row, sum);
                                }
                            }
                        }
                    });
                }
                if let Some(second) = second {
                    for sums in of_tasks() {
                        let bias = &sums[step.n_weight_row(linear) * step.stride..];
                        elementwise::add_to(second, &bias[..step.width]);
                    }
                }
            }
            (Self::Nodes(shared), operation) => {
                let side = |task| -> &_ {
                    let task: &Task = task;
                    if matches!(operation, Operation::From) { &task.from } else { &task.to }
                };
                if let Some(first) = first {
                    add_shared(first, shared, edges.tasks.iter().map(side), step.width);
                }
            }
            (Self::Places(rows), Operation::From) => {
                if let (Some(first), Some((order, offset))) = (first, &edges.by_from) {
                    segment::sum(first, rows, offset, Some(order), step.width);
                }
            }
            (Self::Places(rows), _) => {
                if let (Some(first), Some(order)) = (first, &edges.order) {
                    let rows = Rows::in_place(rows, step.width);
                    put(
                        RowsMut::summed(first, step.width, order, 0),
                        rows,
                        order.len(),
                        step.width,
                    );
                }
            }
            _ => {}
        }
    }
}

/// Extends a range of rows by another one and the gap between them, and returns which are new.
fn with_rows(rows: &mut Range<usize>, others: Range<usize>) -> [Range<usize>; 2] {
    if Range::is_empty(rows) {
        *rows = others.clone();
        return [others, 0..0];
    }
    let new = [others.start.min(rows.start)..rows.start, rows.end..others.end.max(rows.end)];
    *rows = new[0].start..new[1].end;
    new
}

/// Number of elements of a layer's sums: weight plus bias.
fn n_layer(linear: &EdgeLayer, step: &Step<'_>) -> usize {
    (step.n_weight_row(linear) + 1) * step.stride
}

struct Backward<'a> {
    plan: &'a Plan<'a>,
    edges: &'a EdgePlan,
    task: &'a Task,
    incoming: Incoming<'a>,
    kept: Vec<&'a mut [f32]>,
    /// Outputs for the gradients of each step's matrices.
    out: Vec<&'a mut [f32]>,
    /// Rows of each layer's weight, with margins, for which there are sums.
    written: &'a mut [Range<usize>],
    /// Transposed weights of layers whose input needs a gradient.
    turned: &'a [Scratch],
}

/// The block's gradients of one step, if any exist yet.
struct Gradient<'a> {
    values: &'a mut [f32],
    written: bool,
}

impl Backward<'_> {
    fn run(mut self) {
        let plan = self.plan;
        for (step, out) in plan.steps.iter().zip(&mut self.out) {
            if let Operation::Linear(linear) = &step.operation {
                // The bias; rows of the weight are zeroed on demand.
                let n_weight = (step.n_weight_row(linear) * step.stride).min(out.len());
                out[n_weight..].fill(0.0);
            }
        }
        let numbers: usize = plan
            .steps
            .iter()
            .map(|step| (usize::from(step.recomputed) + usize::from(step.gradient)) * step.stride)
            .sum();
        let kept: usize = plan.steps.iter().filter(|step| step.kept).map(|step| step.stride).sum();
        let n_row = Plan::block_rows(numbers + kept);
        let mut scratch = Scratch::new(n_row * numbers);
        let mut bands = Bands::new(plan);
        let mut kept = std::mem::take(&mut self.kept);
        for block in Block::cut(self.edges, self.task.edges.clone(), n_row) {
            bands.expand(plan, &block);
            self.block(&block, &bands, &mut kept, &mut scratch);
        }
    }

    fn block(
        &mut self,
        block: &Block<'_>,
        bands: &Bands,
        kept: &mut [&mut [f32]],
        scratch: &mut [f32],
    ) {
        let plan = self.plan;
        let place = block.first - self.task.edges.start;
        let mut values: Vec<&mut [f32]> = Vec::with_capacity(plan.steps.len());
        let mut sums: Vec<&[f32]> = Vec::with_capacity(plan.steps.len());
        let mut gradients: Vec<Gradient<'_>> = Vec::with_capacity(plan.steps.len());
        // The kept values of the next block, by step.
        let mut next: Vec<&[f32]> = Vec::with_capacity(plan.steps.len());
        let mut rest = scratch;
        let mut take = |wanted: bool, n: usize| -> &mut [f32] {
            let (own, after) = std::mem::take(&mut rest).split_at_mut(if wanted { n } else { 0 });
            rest = after;
            own
        };
        for (v, (step, kept)) in plan.steps.iter().zip(kept).enumerate() {
            let n = block.n * step.stride;
            gradients.push(Gradient { values: take(step.gradient, n), written: false });
            let (kept, after) = if step.kept {
                kept[place * step.stride..].split_at_mut(n)
            } else {
                (&mut [][..], &mut [][..])
            };
            next.push(&after[..n.min(after.len())]);
            let recomputed = take(step.recomputed, n);
            if step.kept && !step.operation.keeps_sum() {
                values.push(kept);
                sums.push(&[]);
                continue;
            }
            if step.kept && step.recomputed {
                activation::apply_to(step.operation.activation(), recomputed, kept);
            } else if step.recomputed {
                evaluate(plan, v, block, bands, &values, recomputed, None);
            }
            values.push(recomputed);
            sums.push(kept);
        }

        let Incoming { received, edge } = self.incoming;
        let message = &plan.steps[plan.wanted.message];
        let received = Rows::looked_up(received, message.width, block.to);
        if !plan.fused {
            self.give(plan.wanted.message, &mut gradients, block, |out, n, width| {
                put(out, received, n, width);
            });
        }
        if let (Some(v), Some(edge)) = (plan.wanted.edge, edge) {
            let rows = block.rows_of_edges(edge, plan.steps[v].width);
            self.give(v, &mut gradients, block, |out, n, width| put(out, rows, n, width));
        }
        for v in (0..plan.steps.len()).rev() {
            let step = &plan.steps[v];
            let fused = plan.fused && v == plan.wanted.message;
            if !step.tracked || !(fused || gradients[v].written) {
                continue;
            }
            let (before, own) = gradients.split_at_mut(v);
            let own = &mut *own[0].values;
            let from: &[f32] = if step.operation.keeps_sum() { sums[v] } else { &*values[v] };
            activation::multiply_by_derivative(step.operation.activation(), own, from);
            let dy = if fused { received } else { Rows::in_place(own, step.stride) };
            match &step.operation {
                Operation::Linear(linear) => {
                    let input = &*values[linear.input];
                    // Each is prefetched by one layer: that of its input, or its own if it is not
                    // the input of a layer.
                    let own_next = if step.feeds_layer { &[] } else { next[v] };
                    let ahead = [next[linear.input], own_next];
                    self.layer(v, linear, block, bands, input, own, before, ahead);
                }
                Operation::Sum { terms, .. } => {
                    for &term in terms {
                        self.give(term, before, block, |out, n, width| put(out, dy, n, width));
                    }
                }
                Operation::Product([a, b]) => {
                    let Factors { steps, rows, scale } =
                        Factors::new(plan, [*a, *b], block, &values);
                    for (factor, other) in [(steps[0], rows[1]), (steps[1], rows[0])] {
                        self.give(factor, before, block, |out, n, width| {
                            put_scaled_product(out, [dy, other], scale, n, width);
                        });
                    }
                }
                Operation::Scale { input } => {
                    let factor = block.rows_of_edges(step.rows, 1);
                    self.give(*input, before, block, |out, n, width| {
                        put_scaled(out, dy, factor, n, width);
                    });
                }
                Operation::Equivariant { input, vector } => {
                    self.equivariant([*input, *vector], dy, block, before, &values, step);
                }
                _ => self.leave(v, block, |out, n, width| put(out, dy, n, width)),
            }
        }
    }

    /// Gradients with respect to both factors of a message of scalars and vectors.
    fn equivariant(
        &mut self,
        [input, vector]: [usize; 2],
        dy: Rows<'_>,
        block: &Block<'_>,
        gradients: &mut [Gradient<'_>],
        values: &[&mut [f32]],
        step: &Step<'_>,
    ) {
        let plan = self.plan;
        let direction = block.rows_of_edges(step.rows, 3);
        let rows = |v: usize| block.rows(&plan.steps[v], &*values[v]);
        let of_vector = rows(vector);
        self.give(input, gradients, block, |out, n, width| {
            put_parts_gradient(out, [dy, of_vector, direction], n, width / 3);
        });
        if plan.steps[vector].tracked {
            let parts = rows(input);
            self.give(vector, gradients, block, |out, n, width| {
                put_vector_gradient(out, [dy, parts], n, width / 3);
            });
        }
    }

    /// Adds to the gradients of step `v`, if needed: in its block, or at their destination.
    fn give(
        &mut self,
        v: usize,
        gradients: &mut [Gradient<'_>],
        block: &Block<'_>,
        put: impl FnOnce(RowsMut<'_>, usize, usize),
    ) {
        let step = &self.plan.steps[v];
        if !step.tracked {
            return;
        }
        if !step.gradient {
            return self.leave(v, block, put);
        }
        let Gradient { values, written } = &mut gradients[v];
        put(RowsMut::in_place(values, step.stride, *written), block.n, step.width);
        *written = true;
    }

    /// Adds to the gradients of the nodes or edges read by step `v`.
    fn leave(&mut self, v: usize, block: &Block<'_>, put: impl FnOnce(RowsMut<'_>, usize, usize)) {
        let step = &self.plan.steps[v];
        let out = &mut *self.out[v];
        let place = (block.first - self.task.edges.start) * step.width;
        let rows = match step.operation {
            Operation::From if self.edges.scatter => {
                RowsMut::summed(out, step.width, block.from, self.task.from.nodes.start)
            }
            Operation::To => RowsMut::summed(out, step.width, block.to, self.task.to.nodes.start),
            _ => RowsMut::in_place(&mut out[place..], step.width, true),
        };
        put(rows, block.n, step.width);
    }

    /// The gradients of a linear layer, given that of its sum.
    #[allow(clippy::too_many_arguments, reason = "a layer, its place and its arrays")]
    fn layer(
        &mut self,
        v: usize,
        linear: &EdgeLayer,
        block: &Block<'_>,
        bands: &Bands,
        input: &[f32],
        dy: &[f32],
        before: &mut [Gradient<'_>],
        ahead: [&[f32]; 2],
    ) {
        let step = &self.plan.steps[v];
        let of_input = &self.plan.steps[linear.input];
        let out = &mut *self.out[v];
        let n_weight = if out.is_empty() { 0 } else { step.n_weight_row(linear) * step.stride };
        let (of_weight, of_bias) = out.split_at_mut(n_weight);
        if linear.of_bias {
            add_to_row(of_bias, dy, step.stride);
        }
        if linear.of_weight
            && let Some(bands) = bands.of_step(linear.input)
        {
            let written = &mut self.written[v];
            let rows = bands.rows();
            for new in with_rows(written, rows) {
                of_weight[new.start * step.stride..new.end * step.stride].fill(0.0);
            }
            bands.add_weight_gradient(of_weight, dy, step.stride);
        } else if linear.of_weight {
            let input = Factor::rows(input, [block.n, linear.n_in], of_input.stride);
            let add = !self.written[v].is_empty();
            tile::product(of_weight, input.transposed(), dy, step.stride, add);
            self.written[v] = 0..linear.n_in;
        }
        if of_input.tracked {
            let Gradient { values, written } = &mut before[linear.input];
            let dy = Factor::rows(dy, [block.n, step.width], step.stride);
            let (turned, n) = (&self.turned[v], of_input.stride);
            tile::product_and_fetch(values, dy, turned, n, *written, ahead);
            *written = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_new_once() {
        let mut rows = 0..0;
        assert_eq!(with_rows(&mut rows, 20..25), [20..25, 0..0]);
        assert_eq!(with_rows(&mut rows, 21..24), [20..20, 25..25]);
        assert_eq!(with_rows(&mut rows, 10..30), [10..20, 25..30]);
        assert_eq!(with_rows(&mut rows, 40..50), [10..10, 30..50]);
        assert_eq!(with_rows(&mut rows, 2..4), [2..10, 50..50]);
        assert_eq!(rows, 2..50);
    }
}
