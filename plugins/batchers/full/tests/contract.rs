//! The contract of batchers on one graph, and the properties of this batcher.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use batcher_full::Full;
use batchlab_core::{BatchContext, Batcher, Dataset, LoadContext, Purpose};
use batchlab_testkit::nodes::{self, Case};
use dataset_one_graph::OneGraphFile;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn keeps_the_contract(case in nodes::cases()) {
        nodes::check(&Full {}, &case, true);
        for plan in nodes::train(&Full {}, &case, 2) {
            prop_assert_eq!(plan.members.len(), case.graphs.n_node());
            prop_assert_eq!(plan.real.n_edge as usize, case.one().sender.len());
            prop_assert_eq!(nodes::outputs(&plan), case.output.clone());
            prop_assert_eq!((plan.cache_key, plan.shape), (Some(0), plan.real));
        }
    }
}

#[test]
fn cora_is_one_batch() {
    let graphs = OneGraphFile::default().load(&LoadContext::new()).unwrap();
    let split = graphs.split.clone().unwrap();
    let case = Case { graphs, output: split.train };
    nodes::check(&Full {}, &case, true);
    let plans = nodes::train(&Full {}, &case, 1);
    let real = plans[0].real;
    assert_eq!((plans.len(), real.n_node, real.n_edge, real.n_output), (1, 2708, 10_556, 140));
    let evaluated = nodes::evaluate(&Full {}, &Case { output: split.test, ..case });
    assert_eq!((evaluated.len(), evaluated[0].real.n_output), (1, 1000));
}

#[test]
fn many_graphs_and_empty_subsets_are_refused() {
    let open = |view| Full {}.open(view, BatchContext::new(Purpose::Training, 1));
    let error = open(batchlab_testkit::batcher::view(&[[3, 2]])).err().unwrap().to_string();
    assert_eq!(error, "this batcher works on one graph, but the data set holds many graphs");
    let empty = Case::new(3, &[(0, 1)].into(), Vec::new());
    let error = open(empty.view()).err().unwrap().to_string();
    assert_eq!(error, "the subset has no output nodes, so no batch can be formed");
}

batchlab_testkit::node_conformance!(Full {});
