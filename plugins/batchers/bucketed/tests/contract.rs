//! The batcher contract for every padding, and the properties of buckets.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use batcher_bucketed::Bucketed;
use batchlab_core::Batcher;
use batchlab_testkit::batcher;
use proptest::prelude::*;

fn open(options: &str) -> Box<dyn Batcher> {
    Box::new(toml::from_str::<Bucketed>(options).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn keeps_the_contract(
        sizes in batcher::sizes(),
        batch_size in 2_u32..12,
        by in prop::sample::select(vec!["nodes", "edges"]),
        buckets in prop::sample::select(vec![
            "{ quantiles = 1 }", "{ quantiles = 3 }", "{ quantiles = 8 }", "{ bounds = [10, 20] }",
        ]),
        limits in prop::sample::select(vec![
            ("[\"graphs\"]", "\"none\""),
            ("[\"graphs\"]", "{ multiple = 64 }"),
            ("[\"graphs\"]", "{ power = 2 }"),
            ("[\"graphs\"]", "{ shapes = 3 }"),
            ("[\"graphs\"]", "{ shapes_cost = 20 }"),
            ("[\"edges\"]", "{ multiple = 64 }"),
            ("[\"graphs\", \"nodes\", \"edges\"]", "\"constant\""),
            ("[\"graphs\", \"bytes\"]", "{ power = 2 }"),
        ]),
        boundary in prop::sample::select(vec!["carry-over", "emit-partial"]),
        composition in prop::sample::select(vec!["every-epoch", "fixed"]),
    ) {
        let (resources, padding) = limits;
        let options = format!(
            "batch_size = {batch_size}\nby = \"{by}\"\nbuckets = {buckets}\nresources = {resources}\n\
             padding = {padding}\nepoch_boundary = \"{boundary}\"\ncomposition = \"{composition}\""
        );
        batcher::check(&*open(&options), &sizes);
    }

    #[test]
    fn no_batch_mixes_buckets(sizes in batcher::sizes(), boundary in prop::sample::select(vec!["carry-over", "emit-partial"])) {
        let options = format!(
            "batch_size = 4\nby = \"nodes\"\nbuckets = {{ bounds = [10, 20] }}\nepoch_boundary = \"{boundary}\""
        );
        let view = batcher::view(&sizes);
        let bucket = |id: &u32| {
            let n_node = sizes[(0..sizes.len()).find(|&i| batcher::identifier(i) == *id).unwrap()][0];
            usize::from(n_node > 10) + usize::from(n_node > 20)
        };
        for plan in batcher::train(&*open(&options), &view, 5, 20) {
            let first = bucket(&plan.members[0]);
            prop_assert!(plan.members.iter().all(|id| bucket(id) == first), "{plan:?}");
        }
    }
}

#[test]
fn a_bucket_is_delivered_as_soon_as_it_is_full() {
    let sizes = [[1, 1], [1, 9], [1, 1], [1, 9], [1, 1], [1, 9], [1, 9]];
    let batcher = open("batch_size = 4\nbuckets = { bounds = [5] }");
    let plans = batcher::evaluate(&*batcher, &batcher::view(&sizes));
    let members: Vec<Vec<u32>> = plans
        .iter()
        .map(|plan| plan.members.iter().map(|id| (id - batcher::identifier(0)) / 3).collect())
        .collect();
    assert_eq!(members, [vec![0, 2, 4], vec![1, 3, 5], vec![6]]);
}

#[test]
fn labels_and_mistakes() {
    assert_eq!(open("batch_size = 8").label(), "bucketed-64");
    assert_eq!(
        open("batch_size = 8\npadding = { shapes = 4 }\ncomposition = \"fixed\"").label(),
        "bucketed-shapes4-fixed"
    );
    for wrong in
        ["{ bounds = [] }", "{ bounds = [5, 5] }", "{ bounds = [9, 5] }", "{ quantiles = 0 }"]
    {
        let config = format!("batch_size = 8\nbuckets = {wrong}");
        assert!(toml::from_str::<Bucketed>(&config).is_err(), "{wrong}");
    }
}
