//! The batches of other programs, batch by batch; `crates/bench/peers/budgets.py` writes the lists.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::collections::BTreeMap;

use batchlab_core::{BatchContext, BatchPlan, Batcher, Purpose, View};
use batchlab_testkit::batcher;
use batchlab_testkit::golden::BatcherResult;
use serde::Deserialize;

#[derive(Deserialize)]
struct Programs {
    sizes: Vec<[u32; 2]>,
    /// By `<program>/B=<batch size>`; nothing where the program stops at a graph that is too large.
    results: BTreeMap<String, Option<BatcherResult>>,
}

/// A strategy by its label.
fn preset(label: &str, batch_size: u32) -> Box<dyn Batcher> {
    let (_, table) = batchlab_builtin::PRESETS.iter().find(|(known, _)| *known == label).unwrap();
    let table: toml::Table = toml::from_str(&format!("batcher = {table}")).unwrap();
    let mut table = serde_json::to_value(&table["batcher"]).unwrap();
    table["batch_size"] = batch_size.into();
    serde_json::from_value(table).unwrap()
}

/// The form of the lists.
fn row(plan: &BatchPlan) -> [u32; 7] {
    let first = (plan.members[0] - batcher::identifier(0)) / 3;
    for (member, position) in plan.members.iter().zip(first..) {
        assert_eq!(*member, batcher::identifier(position as usize));
    }
    let (real, shape) = (plan.real, plan.shape);
    let padded = [shape.n_node, shape.n_edge, shape.n_graph];
    [first, real.n_graph, real.n_node, real.n_edge, padded[0], padded[1], padded[2]]
}

#[test]
fn batches_are_those_of_the_programs() {
    batchlab_builtin::link();
    let golden: BTreeMap<String, Programs> =
        serde_json::from_str(include_str!("programs.json")).unwrap();
    let (mut n_list, mut n_refused) = (0, 0);
    for (data, Programs { sizes, results }) in golden {
        let view = batcher::view(&sizes);
        for (key, expected) in results {
            let (label, batch_size) = key.split_once("/B=").unwrap();
            let strategy = preset(label, batch_size.parse().unwrap());
            let what = format!("{data} {key}");
            let ctx = BatchContext::new(Purpose::Evaluation, 1);
            let opened = strategy.open(view.clone(), ctx);
            let Some(expected) = expected else {
                let error = opened.err().unwrap().to_string();
                assert!(error.contains("more than a batch may hold"), "{what}: {error}");
                n_refused += 1;
                continue;
            };
            let budget = opened.unwrap().metrics();
            let [n_node, n_edge, _] = expected.budget.map(f64::from);
            let mut wanted = vec![("budget_n_node".to_owned(), n_node)];
            wanted.extend((n_edge > 0.0).then(|| ("budget_n_edge".to_owned(), n_edge)));
            assert_eq!(budget, wanted, "{what}");
            let batches: Vec<_> = batcher::evaluate(&*strategy, &view).iter().map(row).collect();
            assert_eq!(batches, expected.batches, "{what}");
            n_list += 1;
        }
    }
    assert_eq!((n_list, n_refused), (19, 1));
}

/// Where the program leaves the end of an epoch incomplete, or goes on with the next.
#[test]
fn epochs_end_as_in_the_programs() {
    batchlab_builtin::link();
    let sizes = [[3, 6]; 10];
    // 4 graphs at most, so 10 make 2 batches and half of one.
    for (label, expected) in [("mlip", [4, 4, 2, 4]), ("algoperf-ogbg", [4, 4, 4, 4])] {
        let plans = batcher::train(&*preset(label, 5), &batcher::view(&sizes), 1, 4);
        let n_graph: Vec<usize> = plans.iter().map(|plan| plan.members.len()).collect();
        assert_eq!(n_graph, expected, "{label}");
    }
}

#[test]
fn presets_have_their_names_in_results() {
    batchlab_builtin::link();
    for (label, _) in batchlab_builtin::PRESETS {
        let name = preset(label, 16).label();
        // Without a limit of graphs by batch_size, results have no other place for it.
        let expected = match *label {
            "mace-jax" | "pyg-nodes" => format!("{label}-batch_size=16"),
            _ => (*label).to_owned(),
        };
        assert_eq!(name, expected);
    }
    let other: Box<dyn Batcher> = serde_json::from_value(serde_json::json!({
        "name": "dynamic", "batch_size": 16, "epoch_boundary": "emit-partial",
        "estimate": { "rule": "median", "from": "all" },
    }))
    .unwrap();
    assert_eq!(other.label(), "dynamic-emit-partial-estimate.rule=median-estimate.from=all");
}

#[test]
fn a_median_of_neighbours_that_sizes_do_not_tell_is_refused() {
    batchlab_builtin::link();
    let View::ManyGraphs(graphs) = batcher::view(&[[4, 12], [3, 4]]) else { unreachable!() };
    let open = |strategy: &dyn Batcher| {
        strategy.open(View::ManyGraphs(graphs.clone()), BatchContext::new(Purpose::Training, 1))
    };
    let error = open(&*preset("mlip", 16)).err().unwrap().to_string();
    assert!(error.contains("graph 1003 has 3 nodes and 4 edges. Give budget.n_edge"), "{error}");
    let given = serde_json::json!({ "name": "dynamic", "batch_size": 16, "budget": { "n_edge": 90 },
        "estimate": { "rule": "median", "from": "all", "reserve": "apart" } });
    let given: Box<dyn Batcher> = serde_json::from_value(given).unwrap();
    assert!(open(&*given).is_ok());
}
