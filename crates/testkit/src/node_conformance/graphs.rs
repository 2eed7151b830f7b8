//! Random graphs for the checks, the same in every run.

use std::collections::BTreeSet;

use batchlab_core::Batcher;
use batchlab_core::graphs::Target;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use super::Subject;
use crate::check::Outcome;
use crate::nodes::Case;

const N_CASE: u32 = 12;

type Edges = BTreeSet<(u32, u32)>;

fn both(edges: impl IntoIterator<Item = (u32, u32)>) -> Edges {
    edges.into_iter().flat_map(|(a, b)| [(a, b), (b, a)]).collect()
}

/// Nodes, some pairs of them, and outputs in random order.
fn parts() -> impl Strategy<Value = (u32, Vec<(u32, u32)>, Vec<u32>)> {
    (64_u32..91).prop_flat_map(|n_node| {
        let pairs = prop::collection::vec((0..n_node, 0..n_node), n_node as usize);
        let nodes = Just((0..n_node).collect::<Vec<u32>>()).prop_shuffle();
        let n_output = n_node / 3..2 * n_node / 3;
        (Just(n_node), pairs, nodes, n_output).prop_map(|(n_node, pairs, mut nodes, n_output)| {
            nodes.truncate(n_output as usize);
            (n_node, pairs, nodes)
        })
    })
}

/// Undirected graphs in which every node has a self-loop and an edge to another node.
pub(super) fn ordinary() -> impl Strategy<Value = Case> {
    parts().prop_map(|(n_node, pairs, output)| {
        let ring = (0..n_node).map(|node| (node, (node + 1) % n_node));
        let loops = (0..n_node).map(|node| (node, node));
        Case::new(n_node, &both(ring.chain(loops).chain(pairs)), output)
    })
}

/// Undirected graphs in which some outputs have no edges.
pub(super) fn isolated() -> impl Strategy<Value = Case> {
    parts().prop_map(|(n_node, pairs, output)| {
        let alone: BTreeSet<u32> = output.iter().copied().take(5).collect();
        let ends = |&(a, b): &(u32, u32)| !alone.contains(&a) && !alone.contains(&b);
        Case::new(n_node, &both(pairs.into_iter().filter(ends)), output)
    })
}

/// Graphs in which some edges have no reverse edge.
pub(super) fn directed() -> impl Strategy<Value = Case> {
    parts().prop_map(|(n_node, pairs, output)| {
        let mut edges: Edges = pairs.into_iter().collect();
        edges.insert((0, n_node / 2));
        edges.remove(&(n_node / 2, 0));
        Case::new(n_node, &edges, output)
    })
}

/// A node with 1,500 neighbours, which form a ring.
pub(super) fn hub() -> Case {
    let n_node = 1501;
    let ring = (1..n_node).map(|node| (node, 1 + node % (n_node - 1)));
    let spokes = (1..n_node).map(|node| (0, node));
    Case::new(n_node, &both(ring.chain(spokes)), (0..n_node).step_by(25).collect())
}

/// The same graph with different classes out of 0, 1 and 2.
pub(super) fn with_classes(case: &Case, class: impl Fn(u32, u32) -> u32) -> Case {
    let mut graphs = case.graphs.clone();
    let now = graphs.target.take().expect("a case has classes").value;
    #[allow(clippy::cast_sign_loss, reason = "classes of a case are 0, 1 and 2")]
    let other = (0..).zip(&now).map(|(node, &now)| f64::from(class(node, now as u32))).collect();
    let names = ["a", "b", "c"].map(str::to_owned).to_vec();
    graphs.target = Some(Target::classes("class", names, other));
    Case { graphs, output: case.output.clone() }
}

/// Runs a check on random graphs and shrinks failing cases.
pub(super) fn for_all(
    subject: Subject<'_>,
    cases: impl Strategy<Value = Case>,
    check: impl Fn(&dyn Batcher, &Case) -> Outcome,
) -> Outcome {
    let config = Config {
        cases: N_CASE,
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let batcher = (subject.make)();
    let outcome = TestRunner::new_with_rng(config, rng)
        .run(&cases, |case| check(&*batcher, &case).map_err(TestCaseError::fail));
    outcome.map_err(|error| match error {
        TestError::Fail(reason, case) => format!(
            "{reason}\nbatcher {} on {} nodes with {} edges and outputs {:?}",
            batcher.label(),
            case.graphs.n_node(),
            case.one().sender.len(),
            case.output
        ),
        TestError::Abort(reason) => format!("the check gave up: {reason}"),
    })
}
