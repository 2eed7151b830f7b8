//! Checks the contract of batchers on many graphs, on graphs chosen by the caller.
//!
//! The complete checks, on graphs chosen by the kit, are in
//! [`conformance`](mod@crate::conformance).

use batchlab_core::{BatchContext, BatchPlan, Batcher, GraphSize, Purpose, View};
use proptest::prelude::*;

use crate::conformance::{Trial, promises};

/// A view of graphs with these nodes and edges. Identifiers differ from positions, to detect
/// batchers that confuse the two.
#[must_use]
pub fn view(sizes: &[[u32; 2]]) -> View {
    let graph = |(i, &[n_node, n_edge]): (usize, &[u32; 2])| GraphSize {
        id: identifier(i),
        n_node,
        n_edge,
    };
    View::ManyGraphs(sizes.iter().enumerate().map(graph).collect())
}

/// The identifier of the graph at a position of [`view`].
#[must_use]
pub fn identifier(position: usize) -> u32 {
    3 * position as u32 + 1000
}

/// Up to 60 graphs of up to 30 nodes, some without edges.
pub fn sizes() -> impl Strategy<Value = Vec<[u32; 2]>> {
    let graph = (1_u32..30, 0_u32..60).prop_map(|(n_node, n_edge)| [n_node, n_edge]);
    prop::collection::vec(graph, 1..60)
}

/// All padding rules, as written in a configuration.
pub fn padding() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "\"none\"",
        "\"constant\"",
        "{ multiple = 64 }",
        "{ power = 2 }",
        "{ shapes = 3 }",
        "{ shapes_cost = 20 }",
    ])
}

/// All compositions.
pub fn composition() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["every-epoch", "fixed"])
}

/// Configuration lines with the options shared by all batchers on groups of graphs, except the
/// batch size.
pub fn group_options() -> impl Strategy<Value = String> {
    let boundary = prop::sample::select(vec!["carry-over", "emit-partial"]);
    (padding(), composition(), boundary).prop_map(|(padding, composition, boundary)| {
        format!(
            "padding = {padding}\ncomposition = \"{composition}\"\nepoch_boundary = \"{boundary}\"\n"
        )
    })
}

#[must_use]
pub fn evaluate(batcher: &dyn Batcher, view: &View) -> Vec<BatchPlan> {
    let ctx = BatchContext::new(Purpose::Evaluation, 1);
    let mut stream = batcher.open(view.clone(), ctx).expect("the batcher opens");
    let mut plans = Vec::new();
    let mut plan = BatchPlan::default();
    while stream.next(&mut plan).expect("next succeeds") {
        plans.push(plan.clone());
    }
    plans
}

#[must_use]
pub fn train(batcher: &dyn Batcher, view: &View, seed: u64, n_plan: usize) -> Vec<BatchPlan> {
    let ctx = BatchContext::new(Purpose::Training, seed);
    let mut stream = batcher.open(view.clone(), ctx).expect("the batcher opens");
    let mut plan = BatchPlan::default();
    let mut next = || {
        assert!(stream.next(&mut plan).expect("next succeeds"), "training never ends");
        plan.clone()
    };
    (0..n_plan).map(|_| next()).collect()
}

/// Checks a batcher that loses no graphs, on these graphs.
///
/// An evaluation and every training epoch contain every graph once; batches respect `batch_size`
/// and shapes have enough room; the same seed gives the same plans; and a stream that seeks to any
/// cursor continues as if it had never stopped.
pub fn check(batcher: &dyn Batcher, sizes: &[[u32; 2]]) {
    let trial = Trial { batcher, sizes, identifier: &identifier };
    if let Err(found) = promises(&trial) {
        panic!("{}: {found}", batcher.label());
    }
}
