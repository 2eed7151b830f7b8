//! The contract of batchers on one graph, for every padding, weight and composition, and the
//! properties of this batcher.

use std::collections::{BTreeMap, BTreeSet};

use batcher_neighbor::Neighbor;
use batchlab_core::{BatchContext, Batcher, Purpose};
use batchlab_testkit::batcher;
use batchlab_testkit::nodes::{self, Case};
use proptest::prelude::*;

fn parse(options: &str) -> Neighbor {
    toml::from_str(options).expect("a valid configuration")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn keeps_the_contract(
        case in nodes::cases(),
        n_output in 1_u32..12,
        fan_out in prop::collection::vec(1_u32..6, 1..4),
        weight in prop::sample::select(vec!["full-graph", "importance"]),
        sampling in prop::sample::select(vec!["uniform", "labor"]),
        padding in batcher::padding(),
        composition in batcher::composition(),
    ) {
        let n_output = n_output.min(case.graphs.n_node() as u32);
        let batcher = parse(&format!(
            "n_output = {n_output}\nfan_out = {fan_out:?}\nweight = \"{weight}\"\n\
             sampling = \"{sampling}\"\npadding = {padding}\ncomposition = \"{composition}\""
        ));
        nodes::check(&batcher, &case, true);
        let plans = nodes::train(&batcher, &case, 3);
        for plan in plans.iter().chain(&nodes::evaluate(&batcher, &case)) {
            nodes::check_fan_out(&case, plan, &fan_out, weight == "importance");
            prop_assert_eq!(plan.cache_key.is_some() && composition == "every-epoch", false);
        }
    }

    /// With fan-outs of at least every in-degree, a batch has all nodes within this many hops.
    #[test]
    fn large_fan_outs_take_everything(case in nodes::cases(), n_hop in 1_u32..4) {
        let fan_out = vec![40; n_hop as usize];
        let n_output = case.graphs.n_node().min(5);
        let batcher = parse(&format!("n_output = {n_output}\nfan_out = {fan_out:?}"));
        for plan in nodes::train(&batcher, &case, 1) {
            nodes::check_hops(&case, &plan, n_hop);
        }
    }
}

/// Many outputs with the same 60 neighbours: with LABOR they all draw the same ones.
#[test]
fn labor_lets_neighbours_be_shared() {
    let edges = (0..40).flat_map(|receiver| (40..100).map(move |sender| (receiver, sender)));
    let case = Case::new(100, &edges.collect(), (0..40).collect());
    let n_node = |sampling: &str| {
        let batcher = parse(&format!("n_output = 40\nfan_out = [5]\nsampling = \"{sampling}\""));
        let plans = nodes::train(&batcher, &case, 3);
        assert!(plans[0].members != plans[1].members, "drawn anew in every epoch");
        plans.iter().map(|plan| plan.real.n_node).collect::<Vec<_>>()
    };
    assert_eq!(n_node("labor"), [45; 3]);
    assert!(n_node("uniform").iter().all(|&n| n > 90), "{:?}", n_node("uniform"));
}

fn hub() -> Case {
    Case::new(51, &(1..51).map(|sender| (0, sender)).collect(), vec![0])
}

/// Sum received by node 0 in each epoch, if every sender sends 1.
fn sums(weight: &str, n_epoch: u64) -> Vec<f64> {
    let batcher = parse(&format!("n_output = 1\nfan_out = [5]\nweight = \"{weight}\""));
    let plans = nodes::train(&batcher, &hub(), n_epoch);
    plans.iter().map(|plan| plan.listed.weight.iter().map(|&w| f64::from(w)).sum()).collect()
}

#[test]
fn importance_makes_sums_right_on_average() {
    let exact: f64 = (0..50).map(|edge| 0.5 + f64::from(edge)).sum();
    let sums = sums("importance", 4000);
    let mean = sums.iter().sum::<f64>() / 4000.0;
    // The standard deviation of one sum is 10 x sqrt(5 x 208.25 x 45/49) = 309: five standard
    // errors are 24.
    assert!((mean - exact).abs() < 24.0, "{mean} instead of {exact}");
    let unscaled = self::sums("full-graph", 4000).iter().sum::<f64>() / 4000.0;
    assert!((unscaled - exact / 10.0).abs() < 2.4, "{unscaled} instead of {}", exact / 10.0);
}

#[test]
fn every_neighbour_is_drawn_equally_often_and_every_epoch_anew() {
    let batcher = parse("n_output = 1\nfan_out = [5]");
    let plans = nodes::train(&batcher, &hub(), 4000);
    let mut count: BTreeMap<u32, u32> = BTreeMap::new();
    let mut distinct: BTreeSet<&[u32]> = BTreeSet::new();
    for plan in &plans {
        for &node in &plan.members[1..] {
            *count.entry(node).or_default() += 1;
        }
        distinct.insert(&plan.members);
    }
    // Of two million subsets, 4,000 draws repeat about four; fixed draws would give only one.
    assert!(distinct.len() > 3900, "{}", distinct.len());
    // Five standard deviations of a binomial distribution of 4,000 with p = 0.1.
    assert!(count.len() == 50 && count.values().all(|&n| n.abs_diff(400) < 95), "{count:?}");
}

#[test]
fn an_empty_fan_out_is_refused() {
    let error = toml::from_str::<Neighbor>("n_output = 1\nfan_out = []").unwrap_err().to_string();
    assert!(error.contains("fan_out needs at least one hop"), "{error}");
    assert!(toml::from_str::<Neighbor>("n_output = 1\nfan_out = [0]").is_err());
}

#[test]
fn more_outputs_per_batch_than_nodes_are_refused() {
    let case = Case::new(3, &[(0, 1), (1, 2)].into(), vec![0, 1]);
    for composition in ["every-epoch", "fixed"] {
        let batcher =
            parse(&format!("n_output = 4\nfan_out = [2]\ncomposition = \"{composition}\""));
        for purpose in [Purpose::Training, Purpose::Evaluation] {
            let opened = batcher.open(case.view(), BatchContext::new(purpose, 1));
            assert_eq!(
                opened.err().unwrap().to_string(),
                "4 outputs per batch, but the graph has only 3 nodes; give fewer"
            );
        }
    }
    assert_eq!(nodes::train(&parse("n_output = 3\nfan_out = [2]"), &case, 1).len(), 1);
}

#[test]
fn labels_say_what_differs() {
    let label = |options: &str| parse(&format!("n_output = 8\nfan_out = [5]\n{options}")).label();
    assert_eq!(label(""), "neighbor-n_output=8-fan_out=[5]");
    let options = "weight = \"importance\"\npadding = \"constant\"\ncomposition = \"fixed\"";
    assert_eq!(label(options), "neighbor-constant-fixed-n_output=8-fan_out=[5]-weight=importance");
}

batchlab_testkit::node_conformance!(uniform, parse("n_output = 8\nfan_out = [3, 2]"));
batchlab_testkit::node_conformance!(
    labor,
    parse(
        "n_output = 8\nfan_out = [3, 2]\nsampling = \"labor\"\ncomposition = \"fixed\"\norder = \"tour\""
    )
);
