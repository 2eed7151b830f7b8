//! Every registered batcher fulfils the whole contract.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use batchlab_core::padding::BatchSize;
use batchlab_core::registry::{self, Kind};
use batchlab_core::{Batcher, Level};
use batchlab_testkit::{conformance, node_conformance};
use serde_json::Value;

/// A registration's example with some options replaced.
fn open(example: &Value, options: &[(&str, Value)]) -> Box<dyn Batcher> {
    let mut table = example.clone();
    for (key, value) in options {
        table[*key] = value.clone();
    }
    serde_json::from_value(table).unwrap()
}

/// Batchers by name, on many graphs or on the nodes of one.
fn batchers(level: Level) -> Vec<(&'static str, Value)> {
    batchlab_builtin::link();
    let all = registry::components(Kind::Batcher).into_iter();
    let examples = all.map(|(name, registration)| (name, (registration.example)()));
    let batchers = examples.filter(|(_, example)| open(example, &[]).level() == level);
    batchers.collect()
}

/// Whether the schema of a batcher knows a key.
fn has_key(name: &str, key: &str) -> bool {
    let registration = registry::find(Kind::Batcher, name).unwrap();
    (registration.schema)()["properties"].get(key).is_some()
}

/// Runs the whole kit on the example of each batcher that has all options of `vary`.
fn check_all(vary: &[(&str, Value)]) {
    let batchers = batchers(Level::Graphs);
    assert!(batchers.len() >= 2, "no batchers are linked");
    check(batchers, vary);
}

fn check(batchers: Vec<(&'static str, Value)>, vary: &[(&str, Value)]) {
    for (name, example) in batchers {
        if !vary.iter().all(|(key, _)| has_key(name, key)) {
            continue;
        }
        let takes_batch_size = has_key(name, "batch_size");
        conformance::check_all(&format!("{name} {vary:?}"), |batch_size: BatchSize| {
            let mut options = vary.to_vec();
            if takes_batch_size {
                options.push(("batch_size", batch_size.get().into()));
            }
            open(&example, &options)
        });
    }
}

#[test]
fn every_example() {
    check_all(&[]);
}

#[test]
fn every_example_flushed() {
    check_all(&[("epoch_boundary", "emit-partial".into())]);
}

#[test]
fn every_example_of_fixed_composition() {
    check_all(&[("composition", "fixed".into())]);
}

#[test]
fn every_example_without_padding() {
    check_all(&[("padding", "none".into())]);
}

#[test]
fn fixed_composition_in_an_order() {
    // All batchers share the orders, so one is enough. A tour is the same in every epoch, which the
    // kit rejects, because it cannot know that this was requested.
    let mut batchers = batchers(Level::Graphs);
    batchers.retain(|(name, _)| *name == "static");
    check(batchers, &[("composition", "fixed".into()), ("order", "sample".into())]);
}

#[test]
fn every_example_on_one_graph() {
    let batchers = batchers(Level::Nodes);
    assert!(batchers.len() >= 2, "no batchers are linked");
    for (name, example) in batchers {
        // The only batcher that samples outputs in training.
        let sampled = name == "saint-rw";
        node_conformance::check_all(name, sampled, || open(&example, &[]));
    }
}
