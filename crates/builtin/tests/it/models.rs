//! Every registered model on many graphs keeps the whole contract.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use batchlab_core::registry::{self, Kind};
use batchlab_core::{Level, Model};
use batchlab_testkit::model;

#[test]
fn every_example() {
    batchlab_builtin::link();
    let mut n_checked = 0;
    for (name, registration) in registry::components(Kind::Model) {
        let mut example = (registration.example)();
        // With two steps of messages as with three or more; the plugins' own tests have the full depth.
        if example.get("n_interaction").is_some() {
            example["n_interaction"] = 2.into();
        }
        // Its parameters and gradients are in another process; crates/cli/tests/readers/engines.rs tries it.
        if name == "python" {
            continue;
        }
        let example: Box<dyn Model> = serde_json::from_value(example).unwrap();
        if example.accepts(Level::Graphs) {
            model::check_all(name, &*example);
            n_checked += 1;
        }
    }
    assert!(n_checked > 0, "no models are linked");
}
