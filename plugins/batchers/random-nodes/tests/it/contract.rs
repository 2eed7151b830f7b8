//! The contract of batchers on one graph, for every padding and composition, and the properties of
//! this batcher.

use std::collections::BTreeSet;

use batcher_random_nodes::RandomNodes;
use batchlab_core::{BatchContext, Batcher, Purpose};
use batchlab_testkit::batcher;
use batchlab_testkit::nodes::{self, Case};
use proptest::prelude::*;

fn parse(options: &str) -> RandomNodes {
    toml::from_str(options).expect("a valid configuration")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn keeps_the_contract(
        case in nodes::cases(),
        n_output in 1_u32..12,
        n_hop in 0_u32..4,
        padding in prop_oneof![
            5 => batcher::padding(), 1 => Just("\"constant\"\nconstant = { n_node = 20, n_edge = 30 }"),
        ],
        composition in batcher::composition(),
    ) {
        let n_output = n_output.min(case.graphs.n_node() as u32);
        let batcher = parse(&format!(
            "n_output = {n_output}\nn_hop = {n_hop}\npadding = {padding}\ncomposition = \"{composition}\""
        ));
        nodes::check(&batcher, &case, true);
        let n_batch = case.output.len().div_ceil(n_output as usize);
        let plans = nodes::train(&batcher, &case, 3);
        prop_assert_eq!(plans.len(), 3 * n_batch);
        for plan in plans.iter().chain(&nodes::evaluate(&batcher, &case)) {
            nodes::check_hops(&case, plan, n_hop);
            let n = case.output.len();
            let n_output = plan.output_row.len();
            prop_assert!(n_output == n / n_batch || n_output == n.div_ceil(n_batch), "even groups");
        }
        let cache_keys: BTreeSet<Option<u64>> = plans.iter().map(|plan| plan.cache_key).collect();
        let expected = if composition == "fixed" { n_batch } else { 1 };
        prop_assert_eq!(cache_keys.len(), expected);
        prop_assert_eq!(cache_keys.contains(&None), composition == "every-epoch");
    }
}

/// A path of 200 nodes, all of which are outputs.
fn path() -> Case {
    let edges = (1..200).flat_map(|n| [(n - 1, n), (n, n - 1)]).collect();
    Case::new(200, &edges, (0..200).collect())
}

#[test]
fn groups_change_every_epoch_or_never() {
    let groups = |composition: &str| -> Vec<BTreeSet<BTreeSet<u32>>> {
        let batcher = parse(&format!("n_output = 10\nn_hop = 1\ncomposition = \"{composition}\""));
        let plans = nodes::train(&batcher, &path(), 3);
        let group = |plan| nodes::outputs(plan).into_iter().collect();
        plans.chunks(20).map(|epoch| epoch.iter().map(group).collect()).collect()
    };
    let [a, b, c] = &groups("every-epoch")[..] else { panic!("three epochs") };
    assert!(a.is_disjoint(b) && b.is_disjoint(c));
    let [a, b, c] = &groups("fixed")[..] else { panic!("three epochs") };
    assert!(a == b && b == c);
}

#[test]
fn fixed_groups_come_in_a_new_order_every_epoch() {
    let batcher = parse("n_output = 10\nn_hop = 1\ncomposition = \"fixed\"");
    let plans = nodes::train(&batcher, &path(), 2);
    let cache_keys: Vec<u64> = plans.iter().map(|plan| plan.cache_key.unwrap()).collect();
    assert_ne!(cache_keys[..20], cache_keys[20..]);
    let first: BTreeSet<&u64> = cache_keys[..20].iter().collect();
    assert_eq!(first, cache_keys[20..].iter().collect());
}

#[test]
fn a_batch_that_exceeds_its_constant_shape_gets_a_larger_one() {
    let given =
        "n_output = 10\nn_hop = 1\npadding = \"constant\"\nconstant = { n_node = 29, n_edge = 40 }";
    let plans = nodes::train(&parse(given), &path(), 3);
    let grown =
        |plan: &&batchlab_core::BatchPlan| plan.shape.n_node != 29 || plan.shape.n_edge != 40;
    let n_grown = plans.iter().filter(grown).count();
    assert!(n_grown > 0 && n_grown < plans.len(), "{n_grown} of {}", plans.len());
    for plan in &plans {
        let (real, shape) = (plan.real, plan.shape);
        assert_eq!((shape.n_graph, shape.n_output), (2, 10));
        assert_eq!(shape.n_node, if real.n_node < 29 { 29 } else { 64 }, "{real:?}");
        assert_eq!(shape.n_edge, if real.n_edge <= 40 { 40 } else { 64 }, "{real:?}");
    }
}

#[test]
fn contradictions_are_refused() {
    let error = toml::from_str::<RandomNodes>("n_output = 0\nn_hop = 1").unwrap_err();
    assert!(error.to_string().contains("nonzero"), "{error}");
    let batcher = parse("n_output = 3\nn_hop = 1\nconstant = { n_node = 9, n_edge = 9 }");
    let open = |case: &Case| {
        let opened = batcher.open(case.view(), BatchContext::new(Purpose::Training, 1));
        opened.err().unwrap().to_string()
    };
    let error = open(&path());
    assert_eq!(error, "a shape is given, but padding is not \"constant\"; drop one of the two");
    let error = open(&Case { output: vec![200], ..path() });
    assert_eq!(error, "output node 200 does not exist, only 200 do");
    let error = open(&Case { output: vec![3, 4, 3], ..path() });
    assert_eq!(error, "output node 3 is named twice");
    let large = parse("n_output = 201\nn_hop = 1");
    let opened = large.open(path().view(), BatchContext::new(Purpose::Evaluation, 1));
    assert_eq!(
        opened.err().unwrap().to_string(),
        "201 outputs per batch, but the graph has only 200 nodes; give fewer"
    );
}

#[test]
fn labels_say_what_differs() {
    let label = |options: &str| parse(&format!("n_output = 8\nn_hop = 2\n{options}")).label();
    assert_eq!(label(""), "random-nodes-n_output=8-n_hop=2");
    let options = "padding = { multiple = 64 }\ncomposition = \"fixed\"";
    assert_eq!(label(options), "random-nodes-64-fixed-n_output=8-n_hop=2");
}

batchlab_testkit::node_conformance!(parse(
    "n_output = 8\nn_hop = 1\ncomposition = \"fixed\"\norder = \"sample\""
));
