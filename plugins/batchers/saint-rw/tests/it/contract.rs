//! The contract of batchers on one graph, as far as it applies to sampling, and the properties of
//! this batcher.

use batcher_saint_rw::SaintRw;
use batchlab_core::{BatchContext, Batcher, Purpose};
use batchlab_testkit::batcher;
use batchlab_testkit::nodes::{self, Case};
use proptest::prelude::*;

fn parse(options: &str) -> SaintRw {
    toml::from_str(options).expect("a valid configuration")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn keeps_the_contract_of_samplers(
        case in nodes::cases(),
        n_root in 1_u32..5,
        walk_length in 0_u32..4,
        n_batch in 1_u32..4,
        roots in prop::sample::select(vec!["all", "outputs"]),
        padding in batcher::padding(),
    ) {
        let n_root = n_root.min(case.graphs.n_node() as u32);
        let batcher = parse(&format!(
            "n_root = {n_root}\nwalk_length = {walk_length}\nbatches_per_epoch = {n_batch}\n\
             coverage = 3\nroots = \"{roots}\"\npadding = {padding}"
        ));
        nodes::check_sampled(&batcher, &case);
        let plans = nodes::train(&batcher, &case, 2);
        prop_assert_eq!(plans.len() as u32, 2 * n_batch);
        for plan in plans {
            prop_assert!(plan.members.len() as u32 <= n_root * (walk_length + 1));
            let mean = plan.output_weight.iter().sum::<f32>() / plan.output_weight.len() as f32;
            prop_assert!((mean - 1.0).abs() < 1e-5, "{mean}");
        }
    }
}

/// A star: its centre is in nearly every sample, the other nodes in few. Node 0 is the centre.
fn star() -> Case {
    let edges = (1..31).flat_map(|leaf| [(0, leaf), (leaf, 0)]).collect();
    Case::new(31, &edges, (0..31).collect())
}

/// The weighted mean over outputs estimates the mean over all nodes, although the centre is drawn
/// thirty times as often as a leaf.
#[test]
fn weights_make_up_for_unequal_chances() {
    let batcher = parse("n_root = 2\nwalk_length = 1\nbatches_per_epoch = 4000\ncoverage = 2000");
    let plans = nodes::train(&batcher, &star(), 1);
    let [mut of_centre, mut of_all, mut n_centre] = [0.0; 3];
    for plan in &plans {
        // Weights are scaled per batch; those of leaves give the scale.
        let weight = |row: usize| f64::from(plan.output_weight[row]);
        let nodes = nodes::outputs(plan);
        let leaf = nodes.iter().position(|&node| node != 0).unwrap();
        for (row, &node) in nodes.iter().enumerate() {
            let relative = weight(row) / weight(leaf);
            of_all += relative;
            if node == 0 {
                of_centre += relative;
                n_centre += 1.0;
            }
        }
    }
    // Without weights it would be a third.
    let share = of_centre / of_all;
    assert!((share - 1.0 / 31.0).abs() < 0.004, "{share}, drawn {n_centre} times");
}

/// On a ring of 300 nodes with 6 outputs, walks from random nodes reach few of them.
#[test]
fn walks_from_outputs_train_more_of_them() {
    let edges = (0..300).flat_map(|node| [(node, (node + 1) % 300), ((node + 1) % 300, node)]);
    let case = Case::new(300, &edges.collect(), (0..6).map(|output| 50 * output).collect());
    let n_output = |roots: &str| {
        let options = "n_root = 6\nwalk_length = 1\nbatches_per_epoch = 50\ncoverage = 3\n";
        let plans = nodes::train(&parse(&format!("{options}roots = \"{roots}\"")), &case, 1);
        plans.iter().map(|plan| plan.output_weight.len()).sum::<usize>()
    };
    // Six draws of six outputs give four different ones on average; walks from random nodes hardly
    // more than the one that every batch has.
    assert!(n_output("outputs") > 180, "{}", n_output("outputs"));
    assert!(n_output("all") < 80, "{}", n_output("all"));
}

#[test]
fn what_cannot_work_is_refused() {
    let error = |options: &str, case: &Case| {
        let opened = parse(options).open(case.view(), BatchContext::new(Purpose::Training, 1));
        opened.err().expect("it is refused").to_string()
    };
    let options = "walk_length = 2\nbatches_per_epoch = 1\n";
    assert_eq!(
        error(&format!("{options}n_root = 32"), &star()),
        "n_root = 32, but the graph has only 31 nodes"
    );
    assert_eq!(
        error("walk_length = 4294967295\nbatches_per_epoch = 1\nn_root = 2", &star()),
        "n_root = 2 and walk_length = 4294967295 are more nodes than a batch can index"
    );
    assert_eq!(
        error("walk_length = 2\nbatches_per_epoch = 4294967295\nn_root = 2", &star()),
        "batches_per_epoch = 4294967295 is more than 10000000; train more epochs instead"
    );
    assert!(toml::from_str::<SaintRw>(&format!("{options}n_root = 0")).is_err());
}

batchlab_testkit::node_conformance!(
    sampled: parse("n_root = 8\nwalk_length = 2\nbatches_per_epoch = 4\ncoverage = 3")
);
