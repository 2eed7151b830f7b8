//! Checks the contract of batchers on the nodes of one graph.
//!
//! Each check compares with a slow, straightforward implementation: sets of pairs, no scratch
//! memory, no sorting tricks.

#![allow(clippy::float_cmp, reason = "what is copied is equal to the last bit")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use batchlab_core::graphs::{FixedSplit, NodeFeature, OneGraph, Target, Topology};
use batchlab_core::plan::EdgeSelection;
use batchlab_core::{
    BatchBuffer, BatchContext, BatchFields, BatchPlan, BatchStream, Batcher, Cursor, Graphs, Level,
    PaddedBatch, Purpose, View, collate,
};
use proptest::prelude::*;

/// Possible contents of node batches.
const NEEDS: BatchFields = BatchFields {
    node_class: false,
    node_feature: true,
    sparse_feature: false,
    distance: false,
    displacement: false,
    edge_weight: true,
    sender_order: true,
    own: Vec::new(),
};

#[derive(Debug, Clone)]
pub struct Case {
    /// The graph, with features, classes and weights that are different for every node and edge.
    pub graphs: Graphs,
    /// Output nodes, in no particular order.
    pub output: Vec<u32>,
}

impl Case {
    #[must_use]
    pub fn view(&self) -> View {
        self.graphs.view(&self.output)
    }

    #[must_use]
    pub fn one(&self) -> &OneGraph {
        let Topology::One(one) = &self.graphs.topology else { panic!("a case holds one graph") };
        one
    }

    /// A graph with these edges as (receiver, sender).
    #[must_use]
    pub fn new(n_node: u32, edges: &BTreeSet<(u32, u32)>, output: Vec<u32>) -> Self {
        let before = |node: u32| edges.range(..(node, 0)).count();
        let one = OneGraph {
            offset: (0..=n_node).map(before).collect(),
            sender: edges.iter().map(|&(_, sender)| sender).collect(),
            edge_weight: (0..edges.len()).map(|edge| 0.5 + edge as f32).collect(),
        };
        let mut graphs = Graphs::new("case", Topology::One(Arc::new(one))).expect("nodes");
        graphs.node_feature = Some(NodeFeature::Dense {
            value: (0..2 * n_node).map(|v| v as f32).collect(),
            width: 2,
        });
        let class = (0..n_node).map(|node| f64::from(node % 3)).collect();
        let names = ["a", "b", "c"].map(str::to_owned).to_vec();
        graphs.target = Some(Target::classes("class", names, class));
        let split = FixedSplit { train: output.clone(), ..FixedSplit::default() };
        graphs.split = Some(split);
        graphs.check().expect("a consistent case");
        Self { graphs, output }
    }
}

/// Directed graphs of up to 40 nodes with self-loops and isolated nodes, often with a hub that
/// receives edges from all nodes, and a subset of their nodes in any order.
pub fn cases() -> impl Strategy<Value = Case> {
    let ends = |n_node: u32| (0..n_node, 0..n_node);
    (1_u32..40).prop_flat_map(move |n_node| {
        let edges = prop::collection::btree_set(ends(n_node), 0..(4 * n_node as usize));
        let nodes = Just((0..n_node).collect::<Vec<u32>>()).prop_shuffle();
        (Just(n_node), edges, nodes, 1..=n_node as usize, any::<bool>()).prop_map(
            |(n_node, mut edges, mut output, n_output, hub)| {
                if hub {
                    edges.extend((0..n_node).map(|sender| (n_node / 2, sender)));
                }
                output.truncate(n_output);
                Case::new(n_node, &edges, output)
            },
        )
    })
}

/// The same graphs with both directions of every edge and at least `n_node` nodes.
pub fn undirected_cases(n_node: u32) -> impl Strategy<Value = Case> {
    let large = move |case: &Case| case.graphs.n_node() >= n_node as usize;
    cases().prop_filter("a small graph", large).prop_map(|case| {
        let edges = all_edges(case.one()).into_keys().flat_map(|(a, b)| [(a, b), (b, a)]).collect();
        Case::new(case.graphs.n_node() as u32, &edges, case.output)
    })
}

#[must_use]
pub fn evaluate(batcher: &dyn Batcher, case: &Case) -> Vec<BatchPlan> {
    let mut stream = open(batcher, case, Purpose::Evaluation);
    let (mut plans, mut plan) = (Vec::new(), BatchPlan::default());
    while stream.next(&mut plan).expect("next succeeds") {
        plans.push(plan.clone());
    }
    assert!(!stream.next(&mut plan).expect("an ended stream stays ended"));
    plans
}

#[must_use]
pub fn train(batcher: &dyn Batcher, case: &Case, n_epoch: u64) -> Vec<BatchPlan> {
    let mut stream = open(batcher, case, Purpose::Training);
    let mut plans: Vec<BatchPlan> = Vec::new();
    loop {
        let mut plan = BatchPlan::default();
        assert!(stream.next(&mut plan).expect("next succeeds"), "training never ends");
        if plan.cursor.epoch == n_epoch {
            return plans;
        }
        plans.push(plan);
    }
}

fn open(batcher: &dyn Batcher, case: &Case, purpose: Purpose) -> Box<dyn BatchStream> {
    batcher.open(case.view(), BatchContext::new(purpose, 7)).expect("the batcher opens")
}

#[must_use]
pub fn outputs(plan: &BatchPlan) -> Vec<u32> {
    plan.output_row.iter().map(|&row| plan.members[row as usize]).collect()
}

/// Checks the promises of every batcher on the nodes of one graph.
///
/// Every epoch and an evaluation contain every output exactly once; members are sorted and unique;
/// edges exist; shapes have enough room; plans with the same cache key are equal; the same seed
/// gives the same plans; a stream that seeks to any cursor continues as if it had never stopped;
/// and the collated batch equals a naive construction. With `in_order`, an evaluation follows the
/// order of the view.
pub fn check(batcher: &dyn Batcher, case: &Case, in_order: bool) {
    check_all(batcher, case, in_order, false);
}

/// [`check`] for a batcher that samples outputs in training: an epoch may contain an output several
/// times, though not in one batch, or never; an evaluation contains each once, in the order of the
/// view.
pub fn check_sampled(batcher: &dyn Batcher, case: &Case) {
    check_all(batcher, case, true, true);
}

fn check_all(batcher: &dyn Batcher, case: &Case, in_order: bool, sampled: bool) {
    assert_eq!(batcher.level(), Level::Nodes);
    let plans = evaluate(batcher, case);
    let mut named: Vec<u32> = plans.iter().flat_map(outputs).collect();
    if in_order {
        assert_eq!(named, case.output, "an evaluation is in view order");
    }
    named.sort_unstable();
    assert_eq!(named, sorted(&case.output), "an evaluation contains every output once");

    let n_epoch = 3;
    let training = train(batcher, case, n_epoch);
    let view: BTreeSet<u32> = case.output.iter().copied().collect();
    for plan in &training {
        let named = outputs(plan);
        assert!(named.iter().all(|node| view.contains(node)), "outputs are in the view");
        assert_eq!(
            named.iter().collect::<BTreeSet<_>>().len(),
            named.len(),
            "no batch repeats an output"
        );
    }
    for epoch in (0..n_epoch).filter(|_| !sampled) {
        let of_epoch = training.iter().filter(|plan| plan.cursor.epoch == epoch);
        let named: Vec<u32> = of_epoch.flat_map(outputs).collect();
        assert_eq!(sorted(&named), sorted(&case.output), "epoch {epoch} has every output once");
    }
    assert_eq!(training, train(batcher, case, n_epoch), "the same seed gives the same plans");
    let mut buffer = BatchBuffer::new();
    for plan in plans.iter().chain(&training) {
        check_plan(case, plan, &mut buffer);
    }
    check_recipes(&training);
    check_resume(batcher, case, &training);
}

fn sorted(nodes: &[u32]) -> Vec<u32> {
    let mut nodes = nodes.to_vec();
    nodes.sort_unstable();
    nodes
}

fn check_plan(case: &Case, plan: &BatchPlan, buffer: &mut BatchBuffer) {
    assert_eq!(plan.level, Level::Nodes);
    if plan.edges == EdgeSelection::Induced {
        assert!(plan.members.is_sorted_by(|a, b| a < b), "members are strictly ascending");
    }
    assert!(!plan.output_row.is_empty(), "every batch has outputs");
    let edges = edges(case, plan);
    let real = plan.real;
    let sizes = [plan.members.len(), edges.len(), 1, plan.output_row.len()];
    let counted = [real.n_node, real.n_edge, real.n_graph, real.n_output].map(|n| n as usize);
    assert_eq!(counted, sizes, "the real size is that of the members");
    collate(&case.graphs, plan, &NEEDS, buffer).expect("a plan that can be collated");
    check_batch(case, plan, &edges, &buffer.batch());
}

/// The batch's edges as (receiver, sender, weight) by row, from a slow implementation.
fn edges(case: &Case, plan: &BatchPlan) -> Vec<(u32, u32, f32)> {
    let one = case.one();
    let listed = &plan.listed;
    if plan.edges == EdgeSelection::Listed {
        let known: BTreeSet<(u32, u32)> = all_edges(one).keys().copied().collect();
        let mut rows = Vec::new();
        for (edge, (&sender, &receiver)) in listed.sender.iter().zip(&listed.receiver).enumerate() {
            let ends = (plan.members[receiver as usize], plan.members[sender as usize]);
            assert!(known.contains(&ends), "edge {ends:?} does not exist");
            rows.push((receiver, sender, listed.weight.get(edge).copied().unwrap_or(1.0)));
        }
        let ends: Vec<(u32, u32)> = rows.iter().map(|edge| (edge.0, edge.1)).collect();
        assert!(ends.is_sorted_by(|a, b| a < b), "listed edges are strictly ascending");
        return rows;
    }
    assert_eq!(plan.edges, EdgeSelection::Induced);
    assert!(listed.sender.is_empty() && listed.receiver.is_empty() && listed.weight.is_empty());
    let row: BTreeMap<u32, u32> = plan.members.iter().copied().zip(0..).collect();
    let ends = |&((receiver, sender), weight): &((u32, u32), f32)| {
        Some((*row.get(&receiver)?, *row.get(&sender)?, weight))
    };
    all_edges(one).into_iter().collect::<Vec<_>>().iter().filter_map(ends).collect()
}

/// Every edge of the graph as (receiver, sender), with its weight.
#[must_use]
pub fn all_edges(one: &OneGraph) -> BTreeMap<(u32, u32), f32> {
    let of_node = |receiver: u32| {
        one.incoming(receiver).map(move |edge| {
            let weight = one.edge_weight.get(edge).copied().unwrap_or(1.0);
            ((receiver, one.sender[edge]), weight)
        })
    };
    (0..one.n_node() as u32).flat_map(of_node).collect()
}

fn check_batch(case: &Case, plan: &BatchPlan, edges: &[(u32, u32, f32)], batch: &PaddedBatch<'_>) {
    let (real, shape) = (batch.real, batch.shape);
    assert_eq!((real, shape), (plan.real, plan.shape));
    let [n_node, n_edge, n_output] = [real.n_node, real.n_edge, real.n_output].map(|n| n as usize);
    let got: Vec<(u32, u32, f32)> = (0..n_edge)
        .map(|edge| (batch.receiver[edge], batch.sender[edge], batch.edge_weight[edge]))
        .collect();
    assert_eq!(got, edges, "the batch's edges");
    assert!(batch.edge_weight[n_edge..].iter().all(|&weight| weight == 0.0));
    let spare = batch.receiver[n_edge..].iter().chain(&batch.sender[n_edge..]);
    assert!(spare.into_iter().all(|&row| row as usize >= n_node && row < shape.n_node));
    for row in 0..shape.n_node {
        let range =
            |offset: &[u32]| offset[row as usize] as usize..offset[row as usize + 1] as usize;
        assert!(batch.receiver[range(batch.receiver_offset)].iter().all(|&r| r == row));
        let sent = &batch.sender_order[range(batch.sender_offset)];
        assert!(sent.iter().all(|&edge| batch.sender[edge as usize] == row));
    }
    assert_eq!(batch.receiver_offset[shape.n_node as usize], shape.n_edge);
    assert_eq!(sorted(batch.sender_order), (0..shape.n_edge).collect::<Vec<_>>());

    let feature = case.graphs.node_feature.as_ref().expect("a case has features");
    let width = feature.width();
    let mut expected = vec![0.0; width];
    for (row, &node) in plan.members.iter().enumerate() {
        assert_eq!(batch.origin[row], node);
        assert_eq!(batch.graph_of[row], 0);
        feature.copy_row(node as usize, &mut expected);
        assert_eq!(&batch.node_feature[row * width..][..width], expected);
    }
    assert!(batch.origin[n_node..].iter().all(|&node| node == u32::MAX));
    assert!(batch.graph_of[n_node..].iter().all(|&graph| graph == 1));
    assert!(batch.node_feature[n_node * width..].iter().all(|&value| value == 0.0));

    let target = case.graphs.target.as_ref().expect("a case has classes");
    for (slot, node) in outputs(plan).into_iter().enumerate() {
        assert_eq!(batch.origin[batch.output_row[slot] as usize], node);
        assert_eq!(batch.output_target[slot], target.training[node as usize]);
        assert_eq!(batch.output_weight[slot], plan.output_weight.get(slot).copied().unwrap_or(1.0));
    }
    assert!(batch.output_weight[n_output..].iter().all(|&weight| weight == 0.0));
    assert!(batch.output_row[n_output..].iter().all(|&row| row < shape.n_node));
    assert_eq!(batch.output_row.len(), shape.n_output as usize);
}

fn check_recipes(plans: &[BatchPlan]) {
    let mut by_recipe: BTreeMap<u64, BatchPlan> = BTreeMap::new();
    for plan in plans {
        let Some(cache_key) = plan.cache_key else { continue };
        let plan = BatchPlan { cursor: Cursor::default(), ..plan.clone() };
        let first = by_recipe.entry(cache_key).or_insert_with(|| plan.clone());
        assert_eq!(first, &plan, "plans with cache key {cache_key} are equal");
    }
}

fn check_resume(batcher: &dyn Batcher, case: &Case, plans: &[BatchPlan]) {
    for (done, plan) in plans.iter().enumerate() {
        let mut stream = open(batcher, case, Purpose::Training);
        stream.seek(&plan.cursor).expect("a stream can seek to its own cursor");
        for expected in &plans[done + 1..] {
            let mut next = BatchPlan::default();
            assert!(stream.next(&mut next).expect("next succeeds"), "training never ends");
            assert_eq!(&next, expected, "resumed after {done} batches at {:?}", plan.cursor);
        }
    }
    let mut stream = open(batcher, case, Purpose::Training);
    let foreign = Cursor { batch: plans.len() as u64 + 1, ..Cursor::default() };
    assert!(stream.seek(&foreign).is_err(), "a cursor beyond the epoch is rejected");
}

/// Checks that a batch contains exactly the nodes from which an output can be reached along at most
/// `n_hop` edges.
pub fn check_hops(case: &Case, plan: &BatchPlan, n_hop: u32) {
    let edges = all_edges(case.one());
    let mut within: BTreeSet<u32> = outputs(plan).into_iter().collect();
    for _ in 0..n_hop {
        let senders = edges.keys().filter(|ends| within.contains(&ends.0)).map(|ends| ends.1);
        let senders: Vec<u32> = senders.collect();
        within.extend(senders);
    }
    assert_eq!(plan.members, within.into_iter().collect::<Vec<_>>(), "nodes within {n_hop} hops");
}

/// Checks a batch of sampled neighbours: in each hop, each node reached for the first time has as
/// many incoming edges as its fan-out and in-degree allow, nodes of the last hop have none, and the
/// batch contains nothing else. A weight is that of the full graph, with `importance` multiplied by
/// in-degree / number drawn.
pub fn check_fan_out(case: &Case, plan: &BatchPlan, fan_out: &[u32], importance: bool) {
    let one = case.one();
    let all = all_edges(one);
    let mut drawn: BTreeMap<u32, Vec<(u32, f32)>> = BTreeMap::new();
    for (receiver, sender, weight) in edges(case, plan) {
        let [receiver, sender] = [receiver, sender].map(|row| plan.members[row as usize]);
        drawn.entry(receiver).or_default().push((sender, weight));
    }
    let mut reached: BTreeSet<u32> = outputs(plan).into_iter().collect();
    let mut frontier = reached.clone();
    for &most in fan_out {
        let mut next = BTreeSet::new();
        for &node in &frontier {
            let of_node = drawn.remove(&node).unwrap_or_default();
            let degree = one.incoming(node).len();
            assert_eq!(of_node.len(), degree.min(most as usize), "edges drawn for node {node}");
            let scale = if importance { degree as f32 / of_node.len() as f32 } else { 1.0 };
            for (sender, weight) in of_node {
                assert_eq!(weight, scale * all[&(node, sender)], "weight of an edge to {node}");
                next.extend(reached.insert(sender).then_some(sender));
            }
        }
        frontier = next;
    }
    assert!(drawn.is_empty(), "edges not drawn by any hop: {drawn:?}");
    assert_eq!(plan.members, reached.into_iter().collect::<Vec<_>>(), "the nodes that were drawn");
}
