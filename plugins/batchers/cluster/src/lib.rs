//! Batcher `cluster`: graph partitions with few edges between them, as in Cluster-GCN.

use std::num::NonZeroU32;

use batchlab_core::graphs::{OneGraph, OneGraphView};
use batchlab_core::node_groups::{
    ChosenNodes, NodeContext, OutputGroup, OutputGroups, open_node_groups,
};
use batchlab_core::registry::from_toml;
use batchlab_core::{BatchContext, BatchStream, Batcher, BatcherError, Level, Padding, View};
use batchlab_partition::partition;

batchlab_core::batcher_options! {
    /// Partitions of the graph with few edges between them, each a batch with all its nodes.
    ///
    /// This is Cluster-GCN (Chiang et al. 2019, arXiv 1905.07953) with METIS partitions. The
    /// outputs of a batch are those nodes of the partition that are outputs; partitions without
    /// outputs are skipped. Edges keep the weights of the full graph, which must be undirected.
    /// Nodes without edges are distributed over the smallest partitions.
    pub struct Cluster with KeptNodeOptions {
        /// Number of METIS partitions.
        pub n_part: NonZeroU32,
        /// Number of partitions per batch. If more than one, partitions are combined at random in
        /// every epoch, and the edges between them are included.
        #[serde(default = "one", skip_serializing_if = "is_one")]
        pub parts_per_batch: NonZeroU32,
        /// Seed of METIS.
        #[serde(default = "forty_two")]
        pub partition_seed: u32,
    }
    padding = Padding::None
}

const fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_one(n: &NonZeroU32) -> bool {
    *n == NonZeroU32::MIN
}

const fn forty_two() -> u32 {
    42
}

batchlab_core::register!(Batcher, Cluster, example = from_toml("n_part = 8"));

#[typetag::serde(name = "cluster")]
impl Batcher for Cluster {
    fn level(&self) -> Level {
        Level::Nodes
    }

    fn batch_size(&self) -> Option<u32> {
        None
    }

    fn open(&self, view: View, ctx: BatchContext) -> Result<Box<dyn BatchStream>, BatcherError> {
        let one = view.one_graph()?;
        one.check()?;
        let (n_part, n_set) = (self.n_part, self.parts_per_batch);
        if n_set > n_part {
            return Err(BatcherError::Options(format!(
                "parts_per_batch = {n_set} is more than all {n_part} parts; lower it"
            )));
        }
        self.order_options().check(n_set == NonZeroU32::MIN)?;
        let parts = self.parts(one, &ctx)?;
        let set = parts.outputs(one);
        let groups = if n_set == NonZeroU32::MIN {
            OutputGroups::Given { group: set, order: self.order_options() }
        } else {
            OutputGroups::Joined { set, n_set }
        };
        open_node_groups(view, ctx, parts, groups, self.node_padding())
    }
}

impl Cluster {
    fn parts(&self, view: &OneGraphView, ctx: &BatchContext) -> Result<Parts, BatcherError> {
        let (n_part, seed) = (self.n_part.get(), self.partition_seed);
        let key =
            format!("metis, {n_part} parts, seed {seed}, graph {}", view.graph.structure_hash());
        let compute = || {
            ctx.progress.start("partitions of the graph", None);
            let part = partition(&view.graph, n_part, seed, &[]);
            ctx.progress.finish();
            part
        };
        let part_of = ctx.prepared(&key, compute).map_err(BatcherError::other)?;
        Ok(Parts::new(part_of, n_part))
    }
}

/// Assignment of nodes to partitions.
struct Parts {
    /// `[n_node]`
    part_of: Vec<u32>,
    /// Nodes of each partition, ascending.
    node: Vec<Vec<u32>>,
}

impl Parts {
    fn new(part_of: Vec<u32>, n_part: u32) -> Self {
        let mut node = vec![Vec::new(); n_part as usize];
        for (id, &part) in (0..).zip(&part_of) {
            node[part as usize].push(id);
        }
        Self { part_of, node }
    }

    /// Outputs of every partition that has any, ascending.
    fn outputs(&self, view: &OneGraphView) -> Vec<Vec<u32>> {
        let mut output = vec![Vec::new(); self.node.len()];
        for &node in &*view.output {
            output[self.part_of[node as usize] as usize].push(node);
        }
        for of_part in &mut output {
            of_part.sort_unstable();
        }
        output.retain(|of_part| !of_part.is_empty());
        output
    }
}

impl NodeContext for Parts {
    fn choose(&mut self, _graph: &OneGraph, group: OutputGroup<'_>, chosen: &mut ChosenNodes) {
        let mut last = None;
        // Outputs of one partition are contiguous.
        for part in group.output.iter().map(|&node| self.part_of[node as usize]) {
            if last.replace(part) != Some(part) {
                for &node in &self.node[part as usize] {
                    chosen.add(node);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use batchlab_core::batch_order::OrderOptions;
    use batchlab_core::{Dataset, LoadContext, Purpose};
    use batchlab_testkit::golden_nodes::NodeGolden;
    use batchlab_testkit::nodes;
    use dataset_one_graph::OneGraphFile;

    use super::*;

    #[test]
    fn batches_of_a_given_partition_are_those_of_the_golden_file() {
        let options = OneGraphFile { self_loops: true, ..OneGraphFile::default() };
        let graphs = options.load(&LoadContext::new()).expect("Cora");
        let golden = NodeGolden::open();
        let View::OneGraph(view) = graphs.view(&golden.split.train) else { panic!("one graph") };
        let parts = Parts::new(golden.batch_wise.partition.clone(), golden.batch_wise.n_part);
        let group = parts.outputs(&view);
        let groups = OutputGroups::Given { group, order: OrderOptions::default() };
        let padding =
            batchlab_core::node_groups::NodePadding { padding: Padding::None, constant: None };
        let ctx = BatchContext::new(Purpose::Evaluation, 1);
        let mut stream =
            open_node_groups(View::OneGraph(view), ctx, parts, groups, padding).expect("it opens");
        for cluster in &golden.cluster_gcn.batches {
            let mut plan = batchlab_core::BatchPlan::default();
            assert!(stream.next(&mut plan).expect("it goes on"));
            assert_eq!(nodes::outputs(&plan), cluster.output);
            assert_eq!((plan.real.n_node, plan.real.n_edge), (cluster.n_node, cluster.n_edge));
            let part = |node: &u32| golden.batch_wise.partition[*node as usize];
            assert!(plan.members.iter().all(|node| part(node) == cluster.part));
        }
    }
}
