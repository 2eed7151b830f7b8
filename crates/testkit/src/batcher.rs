//! What every batcher on many graphs promises.

use std::collections::BTreeMap;

use batchlab_core::{
    BatchContext, BatchPlan, BatchStream, Batcher, Cursor, GraphSize, Purpose, Shape, View,
};
use proptest::prelude::*;

/// A view of graphs with these nodes and edges. Identifiers differ from positions, so that a
/// batcher which confuses the two is found out.
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

/// Every plan of one evaluation.
#[must_use]
pub fn evaluate(batcher: &dyn Batcher, view: &View) -> Vec<BatchPlan> {
    let ctx = BatchContext::new(Purpose::Evaluation, 1);
    let mut stream = batcher.open(view.clone(), ctx).expect("the batcher opens");
    let mut plans = Vec::new();
    let mut plan = BatchPlan::default();
    while stream.next(&mut plan).expect("the stream goes on") {
        plans.push(plan.clone());
    }
    plans
}

/// The first plans of a training.
#[must_use]
pub fn train(batcher: &dyn Batcher, view: &View, seed: u64, n_plan: usize) -> Vec<BatchPlan> {
    take(&mut *open(batcher, view, seed), n_plan)
}

fn open(batcher: &dyn Batcher, view: &View, seed: u64) -> Box<dyn BatchStream> {
    let ctx = BatchContext::new(Purpose::Training, seed);
    batcher.open(view.clone(), ctx).expect("the batcher opens")
}

fn take(stream: &mut dyn BatchStream, n_plan: usize) -> Vec<BatchPlan> {
    let mut plan = BatchPlan::default();
    let mut next = || {
        assert!(stream.next(&mut plan).expect("the stream goes on"), "training never ends");
        plan.clone()
    };
    (0..n_plan).map(|_| next()).collect()
}

/// Checks a batcher that loses nothing.
///
/// One evaluation names every graph once, in the order of the view; training names every graph
/// equally often; shapes have room; the same seed gives the same plans; and a stream that seeks to
/// any cursor goes on as if it had never stopped.
pub fn check(batcher: &dyn Batcher, sizes: &[[u32; 2]]) {
    let view = view(sizes);
    let plans = evaluate(batcher, &view);
    let named: Vec<u32> = plans.iter().flat_map(|p| p.members.iter().copied()).collect();
    let expected: Vec<u32> = (0..sizes.len()).map(identifier).collect();
    assert_eq!(named, expected, "an evaluation names every graph once, in order");
    for plan in &plans {
        check_shape(batcher, &view, plan);
    }

    let n_plan = 3 * plans.len() + 2;
    let plans = train(batcher, &view, 7, n_plan);
    for plan in &plans {
        check_shape(batcher, &view, plan);
    }
    check_epochs(&plans, sizes.len());
    assert_eq!(plans, train(batcher, &view, 7, n_plan), "the same seed gives the same plans");
    check_resume(batcher, &view, &plans);
}

fn check_shape(batcher: &dyn Batcher, view: &View, plan: &BatchPlan) {
    let View::ManyGraphs(graphs) = view else { unreachable!("checks are for many graphs") };
    let by_id: BTreeMap<u32, GraphSize> = graphs.iter().map(|&g| (g.id, g)).collect();
    let real = plan.members.iter().fold(Shape::default(), |shape, id| shape.with(by_id[id]));
    assert_eq!(plan.real, real, "the real size is that of the members");
    assert!(!plan.members.is_empty(), "no batch is empty");
    let shape = plan.shape;
    assert!(shape.n_edge >= real.n_edge && shape.n_graph >= real.n_graph, "{plan:?}");
    assert!(shape.n_node >= real.n_node + u32::from(shape.n_edge > real.n_edge), "{plan:?}");
    assert!(shape.n_graph >= real.n_graph + u32::from(shape.n_node > real.n_node), "{plan:?}");
    if let Some(batch_size) = batcher.batch_size() {
        assert!(real.n_graph < batch_size, "one slot is left for padding");
    }
}

/// Graphs are drawn without replacement: at any time no graph has been named twice more often
/// than another, give or take what is pending.
fn check_epochs(plans: &[BatchPlan], n_graph: usize) {
    let mut count: BTreeMap<u32, u64> = BTreeMap::new();
    for plan in plans {
        for id in &plan.members {
            *count.entry(*id).or_default() += 1;
        }
        let epoch = plan.cursor.epoch;
        let most = count.values().max().copied().unwrap_or(0);
        assert!(most <= epoch + 1, "graph named {most} times in epoch {epoch}");
        if epoch >= 1 && plan.cursor.batch >= 1 {
            let carried: Vec<u32> = plan.cursor.carried.clone();
            let seen = count.len() + carried.iter().filter(|id| !count.contains_key(id)).count();
            assert_eq!(seen, n_graph, "every graph was drawn in the first epoch");
        }
    }
}

fn check_resume(batcher: &dyn Batcher, view: &View, plans: &[BatchPlan]) {
    for (done, plan) in plans.iter().enumerate() {
        let cursor: Cursor = plan.cursor.clone();
        let mut stream = open(batcher, view, 7);
        stream.seek(&cursor).expect("a stream finds its own cursor");
        let rest = take(&mut *stream, plans.len() - done - 1);
        assert_eq!(rest, plans[done + 1..], "resumed after {done} batches at {cursor:?}");
    }
}
