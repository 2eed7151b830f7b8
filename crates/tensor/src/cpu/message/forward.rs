//! From the distances to the aggregated messages.

use super::Kept;
use super::block::{Bands, Block, Factors, evaluate};
use super::equivariant::put_equivariant;
use super::rows::{RowsMut, put, put_scaled_product};
use super::step::Plan;
use super::tasks::{EdgePlan, NodeRange, Task, add_shared, n_shared, share};
use crate::cpu::scratch::Scratch;
use crate::cpu::team::each;
use crate::message::program::Operation;

/// Adds the messages to `received` (`[n_node, width]`, zeros), and writes the requested values per
/// edge to `edge` (`[n_edge, width]`).
pub(in crate::cpu) fn forward(
    plan: &Plan<'_>,
    edges: &EdgePlan,
    received: &mut [f32],
    edge: &mut [f32],
) -> Kept {
    let width = plan.steps[plan.wanted.message].width;
    let n_edge = edges.from.len();
    let mut kept: Vec<Scratch> = plan
        .steps
        .iter()
        .map(|step| Scratch::new(if step.kept { n_edge * step.stride } else { 0 }))
        .collect();
    let ranges = || edges.tasks.iter().map(|task| &task.to);
    let mut shared = Scratch::zeros(n_shared(ranges(), width));

    let mut own_kept = per_task(edges, plan, &mut kept);
    let edge_width = plan.wanted.edge.map_or(0, |v| plan.steps[v].width);
    // Values in another order than the edges' are permuted at the end.
    let mut ordered = Scratch::new(if edges.order.is_some() { edge.len() } else { 0 });
    let mut edge_rows = if edges.order.is_some() { &mut ordered[..] } else { &mut *edge };
    let work: Vec<_> = edges
        .tasks
        .iter()
        .zip(share(received, &mut shared, ranges(), width))
        .map(|(task, received)| {
            let n = task.edges.len() * edge_width;
            let (own, rest) = std::mem::take(&mut edge_rows).split_at_mut(n);
            edge_rows = rest;
            (task, received, own, own_kept.next().unwrap_or_default())
        })
        .collect();
    drop(own_kept);
    each(work, |(task, received, edge, kept)| {
        Forward { plan, edges, task, received, edge, kept }.run();
    });
    add_shared(received, &shared, ranges(), width);
    if let Some(order) = &edges.order {
        for (row, &place) in ordered.chunks_exact(edge_width.max(1)).zip(order) {
            edge[place as usize * edge_width..][..edge_width].copy_from_slice(row);
        }
    }
    Kept(kept)
}

/// Each task's part of the kept values, by step.
pub(super) fn per_task<'k>(
    edges: &EdgePlan,
    plan: &Plan<'_>,
    kept: &'k mut [Scratch],
) -> impl Iterator<Item = Vec<&'k mut [f32]>> {
    let mut rest: Vec<&mut [f32]> = kept.iter_mut().map(|kept| &mut kept[..]).collect();
    let steps: Vec<usize> = plan.steps.iter().map(|step| step.stride).collect();
    edges.tasks.iter().map(|task| task.edges.len()).collect::<Vec<_>>().into_iter().map(move |n| {
        let own = rest.iter_mut().zip(&steps).map(|(rest, step)| {
            let n = if rest.is_empty() { 0 } else { n * step };
            let (own, after) = std::mem::take(rest).split_at_mut(n);
            *rest = after;
            own
        });
        own.collect()
    })
}

struct Forward<'a> {
    plan: &'a Plan<'a>,
    edges: &'a EdgePlan,
    task: &'a Task,
    received: &'a mut [f32],
    edge: &'a mut [f32],
    kept: Vec<&'a mut [f32]>,
}

impl Forward<'_> {
    fn run(mut self) {
        let in_blocks = self.plan.steps.iter().filter(|step| step.in_forward);
        let numbers: usize = in_blocks.map(|step| step.stride).sum();
        let n_row = Plan::block_rows(numbers);
        // Scratch for sums of which only the activations are kept.
        let mut scratch = Scratch::new(n_row * (numbers + self.widest()));
        let mut bands = Bands::new(self.plan);
        let mut kept = std::mem::take(&mut self.kept);
        for block in Block::cut(self.edges, self.task.edges.clone(), n_row) {
            bands.expand(self.plan, &block);
            self.block(&block, &bands, &mut kept, &mut scratch);
        }
    }

    /// Width of the widest step of a block.
    fn widest(&self) -> usize {
        let in_blocks = self.plan.steps.iter().filter(|step| step.in_forward);
        in_blocks.map(|step| step.stride).max().unwrap_or(0)
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
        let (mut rest, sums) = scratch.split_at_mut(scratch.len() - block.n * self.widest());
        for (v, (step, kept)) in plan.steps.iter().zip(kept).enumerate() {
            let n = block.n * step.stride;
            let kept: &mut [f32] =
                if step.kept { &mut kept[place * step.stride..][..n] } else { &mut [] };
            let (out, sum): (&mut [f32], &mut [f32]) = if !step.in_forward {
                (&mut [], &mut [])
            } else if step.kept && !step.operation.keeps_sum() {
                (kept, &mut sums[..n])
            } else {
                let (own, after) = std::mem::take(&mut rest).split_at_mut(n);
                rest = after;
                (own, if step.kept { kept } else { &mut sums[..n] })
            };
            if step.in_forward {
                evaluate(plan, v, block, bands, &values, out, Some(sum));
            }
            values.push(out);
        }
        self.receive(block, &values);
        if let Some(v) = plan.wanted.edge {
            let step = &plan.steps[v];
            let out = &mut self.edge[place * step.width..];
            let out = RowsMut::in_place(out, step.width, false);
            put(out, block.rows(step, &*values[v]), block.n, step.width);
        }
    }

    /// Adds the messages of a block to the sums of their nodes.
    fn receive(&mut self, block: &Block<'_>, values: &[&mut [f32]]) {
        let plan = self.plan;
        let message = &plan.steps[plan.wanted.message];
        let NodeRange { nodes, .. } = &self.task.to;
        let width = message.width;
        let out = RowsMut::summed(self.received, width, block.to, nodes.start);
        match message.operation {
            Operation::Product(factors) if plan.fused => {
                let Factors { rows, scale, .. } = Factors::new(plan, factors, block, values);
                put_scaled_product(out, rows, scale, block.n, width);
            }
            Operation::Equivariant { input, vector } if plan.fused => {
                let rows = |v: usize| block.rows(&plan.steps[v], &*values[v]);
                let direction = block.rows_of_edges(message.rows, 3);
                put_equivariant(out, [rows(input), rows(vector), direction], block.n, width / 4);
            }
            _ => put(out, block.rows(message, &*values[plan.wanted.message]), block.n, width),
        }
    }
}
