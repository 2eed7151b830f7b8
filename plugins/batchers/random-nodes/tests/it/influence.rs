//! Influence-based mini-batching (arXiv 2212.09083) in miniature, to show that the contract has a
//! place for each of its pieces: neighbourhoods by personalised `PageRank`, given groups that are
//! collated once, and an order of batches from label histograms that remembers the last batch.

use std::collections::BTreeMap;

use batchlab_core::graphs::OneGraph;
use batchlab_core::node_groups::{
    ChosenNodes, GroupOrder, NodeContext, NodePadding, OutputGroup, OutputGroups, open_node_groups,
};
use batchlab_core::{
    BatchContext, BatchStream, Batcher, BatcherError, Dataset, Level, LoadContext, Padding, View,
    random,
};
use batchlab_testkit::nodes::{self, Case};
use dataset_one_graph::{EdgeWeight, OneGraphFile};
use rand_chacha::rand_core::Rng;
use serde::{Deserialize, Serialize};

/// Groups of `n_output` outputs that are near each other, each output with its `n_near` most
/// influential nodes.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Influence {
    n_output: usize,
    n_near: usize,
}

#[typetag::serde(name = "influence-in-a-test")]
impl Batcher for Influence {
    fn label(&self) -> String {
        "influence".into()
    }
    fn level(&self) -> Level {
        Level::Nodes
    }
    fn batch_size(&self) -> Option<u32> {
        None
    }
    fn open(&self, view: View, ctx: BatchContext) -> Result<Box<dyn BatchStream>, BatcherError> {
        let View::OneGraph(one) = &view else {
            return Err(BatcherError::WrongLevel { expected: Level::Nodes, got: view.level() });
        };
        let near: BTreeMap<u32, Vec<u32>> = one
            .output
            .iter()
            .map(|&node| (node, top(&push(&one.graph, node), self.n_near)))
            .collect();
        // In place of the greedy merge: outputs that share their most influential node.
        let mut sorted = one.output.to_vec();
        sorted.sort_by_key(|node| near[node].first().copied());
        let group: Vec<Vec<u32>> = sorted.chunks(self.n_output).map(<[u32]>::to_vec).collect();
        let histogram = |nodes: &Vec<u32>| {
            let mut count = [1.0; 7];
            for &node in nodes {
                count[one.class[node as usize] as usize] += 1.0;
            }
            count.map(|n| n / (nodes.len() as f64 + 7.0))
        };
        let order =
            Some(Box::new(ByLabels { seed: ctx.seed, of: group.iter().map(histogram).collect() })
                as _);
        let groups = OutputGroups::Given { group, order };
        let padding = NodePadding { padding: Padding::Constant, constant: None };
        open_node_groups(view.clone(), ctx, Near(near), groups, padding)
    }
}

/// Personalised `PageRank` by pushing (Andersen, Chung and Lang 2006), the stack last in, first out.
fn push(graph: &OneGraph, seed: u32) -> BTreeMap<u32, f64> {
    let (alpha, epsilon) = (0.25, 2e-4);
    let (mut p, mut r) = (BTreeMap::from([(seed, 0.0)]), BTreeMap::from([(seed, alpha)]));
    let mut stack = vec![seed];
    while let Some(node) = stack.pop() {
        let rest = r.insert(node, 0.0).unwrap();
        *p.entry(node).or_default() += rest;
        let share = (1.0 - alpha) * rest / graph.incoming(node).len() as f64;
        for &near in &graph.sender[graph.incoming(node)] {
            let of_near = r.entry(near).or_default();
            *of_near += share;
            let enough = alpha * epsilon * graph.incoming(near).len() as f64;
            if *of_near >= enough && !stack.contains(&near) {
                stack.push(near);
            }
        }
    }
    p
}

fn top(p: &BTreeMap<u32, f64>, n: usize) -> Vec<u32> {
    let mut nodes: Vec<u32> = p.keys().copied().collect();
    nodes.sort_by(|a, b| p[b].total_cmp(&p[a]));
    nodes.truncate(n);
    nodes
}

struct Near(BTreeMap<u32, Vec<u32>>);

impl NodeContext for Near {
    fn choose(&mut self, _graph: &OneGraph, group: OutputGroup<'_>, chosen: &mut ChosenNodes) {
        for node in group.output.iter().flat_map(|output| &self.0[output]) {
            chosen.add(*node);
        }
    }
}

/// The next batch is drawn in proportion to how much its labels differ from those of the last one.
struct ByLabels {
    seed: u64,
    of: Vec<[f64; 7]>,
}

impl GroupOrder for ByLabels {
    fn order(&self, epoch: u64, last: Option<u32>) -> Vec<u32> {
        let mut rng = random::stream(self.seed, "label order", epoch);
        let mut left: Vec<u32> = (0..self.of.len() as u32).collect();
        let (mut order, mut last) = (Vec::new(), last.unwrap_or(0));
        while !left.is_empty() {
            let distance = |&group: &u32| {
                let [a, b] = [last, group].map(|group| self.of[group as usize]);
                a.iter().zip(b).map(|(a, b)| (a - b) * (a / b).ln()).sum::<f64>()
                    + if group == last { 0.0 } else { 1e-5 }
            };
            let total: f64 = left.iter().map(distance).sum();
            let mut draw = total * (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
            let place = left.iter().position(|group| {
                draw -= distance(group);
                draw < 0.0
            });
            last = left.swap_remove(place.unwrap_or(left.len() - 1));
            order.push(last);
        }
        order
    }
}

fn cora() -> Case {
    let options =
        OneGraphFile { self_loops: true, edge_weight: EdgeWeight::Row, ..OneGraphFile::default() };
    let graphs = options.load(&LoadContext::new()).unwrap();
    let output = graphs.split.as_ref().unwrap().train.clone();
    Case { graphs, output }
}

/// Numbers of an independent implementation on Cora with self loops, alpha 0.25, epsilon 2e-4.
#[test]
fn neighbourhoods_are_those_of_the_method() {
    let case = cora();
    for (seed, n_node, sum) in [(0, 81, 0.902_976), (1, 44, 0.908_095), (2, 132, 0.851_043)] {
        let p = push(case.one(), seed);
        let total: f64 = p.values().sum();
        assert_eq!(p.len(), n_node, "node {seed}");
        assert!((total - sum).abs() < 5e-7, "node {seed}: {total}");
    }
    assert_eq!(top(&push(case.one(), 0), 5), [0, 1862, 2582, 633, 1701]);
}

#[test]
fn influence_keeps_the_contract_without_a_change_to_it() {
    let case = cora();
    let batcher = Influence { n_output: 20, n_near: 16 };
    nodes::check(&batcher, &case, false);
    let plans = nodes::train(&batcher, &case, 4);
    assert_eq!(plans.len(), 4 * 7);
    // One shape for all, and no batch twice in a row, also not across epochs.
    assert!(plans.iter().all(|plan| plan.shape == plans[0].shape));
    assert!(plans.windows(2).all(|pair| pair[0].cache_key != pair[1].cache_key));
    let sum: u32 = plans[..7].iter().map(|plan| plan.real.n_node).sum();
    assert!(sum < 140 * 16, "neighbourhoods overlap within a batch: {sum}");
}
