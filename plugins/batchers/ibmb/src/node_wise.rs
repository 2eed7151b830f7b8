//! Node-wise batches: each output has its own nodes, and outputs that influence each other are
//! merged.

use std::num::NonZeroU32;

use batchlab_core::graphs::OneGraphView;
use batchlab_core::hash::sha256_of;
use batchlab_core::{BatchContext, BatcherError};
use batchlab_ppr::{Push, keep_top};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::contexts::sorted;
use crate::merge::{Limit, Pair, merge};

/// The nodes of greatest influence on an output.
pub(crate) struct Near {
    pub(crate) push: Push,
    /// Number of nodes, including the output.
    pub(crate) k: u32,
}

pub(crate) struct NodeWise {
    pub(crate) near: Near,
    pub(crate) budget: Budget,
}

/// Capacity of a batch.
pub(crate) enum Budget {
    Outputs(NonZeroU32),
    /// All nodes of the batch.
    Nodes(NonZeroU32),
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Batches {
    /// Outputs of each batch, ascending; batches are ordered by their first output.
    pub(crate) group: Vec<Vec<u32>>,
    /// Nodes of each output, in ascending order of outputs.
    pub(crate) near: Vec<Vec<u32>>,
}

/// Nodes of each output, and the pairs of outputs that influence each other.
pub(crate) struct Influence {
    pub(crate) near: Vec<Vec<u32>>,
    pub(crate) pair: Vec<Pair>,
}

impl Near {
    pub(crate) fn of_outputs(
        &self,
        view: &OneGraphView,
        ctx: &BatchContext,
    ) -> Result<Vec<Vec<u32>>, BatcherError> {
        let compute = || {
            let outputs = sorted(&view.output);
            self.push.nearest(&view.graph, &outputs, self.k as usize, &*ctx.progress)
        };
        ctx.prepared(&self.key("near", view), compute).map_err(BatcherError::other)
    }

    /// Everything that the scores of a view's outputs depend on.
    fn key(&self, what: &str, view: &OneGraphView) -> String {
        let (graph, outputs) = (view.graph.structure_hash(), sha256_of(&sorted(&view.output)));
        let Self { push, k } = self;
        format!("ibmb {what}, k {k}, {push:?}, graph {graph}, outputs {outputs}")
    }

    pub(crate) fn influence(
        &self,
        view: &OneGraphView,
        ctx: &BatchContext,
    ) -> Result<Influence, BatcherError> {
        let outputs = sorted(&view.output);
        let mut place = vec![u32::MAX; view.graph.n_node()];
        for (at, &output) in (0..).zip(&outputs) {
            place[output as usize] = at;
        }
        let of_output =
            self.push.from_roots(&view.graph, &outputs, &*ctx.progress, |at, pushed| {
                let at = at as u32;
                let pair = |(node, weight): (u32, f64)| {
                    let other = place[node as usize];
                    let is_pair = other != u32::MAX && other != at;
                    is_pair.then(|| Pair { row: at.max(other), column: at.min(other), weight })
                };
                let pairs: Vec<Pair> = pushed.scores().filter_map(pair).collect();
                let mut best: Vec<(u32, f64)> = pushed.scores().collect();
                keep_top(&mut best, self.k as usize);
                let mut near: Vec<u32> = best.into_iter().map(|(node, _)| node).collect();
                near.sort_unstable();
                let output = outputs[at as usize];
                if let Err(place) = near.binary_search(&output) {
                    near.insert(place, output);
                }
                (near, pairs)
            });
        let (near, pairs): (Vec<_>, Vec<_>) =
            of_output.map_err(BatcherError::other)?.into_iter().unzip();
        Ok(Influence { near, pair: both_directions(pairs.into_iter().flatten().collect()) })
    }
}

/// Adds the weights of both directions of a pair, and sorts by descending weight.
fn both_directions(mut pair: Vec<Pair>) -> Vec<Pair> {
    pair.par_sort_unstable_by_key(|pair| (pair.row, pair.column));
    pair.dedup_by(|second, first| {
        let is_same = (second.row, second.column) == (first.row, first.column);
        if is_same {
            first.weight += second.weight;
        }
        is_same
    });
    pair.par_sort_unstable_by(|a, b| {
        let places = |pair: &Pair| (pair.row, pair.column);
        b.weight.total_cmp(&a.weight).then_with(|| places(a).cmp(&places(b)))
    });
    pair
}

impl NodeWise {
    pub(crate) fn batches(
        &self,
        view: &OneGraphView,
        ctx: &BatchContext,
    ) -> Result<Batches, BatcherError> {
        let n_output = view.output.len();
        if let Budget::Nodes(most) = self.budget
            && most.get() < self.near.k
        {
            return Err(BatcherError::Options(format!(
                "max_aux_per_batch = {most} is less than the {} nodes of one output; raise it or lower \
                 aux_per_output",
                self.near.k
            )));
        }
        let what = match self.budget {
            Budget::Outputs(most) => format!("node-wise, {} outputs", evened(n_output, most)),
            Budget::Nodes(most) => format!("node-wise, {most} nodes"),
        };
        ctx.prepared(&self.near.key(&what, view), || {
            let Influence { near, pair } = self.near.influence(view, ctx)?;
            ctx.progress.start("batches of outputs that influence each other", None);
            let limit = match self.budget {
                Budget::Outputs(most) => Limit::Outputs(evened(n_output, most)),
                // An output that is not among its own top nodes is added.
                Budget::Nodes(most) => Limit::Nodes(most.get() as usize, &near),
            };
            let outputs = sorted(&view.output);
            let node = |&place: &u32| outputs[place as usize];
            let group = merge(n_output, &pair, limit);
            let group = group.iter().map(|group| group.iter().map(node).collect()).collect();
            ctx.progress.finish();
            Ok(Batches { group, near })
        })
    }
}

/// Number of outputs per batch when all outputs are distributed evenly.
pub(crate) fn evened(n_output: usize, most: NonZeroU32) -> usize {
    n_output.div_ceil(n_output.div_ceil(most.get() as usize))
}
