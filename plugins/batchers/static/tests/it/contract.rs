//! The batcher contract for every padding.

use batcher_static::Static;
use batchlab_core::Batcher;
use batchlab_core::padding::BatchSize;
use batchlab_testkit::{batcher, conformance};
use proptest::prelude::*;

fn open(options: &str) -> Box<dyn Batcher> {
    Box::new(toml::from_str::<Static>(options).expect("a valid configuration"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn keeps_the_contract(
        sizes in batcher::sizes(),
        batch_size in 2_u32..12,
        shared in batcher::group_options(),
    ) {
        batcher::check(&*open(&format!("batch_size = {batch_size}\n{shared}")), &sizes);
    }
}

#[test]
fn labels_are_those_of_the_study() {
    let label = |padding: &str| open(&format!("batch_size = 8\npadding = {padding}")).label();
    assert_eq!(label("{ multiple = 64 }"), "static-64");
    assert_eq!(label("{ power = 2 }"), "static-2^N");
    assert_eq!(label("\"constant\""), "static-constant");
    assert_eq!(label("\"none\""), "exact");
    let fixed = "batch_size = 8\ncomposition = \"fixed\"";
    assert_eq!(open(fixed).label(), "static-64-fixed");
    let compat = "batch_size = 8\npadding = \"none\"\ncompat_drop_overflow = true";
    assert_eq!(open(compat).label(), "exact-compat_drop_overflow=true");
}

#[test]
fn fixed_batches_are_the_same_in_every_epoch() {
    let sizes = [[3, 6]; 10];
    let batcher = open("batch_size = 4\ncomposition = \"fixed\"");
    let plans = batcher::train(&*batcher, &batcher::view(&sizes), 3, 8);
    for later in &plans[4..] {
        let first = plans[..4].iter().find(|plan| plan.cache_key == later.cache_key).unwrap();
        assert_eq!((&first.members, first.shape), (&later.members, later.shape));
    }
}

/// Without `composition`, which rejects an order that is the same in every epoch unless requested,
/// and without `carried`: fixed batches carry nothing.
#[test]
fn fixed_batches_on_a_tour_keep_the_contract() {
    let tour = |batch_size: BatchSize| {
        let batch_size = batch_size.get();
        open(&format!("batch_size = {batch_size}\ncomposition = \"fixed\"\norder = \"tour\""))
    };
    for check in conformance::CHECKS {
        if !["composition", "carried"].contains(&check.name) {
            conformance::check(check.name, tour);
        }
    }
}

#[test]
fn a_tour_is_the_same_in_every_epoch() {
    let sizes: Vec<[u32; 2]> = (0..30).map(|i| [1 + i % 7, 6]).collect();
    let batcher = open("batch_size = 4\ncomposition = \"fixed\"\norder = \"tour\"");
    let plans = batcher::train(&*batcher, &batcher::view(&sizes), 3, 20);
    let order: Vec<Option<u64>> = plans.iter().map(|plan| plan.cache_key).collect();
    assert_eq!(order[..10], order[10..]);
}

#[test]
fn compat_that_never_completes_a_batch_says_so() {
    let batcher =
        open("batch_size = 9\nepoch_boundary = \"emit-partial\"\ncompat_drop_overflow = true");
    let ctx = batchlab_core::BatchContext::new(batchlab_core::Purpose::Training, 1);
    let mut stream = batcher.open(batcher::view(&[[3, 6]; 5]), ctx).unwrap();
    let error = stream.next(&mut batchlab_core::BatchPlan::default()).unwrap_err();
    assert!(error.to_string().contains("use a smaller batch_size"), "{error}");
}
