//! The contract of batchers on one graph, and the properties of this batcher.

use std::collections::BTreeSet;

use batcher_cluster::Cluster;
use batchlab_core::{BatchContext, BatchPlan, Batcher, Purpose};
use batchlab_testkit::batcher;
use batchlab_testkit::nodes::{self, Case};
use proptest::prelude::*;

fn parse(options: &str) -> Cluster {
    toml::from_str(options).expect("a valid configuration")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn keeps_the_contract(
        case in nodes::undirected_cases(6),
        n_part in 1_u32..7,
        per_batch in 1_u32..4,
        padding in batcher::padding(),
        order in prop::sample::select(vec!["random", "sample", "tour"]),
    ) {
        let per_batch = per_batch.min(n_part);
        let order = if per_batch == 1 { order } else { "random" };
        let batcher = parse(&format!(
            "n_part = {n_part}\nparts_per_batch = {per_batch}\npadding = {padding}\norder = \"{order}\""
        ));
        nodes::check(&batcher, &case, false);
        let plans = nodes::train(&batcher, &case, 1);
        let cached = plans.iter().all(|plan| plan.cache_key.is_some());
        prop_assert_eq!(cached, per_batch == 1);
        // A node is in one partition; partitions without outputs are skipped.
        let members: Vec<u32> = plans.iter().flat_map(|plan| plan.members.clone()).collect();
        prop_assert_eq!(members.iter().collect::<BTreeSet<_>>().len(), members.len());
    }
}

/// Six triangles in a ring, two outputs each, and a triangle without outputs.
fn triangles() -> Case {
    let of = |t: u32| [(0, 1), (1, 2), (2, 0)].map(|(a, b)| (3 * t + a, 3 * t + b));
    let ring = (0..7).map(|t| (3 * t, 3 * ((t + 1) % 7) + 1));
    let edges = (0..7).flat_map(of).chain(ring).flat_map(|(a, b)| [(a, b), (b, a)]).collect();
    Case::new(21, &edges, (0..18).filter(|node| node % 3 < 2).collect())
}

#[test]
fn several_parts_are_drawn_anew_with_the_edges_between_them() {
    let plans = nodes::train(&parse("n_part = 2\nparts_per_batch = 2"), &triangles(), 1);
    assert_eq!(plans.len(), 1);
    assert_eq!(plans[0].real.n_edge as usize, triangles().one().sender.len());
    let groups = |plans: &[BatchPlan]| -> BTreeSet<Vec<u32>> {
        plans.iter().map(|plan| plan.members.clone()).collect()
    };
    let plans = nodes::train(&parse("n_part = 7\nparts_per_batch = 2"), &triangles(), 8);
    let epochs: BTreeSet<_> = plans.chunks(plans.len() / 8).map(groups).collect();
    assert!(epochs.len() > 1, "{epochs:?}");
}

#[test]
fn what_cannot_work_is_refused() {
    let error = |options: &str, case: &Case| {
        let opened = parse(options).open(case.view(), BatchContext::new(Purpose::Training, 1));
        opened.err().expect("it is refused").to_string()
    };
    assert_eq!(
        error("n_part = 22", &triangles()),
        "22 parts of 21 nodes: at least 1 and at most as many as there are nodes"
    );
    assert_eq!(
        error("n_part = 3\nparts_per_batch = 4", &triangles()),
        "parts_per_batch = 4 is more than all 3 parts; lower it"
    );
    assert!(
        error("n_part = 3\nparts_per_batch = 2\norder = \"tour\"", &triangles()).contains("tour")
    );
    let directed = Case::new(3, &[(0, 1), (1, 0), (1, 2)].into(), vec![0, 1]);
    assert!(error("n_part = 2", &directed).contains("an edge from node 2 to node 1 and none back"));
    assert!(toml::from_str::<Cluster>("n_part = 0").is_err());
}

batchlab_testkit::node_conformance!(one_part, parse("n_part = 6\norder = \"tour\""));
batchlab_testkit::node_conformance!(two_parts, parse("n_part = 8\nparts_per_batch = 2"));
