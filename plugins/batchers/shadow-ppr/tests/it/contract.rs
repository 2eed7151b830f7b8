//! The contract of batchers on one graph, and the properties of this batcher.

use std::sync::Arc;

use batcher_shadow_ppr::ShadowPpr;
use batchlab_core::graphs::Topology;
use batchlab_core::{BatchContext, Batcher, Graphs, Purpose};
use batchlab_testkit::batcher;
use batchlab_testkit::golden_nodes::NodeGolden;
use batchlab_testkit::nodes::{self, Case};
use proptest::prelude::*;

fn parse(options: &str) -> ShadowPpr {
    toml::from_str(options).expect("a valid configuration")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn keeps_the_contract(
        case in nodes::undirected_cases(6),
        n_output in 1_u32..8,
        k in 1_u32..7,
        walk in prop::sample::select(vec!["lazy", "plain"]),
        padding in batcher::padding(),
        composition in batcher::composition(),
    ) {
        let n_output = n_output.min(case.graphs.n_node() as u32);
        let order = if composition == "fixed" { "sample" } else { "random" };
        let batcher = parse(&format!(
            "n_output = {n_output}\naux_per_output = {k}\nepsilon = 1e-3\nwalk = \"{walk}\"\n\
             padding = {padding}\ncomposition = \"{composition}\"\norder = \"{order}\""
        ));
        nodes::check(&batcher, &case, true);
        for plan in nodes::train(&batcher, &case, 2) {
            // Every ego-net has its output and at most k nodes; no edge leaves it.
            let ego_of = ego_nets(&plan.members, k, plan.output_row.len());
            prop_assert!(ego_of.is_some(), "{:?} in {} ego-nets", plan.members, plan.output_row.len());
        }
    }
}

/// Whether members can be split into `n` ascending runs of at most k + 1 nodes.
fn ego_nets(members: &[u32], k: u32, n: usize) -> Option<()> {
    let n_run = 1 + members.windows(2).filter(|pair| pair[0] >= pair[1]).count();
    (n_run <= n && members.len() <= n * (k as usize + 1)).then_some(())
}

#[test]
fn ego_nets_of_a_tiny_graph_are_those_of_the_golden_file() {
    let tiny = NodeGolden::open().tiny;
    let output: Vec<u32> = tiny.shadow.egos.iter().map(|ego| ego.output).collect();
    let graphs = Graphs::new("tiny", Topology::One(Arc::new(tiny.graph()))).unwrap();
    let case = Case { graphs, output };
    let golden = &tiny.shadow;
    let batcher = parse(&format!(
        "n_output = 7\naux_per_output = {}\nwalk = \"plain\"\nteleport = {}\nepsilon = {}",
        golden.k, golden.alpha, golden.eps
    ));
    let plans = nodes::evaluate(&batcher, &case);
    let [plan] = &plans[..] else { panic!("one batch") };
    assert_eq!((&plan.members, &plan.output_row), (&golden.batch.origin, &golden.batch.output_row));
    assert_eq!(plan.listed.sender, golden.batch.sender);
    assert_eq!(plan.listed.receiver, golden.batch.receiver);
    let weight: Vec<f32> = golden.batch.edge_weight.iter().map(|&weight| weight as f32).collect();
    assert_eq!(plan.listed.weight, weight);
}

/// A path of five nodes: the ego-nets of 1 and 2 share nodes, but there is no edge between them.
#[test]
fn a_node_is_in_a_batch_as_often_as_it_is_near_an_output() {
    let edges = (1..5).flat_map(|n| [(n - 1, n), (n, n - 1)]).collect();
    let case = Case::new(5, &edges, vec![2, 1]);
    let plans = nodes::evaluate(&parse("n_output = 2\naux_per_output = 3"), &case);
    let [plan] = &plans[..] else { panic!("one batch") };
    assert_eq!((&plan.members[..], &plan.output_row[..]), (&[1, 2, 3, 0, 1, 2][..], &[1, 4][..]));
    assert_eq!(plan.listed.receiver, [0, 1, 1, 2, 3, 4, 4, 5]);
    assert_eq!(plan.listed.sender, [1, 0, 2, 1, 4, 3, 5, 4]);
}

#[test]
fn what_cannot_work_is_refused() {
    let error = |options: &str, case: &Case| {
        let opened = parse(options).open(case.view(), BatchContext::new(Purpose::Training, 1));
        opened.err().expect("it is refused").to_string()
    };
    let directed = Case::new(3, &[(0, 1), (1, 0), (1, 2)].into(), vec![0, 1]);
    let options = "n_output = 2\naux_per_output = 2";
    assert!(error(options, &directed).contains("an edge from node 2 to node 1 and none back"));
    assert_eq!(
        error("n_output = 2\naux_per_output = 4", &directed),
        "aux_per_output = 4, but the graph has only 3 nodes"
    );
    let pair = Case::new(2, &[(0, 1), (1, 0)].into(), vec![0, 1]);
    assert_eq!(
        error("n_output = 3\naux_per_output = 2", &pair),
        "3 outputs per batch, but the graph has only 2 nodes; give fewer"
    );
    assert!(
        error(&format!("{options}\norder = \"tour\""), &directed)
            .contains("composition = \"fixed\"")
    );
    assert!(toml::from_str::<ShadowPpr>("n_output = 2\naux_per_output = 0").is_err());
}

batchlab_testkit::node_conformance!(parse("n_output = 8\naux_per_output = 5\nepsilon = 1e-3"));
