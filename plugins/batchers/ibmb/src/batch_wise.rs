//! Batch-wise batches: the outputs of a graph partition, with the nodes of greatest influence on
//! them.

use batchlab_core::graphs::OneGraphView;
use batchlab_core::hash::sha256_of;
use batchlab_core::{BatchContext, BatcherError};
use batchlab_partition::partition;
use batchlab_ppr::{Power, keep_top};
use serde::{Deserialize, Serialize};

use crate::contexts::sorted;

pub(crate) struct BatchWise {
    pub(crate) n_part: u32,
    /// Nodes per batch relative to the mean number of nodes per partition.
    pub(crate) expand_ratio: f64,
    pub(crate) power: Power,
    /// METIS weight of an output; other nodes have weight 1.
    pub(crate) output_weight: u32,
    /// Seed of METIS.
    pub(crate) seed: u32,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Batches {
    /// Outputs of each partition that has any, ascending.
    pub(crate) group: Vec<Vec<u32>>,
    /// Nodes of each group, ascending.
    pub(crate) auxiliary: Vec<Vec<u32>>,
}

impl BatchWise {
    pub(crate) fn batches(
        &self,
        view: &OneGraphView,
        ctx: &BatchContext,
    ) -> Result<Batches, BatcherError> {
        let (graph, outputs) = (view.graph.structure_hash(), sha256_of(&sorted(&view.output)));
        let Self { n_part, expand_ratio, power, output_weight, seed } = self;
        let key = format!(
            "ibmb batch-wise, {n_part} parts, ratio {expand_ratio}, {power:?}, outputs weigh \
             {output_weight}, seed {seed}, graph {graph}, outputs {outputs}"
        );
        ctx.prepared(&key, || {
            ctx.progress.start("partitions of the graph", None);
            let part = self.parts(view)?;
            ctx.progress.finish();
            self.of_parts(view, &part, ctx)
        })
    }

    fn parts(&self, view: &OneGraphView) -> Result<Vec<u32>, BatcherError> {
        let mut weight = Vec::new();
        if self.output_weight != 1 {
            weight = vec![1; view.graph.n_node()];
            for &output in &*view.output {
                weight[output as usize] = self.output_weight;
            }
        }
        partition(&view.graph, self.n_part, self.seed, &weight).map_err(BatcherError::other)
    }

    /// Batches for an assignment of nodes to partitions. Partitions without outputs have none.
    pub(crate) fn of_parts(
        &self,
        view: &OneGraphView,
        part: &[u32],
        ctx: &BatchContext,
    ) -> Result<Batches, BatcherError> {
        let mut group = vec![Vec::new(); self.n_part as usize];
        for output in sorted(&view.output) {
            group[part[output as usize] as usize].push(output);
        }
        group.retain(|group| !group.is_empty());
        let n_node = self.n_node(view.graph.n_node());
        let nodes = |at: usize, scores: &[f64]| -> Vec<u32> {
            let scored = (0..).zip(scores.iter().copied());
            let mut best: Vec<(u32, f64)> = scored.filter(|&(_, score)| score > 0.0).collect();
            keep_top(&mut best, n_node);
            let mut nodes: Vec<u32> = best.into_iter().map(|(node, _)| node).collect();
            nodes.extend(&group[at]);
            nodes.sort_unstable();
            nodes.dedup();
            nodes
        };
        let auxiliary = self.power.of_sets(&view.graph, &group, &*ctx.progress, nodes);
        Ok(Batches { auxiliary: auxiliary.map_err(BatcherError::other)?, group })
    }

    /// Number of nodes selected by score.
    #[allow(clippy::cast_sign_loss, reason = "the ratio is checked to be positive")]
    pub(crate) fn n_node(&self, n_node: usize) -> usize {
        (self.expand_ratio * n_node as f64 / f64::from(self.n_part)).ceil() as usize
    }
}
