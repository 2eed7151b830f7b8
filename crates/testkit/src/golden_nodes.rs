//! `ibmb_cora.json`: personalised `PageRank`, output groups, batch orders and samplers on Cora and
//! on two tiny graphs; see `golden/README.md` for the meaning of each value.

use std::collections::BTreeMap;

use batchlab_core::graphs::OneGraph;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub struct NodeGolden {
    pub split: Split,
    pub ppr: Ppr,
    pub ppr_all_nodes: AllNodes,
    pub node_wise: BTreeMap<String, NodeWise>,
    pub batch_wise: BatchWise,
    pub cluster_gcn: ClusterGcn,
    pub schedule: BTreeMap<String, Schedule>,
    pub path: PathGraph,
    pub tiny: Tiny,
}

#[derive(Debug, Deserialize)]
pub struct Split {
    pub train: Vec<u32>,
}

#[derive(Debug, Deserialize)]
pub struct Ppr {
    pub alpha: f64,
    pub eps: f64,
    pub k: usize,
    pub seeds: Vec<Seed>,
}

#[derive(Debug, Deserialize)]
pub struct Seed {
    pub seed: u32,
    pub n_push: usize,
    pub sum_p: f64,
    pub sum_r: f64,
    pub id: Vec<u32>,
    pub value: Vec<f64>,
    pub top: Vec<u32>,
}

#[derive(Debug, Deserialize)]
pub struct AllNodes {
    pub mean_nonzero: f64,
    pub max_nonzero: usize,
    pub mean_sum: f64,
}

#[derive(Debug, Deserialize)]
pub struct NodeWise {
    pub n_output: usize,
    pub aux_per_output: u32,
    pub outputs_per_batch: u32,
    pub evened: usize,
    pub n_pair: usize,
    pub first_pairs: Vec<(u32, u32, f64)>,
    pub n_after_greedy: usize,
    pub sizes_after_greedy: Vec<usize>,
    #[serde(default)]
    pub greedy: Vec<Vec<u32>>,
    pub batches: Vec<NodeBatch>,
    pub volume: f64,
}

#[derive(Debug, Deserialize)]
pub struct NodeBatch {
    pub output: Vec<u32>,
    pub auxiliary: Vec<u32>,
    pub n_edge: u32,
}

#[derive(Debug, Deserialize)]
pub struct BatchWise {
    pub n_part: u32,
    pub partition: Vec<u32>,
    pub alpha: f64,
    pub iterations: u32,
    pub runs: Vec<BatchWiseRun>,
}

#[derive(Debug, Deserialize)]
pub struct BatchWiseRun {
    pub operator: String,
    pub expand_ratio: f64,
    pub top_k: usize,
    pub parts: Vec<BatchWisePart>,
}

#[derive(Debug, Deserialize)]
pub struct BatchWisePart {
    pub part: u32,
    pub output: Vec<u32>,
    pub n_positive: usize,
    pub top5: Vec<u32>,
    pub top5_score: Vec<f64>,
    pub sum_score: f64,
    pub auxiliary: Vec<u32>,
    pub tie: Vec<u32>,
}

#[derive(Debug, Deserialize)]
pub struct ClusterGcn {
    pub batches: Vec<Cluster>,
}

#[derive(Debug, Deserialize)]
pub struct Cluster {
    pub part: u32,
    pub n_node: u32,
    pub output: Vec<u32>,
    pub n_edge: u32,
}

#[derive(Debug, Deserialize)]
pub struct Schedule {
    pub histogram: Vec<Vec<f64>>,
    pub kl: Vec<Vec<f64>>,
    pub l1: Vec<Vec<f64>>,
    pub kl_longest_tour: Tour,
    pub l1_longest_tour: Tour,
    pub sample: Vec<Sample>,
}

#[derive(Debug, Deserialize)]
pub struct Tour {
    pub order: Vec<u32>,
    pub cost: f64,
}

#[derive(Debug, Deserialize)]
pub struct Sample {
    pub last: u32,
    pub used: Vec<u32>,
    pub probability: Vec<f64>,
}

#[derive(Debug, Deserialize)]
pub struct PathGraph {
    pub undirected_edges: Vec<[u32; 2]>,
    pub seed: u32,
    pub alpha: f64,
    pub eps: f64,
    pub lifo: PathPush,
    pub batch_wise_reference: Vec<f64>,
    pub batch_wise_standard: Vec<f64>,
}

#[derive(Debug, Deserialize)]
pub struct PathPush {
    pub n_push: usize,
    pub id: Vec<u32>,
    pub value: Vec<f64>,
    pub residual: Vec<f64>,
}

#[derive(Debug, Deserialize)]
pub struct Tiny {
    pub indptr: Vec<usize>,
    pub sender: Vec<u32>,
    pub row_weight: Vec<f64>,
    pub saint: Saint,
    pub shadow: Shadow,
}

#[derive(Debug, Deserialize)]
pub struct Saint {
    pub samples: Vec<Vec<u32>>,
    pub node_count: Vec<u32>,
    pub edge_count: Vec<u32>,
    pub node_norm: Vec<f64>,
    pub edge_norm: Vec<f64>,
    pub batch: SaintBatch,
}

#[derive(Debug, Deserialize)]
pub struct SaintBatch {
    pub node: Vec<u32>,
    pub output: Vec<u32>,
    pub loss_weight: Vec<f64>,
    pub sender: Vec<u32>,
    pub receiver: Vec<u32>,
    pub edge_weight: Vec<f64>,
}

#[derive(Debug, Deserialize)]
pub struct Shadow {
    pub alpha: f64,
    pub eps: f64,
    pub k: u32,
    pub egos: Vec<Ego>,
    pub batch: ShadowBatch,
}

#[derive(Debug, Deserialize)]
pub struct Ego {
    pub output: u32,
    pub n_push: usize,
    pub top: Vec<u32>,
}

#[derive(Debug, Deserialize)]
pub struct ShadowBatch {
    pub origin: Vec<u32>,
    pub output_row: Vec<u32>,
    pub sender: Vec<u32>,
    pub receiver: Vec<u32>,
    pub edge_weight: Vec<f64>,
}

impl NodeGolden {
    #[must_use]
    pub fn open() -> Self {
        let text = crate::golden::open("ibmb_cora.json");
        serde_json::from_slice(&text).expect("a valid golden file")
    }
}

impl PathGraph {
    /// The path, with a self-loop at every node.
    #[must_use]
    pub fn graph(&self) -> OneGraph {
        let n_node = 1 + self.undirected_edges.iter().flatten().max().expect("edges");
        let both = |&[a, b]: &[u32; 2]| [(a, b), (b, a)];
        let mut edges: Vec<(u32, u32)> = self.undirected_edges.iter().flat_map(both).collect();
        edges.extend((0..n_node).map(|node| (node, node)));
        edges.sort_unstable();
        OneGraph {
            offset: (0..=n_node).map(|node| edges.partition_point(|e| e.0 < node)).collect(),
            sender: edges.iter().map(|edge| edge.1).collect(),
            edge_weight: Vec::new(),
        }
    }
}

impl Tiny {
    /// The small graph with an isolated node and self-loops; weights are 1 / degree of the
    /// receiver.
    #[must_use]
    pub fn graph(&self) -> OneGraph {
        OneGraph {
            offset: self.indptr.clone(),
            sender: self.sender.clone(),
            edge_weight: self.row_weight.iter().map(|&weight| weight as f32).collect(),
        }
    }
}
