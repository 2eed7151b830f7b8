//! The batcher contract for every padding, algorithm and window.

use batcher_packed::Packed;
use batchlab_core::{BatchContext, Batcher, Purpose};
use batchlab_testkit::batcher;
use proptest::prelude::*;

fn open(options: &str) -> Box<dyn Batcher> {
    Box::new(toml::from_str::<Packed>(options).unwrap())
}

fn algorithm() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["balanced", "best-fit", "lpfhp"])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn keeps_the_contract(
        sizes in batcher::sizes(),
        batch_size in 2_u32..12,
        n_estimate in 1_u32..60,
        algorithm in algorithm(),
        window in prop::option::of(11_usize..30),
        shared in batcher::group_options(),
    ) {
        let window = window.filter(|&window| window <= sizes.len());
        let window = window.map_or(String::new(), |window| format!("window = {window}\n"));
        let options = format!(
            "batch_size = {batch_size}\nalgorithm = \"{algorithm}\"\n{window}{shared}\
             estimate = {{ from = {{ first = {n_estimate} }} }}"
        );
        batcher::check(&*open(&options), &sizes);
    }

    #[test]
    fn no_batch_exceeds_the_budget(
        sizes in batcher::sizes(), n_node in 31_u32..90, n_edge in 60_u32..90, algorithm in algorithm(),
    ) {
        let options = format!(
            "batch_size = 9\nalgorithm = \"{algorithm}\"\nbudget = {{ n_node = {n_node}, n_edge = {n_edge} }}"
        );
        for plan in batcher::evaluate(&*open(&options), &batcher::view(&sizes)) {
            prop_assert_eq!((plan.shape.n_node, plan.shape.n_edge), (n_node, n_edge));
            prop_assert!(plan.real.n_node < n_node && plan.real.n_edge <= n_edge);
        }
    }

    #[test]
    fn packs_under_any_limits(
        sizes in batcher::sizes(),
        algorithm in algorithm(),
        resources in prop::sample::select(vec!["[\"nodes\"]", "[\"edges\"]", "[\"bytes\"]", "[\"graphs\", \"bytes\"]"]),
    ) {
        let options = format!(
            "batch_size = 8\nalgorithm = \"{algorithm}\"\nresources = {resources}\npadding = {{ multiple = 64 }}"
        );
        batcher::check(&*open(&options), &sizes);
    }
}

#[test]
fn groups_of_a_window_come_in_random_order() {
    // With every algorithm, large graphs are in the first groups.
    let sizes: Vec<[u32; 2]> = (0..400).map(|i| [1 + i % 20, 0]).collect();
    let packed =
        open("batch_size = 100\nalgorithm = \"best-fit\"\nbudget = { n_node = 41, n_edge = 1 }");
    let plans = batcher::train(&*packed, &batcher::view(&sizes), 2, 50);
    let counts: Vec<usize> = plans.iter().map(|plan| plan.members.len()).collect();
    assert!(!counts.is_sorted(), "{counts:?}");
}

#[test]
fn windows_and_limits_that_cannot_work_are_refused() {
    let message = |options: &str| {
        let ctx = BatchContext::new(Purpose::Training, 1);
        let view = batcher::view(&[[3, 6]; 20]);
        open(options).open(view, ctx).err().unwrap().to_string()
    };
    assert_eq!(
        message("batch_size = 4\nwindow = 21"),
        "window = 21 is longer than the data (20 graphs); give a shorter one, or leave it out to pack a \
         whole epoch"
    );
    assert!(message("batch_size = 9\nwindow = 7").contains("cannot fill a batch of 8 graphs"));
    let graphs_only = "batch_size = 4\nresources = [\"graphs\"]\npadding = \"none\"";
    assert!(message(graphs_only).contains("needs a limit on nodes, edges or bytes"));
}

#[test]
fn labels_say_algorithm_and_padding() {
    let label = |options: &str| open(&format!("batch_size = 8\n{options}")).label();
    assert_eq!(label(""), "packed-balanced");
    assert_eq!(label("algorithm = \"best-fit\""), "packed-best-fit");
    assert_eq!(label("algorithm = \"lpfhp\"\npadding = { multiple = 64 }"), "packed-lpfhp-64");
    let windows = "composition = \"fixed\"\nwindow = 20";
    assert_eq!(label(windows), "packed-balanced-fixed-window=20");
}
