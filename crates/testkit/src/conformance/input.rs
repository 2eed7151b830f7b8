//! Random input for the checks, the same in every run.

use std::cell::Cell;

use batchlab_core::padding::BatchSize;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use super::{Make, Outcome, Trial};

/// Inputs per check: enough to include groups that are carried over into an epoch, groups that are
/// full to the last slot, and groups of all graphs, yet few enough for a fraction of a second.
const N_CASE: u32 = 24;

/// A batch size and the nodes and edges of each graph.
pub(super) type Input = (BatchSize, Vec<[u32; 2]>);

/// 2 to 32 graphs of 1 to 29 nodes and 1 to 59 edges; unusual input has separate checks.
pub(super) fn ordinary() -> impl Strategy<Value = Input> {
    (batch_size(), prop::collection::vec(graph(), 2..33))
}

/// The same with at most 16 graphs, in batches of two or more.
pub(super) fn few() -> impl Strategy<Value = Input> {
    ((3_u32..9).prop_map(of), prop::collection::vec(graph(), 2..17))
}

fn graph() -> impl Strategy<Value = [u32; 2]> {
    (1_u32..30, 1_u32..60).prop_map(|(n_node, n_edge)| [n_node, n_edge])
}

/// 24 to 48 graphs of three sizes in random order: many batches, and many equal graphs, so that
/// batchers that sort by size have a choice as well.
pub(super) fn three_sizes() -> impl Strategy<Value = Input> {
    let graph = (1_u32..4).prop_map(|k| [3 * k, 8 * k]);
    (4_u32..8, prop::collection::vec(graph, 24..49))
        .prop_map(|(batch_size, sizes)| (of(batch_size), sizes))
}

pub(super) fn batch_size() -> impl Strategy<Value = BatchSize> {
    (2_u32..9).prop_map(of)
}

pub(super) fn of(batch_size: u32) -> BatchSize {
    BatchSize::try_from(batch_size).expect("the kit's batch sizes are 2 or more")
}

/// Runs a check on random input and shrinks failing cases.
pub(super) fn for_all(
    make: Make<'_>,
    input: impl Strategy<Value = Input>,
    check: impl Fn(&Trial<'_>) -> Outcome,
) -> Outcome {
    for_all_with(make, input, N_CASE, |trial, _| check(trial))
}

/// Like `for_all`, with another number of cases, and with the batch size for the check.
pub(super) fn for_all_with(
    make: Make<'_>,
    input: impl Strategy<Value = Input>,
    n_case: u32,
    check: impl Fn(&Trial<'_>, BatchSize) -> Outcome,
) -> Outcome {
    let config = Config { cases: n_case, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let label = Cell::new(None);
    let outcome = TestRunner::new_with_rng(config, rng).run(&input, |(batch_size, sizes)| {
        let batcher = make(batch_size);
        label.set(Some(batcher.label()));
        check(&Trial::new(&*batcher, &sizes), batch_size).map_err(TestCaseError::fail)
    });
    outcome.map_err(|error| match error {
        TestError::Fail(reason, (batch_size, sizes)) => format!(
            "{reason}\nbatcher {} with batch_size {} on graphs of [nodes, edges] {sizes:?}",
            label.take().unwrap_or_default(),
            batch_size.get()
        ),
        TestError::Abort(reason) => format!("the check gave up: {reason}"),
    })
}
