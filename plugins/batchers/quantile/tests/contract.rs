//! The batcher contract for every padding, and the probability of a full batch.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use batcher_quantile::Quantile;
use batchlab_core::{BatchContext, Batcher, Purpose};
use batchlab_testkit::batcher;
use proptest::prelude::*;

fn open(options: &str) -> Box<dyn Batcher> {
    Box::new(toml::from_str::<Quantile>(options).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn keeps_the_contract(
        sizes in batcher::sizes(),
        batch_size in 2_u32..12,
        // With a small probability, some graphs exceed the shape.
        probability in 0.05_f64..0.99,
        oversize in prop::sample::select(vec!["single", "grow"]),
        shared in batcher::group_options(),
    ) {
        let options = format!(
            "batch_size = {batch_size}\nprobability = {probability}\nn_draw = 200\n\
             oversize = \"{oversize}\"\n{shared}"
        );
        batcher::check(&*open(&options), &sizes);
    }
}

/// The fraction of full batches in an epoch of 20,000 random graphs.
fn share_of_full_batches(probability: f64) -> f64 {
    let graph = |i: u32| {
        let n_node = 3 + i * 7919 % 97;
        [n_node, n_node * (n_node - 1)]
    };
    let view = batcher::view(&(0..20_000).map(graph).collect::<Vec<_>>());
    let quantile = open(&format!("batch_size = 32\nprobability = {probability}"));
    let plans = batcher::train(&*quantile, &view, 11, 600);
    let full = plans.iter().filter(|plan| plan.members.len() == 31).count();
    full as f64 / plans.len() as f64
}

#[test]
fn random_batches_fit_with_the_given_probability() {
    // A batch that starts with a graph carried over is slightly larger than a random one, and
    // rounding adds room: the fraction is close, but not equal, to the probability.
    for (probability, least) in [(0.5, 0.40), (0.9, 0.85), (0.99, 0.97)] {
        let share = share_of_full_batches(probability);
        assert!(
            share >= least && share <= (probability + 0.1).min(1.0),
            "{share} for {probability}"
        );
    }
}

#[test]
fn more_certainty_takes_more_room() {
    let view = batcher::view(&(1..500).map(|i| [i % 29 + 1, i % 97]).collect::<Vec<_>>());
    let budget = |probability: f64| {
        let ctx = BatchContext::new(Purpose::Training, 1);
        let quantile = open(&format!("batch_size = 64\nprobability = {probability}"));
        quantile.open(view.clone(), ctx).unwrap().metrics().iter().map(|fact| fact.1).sum::<f64>()
    };
    let budgets = [0.01, 0.5, 0.9, 0.999].map(budget);
    assert!(budgets.is_sorted() && budgets[0] < budgets[3], "{budgets:?}");
}

#[test]
fn labels_say_grouping_and_padding() {
    assert_eq!(open("batch_size = 8").label(), "quantile");
    assert_eq!(open("batch_size = 8\npadding = \"none\"").label(), "quantile-exact");
    assert_eq!(open("batch_size = 8\nprobability = 0.99").label(), "quantile");
    assert_eq!(open("batch_size = 8\nprobability = 0.5").label(), "quantile-probability=0.5");
}
