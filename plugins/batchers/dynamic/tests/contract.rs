//! What every batcher promises, for every padding.

use batcher_dynamic::Dynamic;
use batchlab_core::{BatchContext, Batcher, Purpose};
use batchlab_testkit::batcher;
use proptest::prelude::*;

fn open(options: &str) -> Box<dyn Batcher> {
    Box::new(toml::from_str::<Dynamic>(options).expect("a valid configuration"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn keeps_the_contract(
        sizes in batcher::sizes(),
        batch_size in 2_u32..12,
        // Estimates from few graphs make later ones oversize.
        n_estimate in 1_u32..60,
        padding in prop::sample::select(vec![
            "\"none\"", "\"constant\"", "{ multiple = 64 }", "{ power = 2 }", "{ shapes = 3 }",
        ]),
        boundary in prop::sample::select(vec!["straddle", "flush"]),
        composition in prop::sample::select(vec!["every-epoch", "fixed"]),
    ) {
        let options = format!(
            "batch_size = {batch_size}\nn_estimate = {n_estimate}\npadding = {padding}\n\
             epoch_boundary = \"{boundary}\"\ncomposition = \"{composition}\""
        );
        batcher::check(&*open(&options), &sizes);
    }

    #[test]
    fn no_batch_exceeds_the_budget(sizes in batcher::sizes(), n_node in 31_u32..90, n_edge in 60_u32..90) {
        let options = format!("batch_size = 9\nbudget = {{ n_node = {n_node}, n_edge = {n_edge} }}");
        for plan in batcher::evaluate(&*open(&options), &batcher::view(&sizes)) {
            prop_assert_eq!((plan.shape.n_node, plan.shape.n_edge), (n_node, n_edge));
            prop_assert!(plan.real.n_node < n_node && plan.real.n_edge <= n_edge);
        }
    }
}

#[test]
fn an_oversize_graph_is_alone_or_an_error() {
    let view = batcher::view(&[[4, 12], [100, 9900], [4, 12]]);
    let budget = "batch_size = 9\nbudget = { n_node = 32, n_edge = 64 }";
    let plans = batcher::evaluate(&*open(budget), &view);
    let members: Vec<usize> = plans.iter().map(|plan| plan.members.len()).collect();
    assert_eq!(members, [1, 1, 1]);
    assert_eq!((plans[1].shape.n_node, plans[1].shape.n_edge), (128, 9920));

    let strict = open(&format!("{budget}\noversize = \"error\""));
    let error = strict.open(view, BatchContext::new(Purpose::Training, 1)).err().unwrap();
    assert_eq!(
        error.to_string(),
        "graph 1003 has 100 nodes and 9900 edges, more than a batch may hold (31 nodes, 64 edges): \
         give a larger budget or batch_size, or oversize = \"single\""
    );
}

#[test]
fn labels_say_grouping_and_padding() {
    let label = |options: &str| open(&format!("batch_size = 8\n{options}")).label();
    assert_eq!(label(""), "dynamic");
    assert_eq!(label("padding = \"none\""), "dynamic-exact");
    assert_eq!(label("padding = { multiple = 64 }\ncomposition = \"fixed\""), "dynamic-64-fixed");
}
