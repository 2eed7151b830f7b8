//! The contract of batchers on one graph, and the options that this batcher rejects.

use batcher_ibmb::Ibmb;
use batchlab_core::{BatchContext, Batcher, Purpose};
use batchlab_testkit::batcher;
use batchlab_testkit::nodes::{self, Case};
use proptest::prelude::*;

fn parse(options: &str) -> Ibmb {
    toml::from_str(options).expect("a valid configuration")
}

fn options() -> impl Strategy<Value = String> {
    let order = prop::sample::select(vec!["random", "sample", "tour"]);
    let distance = prop::sample::select(vec!["", "order_distance = \"l1\"\n"]);
    let kept = (order, distance).prop_map(|(order, distance)| {
        let distance = if order == "random" { "" } else { distance };
        format!("order = \"{order}\"\n{distance}")
    });
    prop_oneof![
        (1_u32..8, 1_u32..8, kept.clone()).prop_map(|(most, k, order)| format!(
            "outputs = \"node-wise\"\noutputs_per_batch = {most}\naux_per_output = {k}\n{order}"
        )),
        (1_u32..6, 0_u32..20, kept.clone()).prop_map(|(k, more, order)| format!(
            "outputs = \"node-wise\"\nmax_aux_per_batch = {}\naux_per_output = {k}\n{order}",
            (k + 1 + more).min(8)
        )),
        (1_u32..8, 0.1..3.0, 1_u32..4, kept.clone()).prop_map(
            |(n_part, ratio, weight, order)| format!(
                "outputs = \"batch-wise\"\nn_part = {n_part}\nexpand_ratio = {ratio}\n\
             output_weight = {weight}\noperator = \"standard\"\n{order}"
            )
        ),
        (1_u32..8, 1_u32..8, kept).prop_map(|(most, k, order)| format!(
            "outputs = \"random-fixed\"\noutputs_per_batch = {most}\naux_per_output = {k}\n{order}"
        )),
        (1_u32..8, 1_u32..8).prop_map(|(most, k)| format!(
            "outputs = \"random\"\noutputs_per_batch = {most}\naux_per_output = {k}\n"
        )),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn keeps_the_contract(
        case in nodes::undirected_cases(8),
        options in options(),
        padding in batcher::padding(),
    ) {
        let batcher = parse(&format!("{options}padding = {padding}\nepsilon = 1e-3").replace(
            // Only for outputs that use the push algorithm.
            "epsilon = 1e-3",
            if options.contains("batch-wise") { "" } else { "epsilon = 1e-3" },
        ));
        nodes::check(&batcher, &case, options.contains("\"random\"\noutputs_per"));
        for plan in nodes::train(&batcher, &case, 2) {
            prop_assert_eq!(plan.cache_key.is_none(), options.starts_with("outputs = \"random\"\n"));
        }
    }

    /// No batch exceeds the limit, and no two remaining batches would fit into one.
    #[test]
    fn node_wise_batches_keep_their_limit(
        case in nodes::undirected_cases(8), most in 1_u32..12, k in 1_u32..5, of_nodes in any::<bool>(),
    ) {
        let most = most.max(if of_nodes { k + 1 } else { 1 });
        let key = if of_nodes { "max_aux_per_batch" } else { "outputs_per_batch" };
        let batcher = parse(&format!("outputs = \"node-wise\"\n{key} = {}\naux_per_output = {k}", most.min(8)));
        let most = most.min(8);
        let plans = nodes::evaluate(&batcher, &case);
        let mut sizes: Vec<u32> = plans
            .iter()
            .map(|plan| if of_nodes { plan.real.n_node } else { plan.real.n_output })
            .collect();
        sizes.sort_unstable();
        prop_assert!(sizes.iter().all(|&size| size <= most), "{sizes:?}");
        if !of_nodes {
            let n = case.output.len() as u32;
            let evened = n.div_ceil(n.div_ceil(most));
            prop_assert!(sizes.windows(2).all(|pair| pair[0] + pair[1] > evened), "{sizes:?}");
        }
    }
}

fn path() -> Case {
    let edges = (1..20).flat_map(|n| [(n - 1, n), (n, n - 1)]).collect();
    Case::new(20, &edges, (0..20).collect())
}

fn error(options: &str, case: &Case) -> String {
    let opened = parse(options).open(case.view(), BatchContext::new(Purpose::Training, 1));
    opened.err().expect("it is refused").to_string()
}

#[test]
fn neighbours_come_together() {
    let plans = nodes::evaluate(
        &parse("outputs = \"node-wise\"\noutputs_per_batch = 10\naux_per_output = 3"),
        &path(),
    );
    let outputs: Vec<Vec<u32>> = plans.iter().map(nodes::outputs).collect();
    assert_eq!(outputs, [(0..10).collect::<Vec<u32>>(), (10..20).collect()]);
    assert_eq!(plans[0].members, (0..11).collect::<Vec<u32>>(), "and the first of the others");
}

#[test]
fn options_that_cannot_work_are_refused() {
    for (options, expected) in [
        (
            "outputs = \"node-wise\"\noutputs_per_batch = 4\nmax_aux_per_batch = 18",
            "outputs_per_batch and max_aux_per_batch both limit a batch; give one of the two",
        ),
        (
            "outputs = \"node-wise\"\nmax_aux_per_batch = 10",
            "max_aux_per_batch = 10 is less than the 16 nodes of one output; raise it or lower \
             aux_per_output",
        ),
        (
            "outputs = \"batch-wise\"",
            "outputs = \"batch-wise\" needs the number of parts, for example n_part = 4",
        ),
        (
            "outputs = \"random\"\noutputs_per_batch = 4\nn_part = 2",
            "n_part is an option of outputs = \"batch-wise\", but outputs is \"random\"; drop it",
        ),
        (
            "outputs = \"batch-wise\"\nn_part = 2\nepsilon = 0.1",
            "epsilon is an option of outputs = \"node-wise\" or \"random\" or \"random-fixed\", but \
             outputs is \"batch-wise\"; drop it",
        ),
        ("outputs = \"batch-wise\"\nn_part = 21", "n_part = 21, but the graph has only 20 nodes"),
        (
            "outputs = \"node-wise\"\noutputs_per_batch = 4\naux_per_output = 21",
            "aux_per_output = 21, but the graph has only 20 nodes",
        ),
        (
            "outputs = \"node-wise\"\noutputs_per_batch = 21",
            "outputs_per_batch = 21, but the graph has only 20 nodes",
        ),
        (
            "outputs = \"node-wise\"\nmax_aux_per_batch = 21",
            "max_aux_per_batch = 21, but the graph has only 20 nodes",
        ),
        (
            "outputs = \"batch-wise\"\nn_part = 2\nexpand_ratio = 0",
            "expand_ratio is 0, but must be above 0",
        ),
        (
            "outputs = \"node-wise\"\noutputs_per_batch = 4\nteleport = 1",
            "teleport is 1, but it is the probability of a return: more than 0 and less than 1",
        ),
        (
            "outputs = \"node-wise\"\noutputs_per_batch = 4\nepsilon = -1",
            "epsilon is -1, but it must be a positive number, for example 1e-4",
        ),
        (
            "outputs = \"random\"\noutputs_per_batch = 4\norder = \"tour\"",
            "order = \"tour\" needs batches that stay the same, but here they are composed anew in \
             every epoch; use composition = \"fixed\" or order = \"random\"",
        ),
        (
            "outputs = \"node-wise\"\noutputs_per_batch = 4\norder_distance = \"l1\"",
            "order_distance is given, but order is \"random\"; drop it, or use order = \"sample\" or \
             \"tour\"",
        ),
    ] {
        assert_eq!(error(options, &path()), expected, "{options}");
    }
    for zero in ["outputs_per_batch", "aux_per_output", "n_part", "max_aux_per_batch"] {
        assert!(toml::from_str::<Ibmb>(&format!("outputs = \"node-wise\"\n{zero} = 0")).is_err());
    }
}

#[test]
fn graphs_that_cannot_work_are_refused() {
    let directed = Case::new(3, &[(0, 1), (1, 0), (1, 2)].into(), vec![0, 1]);
    let one_way = "but there is an edge from node 2 to node 1 and none back";
    for options in [
        "outputs = \"node-wise\"\noutputs_per_batch = 2\naux_per_output = 2",
        "outputs = \"random\"\noutputs_per_batch = 2\naux_per_output = 2",
        "outputs = \"batch-wise\"\nn_part = 2",
    ] {
        let error = error(options, &directed);
        assert!(error.contains(one_way), "{error}");
        let many = batchlab_testkit::batcher::view(&[[3, 2]]);
        let opened = parse(options).open(many, BatchContext::new(Purpose::Training, 1));
        assert_eq!(
            opened.err().unwrap().to_string(),
            "this batcher works on one graph, but the data set holds many graphs"
        );
        let empty = Case::new(3, &[].into(), Vec::new());
        assert_eq!(
            self::error(options, &empty),
            "the subset has no output nodes, so no batch can be formed"
        );
    }
}

#[test]
fn labels_say_what_differs() {
    let label = |options: &str| parse(options).label();
    assert_eq!(
        label("outputs = \"node-wise\"\noutputs_per_batch = 4\norder = \"tour\""),
        "ibmb-node-wise-outputs_per_batch=4-order=tour"
    );
    assert_eq!(
        label("outputs = \"batch-wise\"\nn_part = 4\npadding = \"constant\"\nteleport = 0.1"),
        "ibmb-batch-wise-constant-n_part=4-teleport=0.1"
    );
}

batchlab_testkit::node_conformance!(
    node_wise,
    parse("outputs = \"node-wise\"\noutputs_per_batch = 8\naux_per_output = 5\norder = \"sample\"")
);
batchlab_testkit::node_conformance!(
    within_nodes,
    parse("outputs = \"node-wise\"\nmax_aux_per_batch = 20\naux_per_output = 5")
);
batchlab_testkit::node_conformance!(
    batch_wise,
    parse("outputs = \"batch-wise\"\nn_part = 5\norder = \"tour\"")
);
batchlab_testkit::node_conformance!(
    random,
    parse("outputs = \"random\"\noutputs_per_batch = 8\naux_per_output = 5")
);

#[test]
fn without_options_at_most_64_outputs_are_in_a_batch() {
    let all = |text: &str| nodes::evaluate(&parse(text), &path());
    assert_eq!(all("aux_per_output = 3").len(), 1);
    assert_eq!(all("aux_per_output = 3"), all("outputs_per_batch = 20\naux_per_output = 3"));
}
