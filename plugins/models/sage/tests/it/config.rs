//! The model as a component: its name, its options and its inputs.

use batchlab_core::registry::{Kind, find};
use batchlab_core::{Level, Model};
use model_sage::Sage;
use serde_json::json;

#[test]
fn it_is_registered_under_its_name_for_the_nodes_of_one_graph() {
    let registration = find(Kind::Model, "sage").expect("it is registered");
    assert_eq!(registration.summary(), "SAGE, neighbour means on the nodes of a single graph");
    let example = (registration.example)();
    let model: Box<dyn Model> = serde_json::from_value(example).expect("an example");
    assert!(model.accepts(Level::Nodes) && !model.accepts(Level::Graphs));
}

#[test]
fn options_that_make_no_network_are_refused() {
    let refused = |options: serde_json::Value, expected: &str| {
        let error = serde_json::from_value::<Sage>(options).expect_err("refused").to_string();
        assert!(error.contains(expected), "{error}");
    };
    refused(json!({ "layers": 0 }), "expected a nonzero u32");
    refused(json!({ "hidden": 0 }), "expected a nonzero u32");
    refused(json!({ "dropout": 1.0 }), "1 is not a dropout rate; give a number from 0");
    refused(json!({ "depth": 3 }), "unknown field `depth`, expected one of `layers`");
}

#[test]
fn its_size_is_known_before_it_is_made() {
    batchlab_testkit::model::check_size(|layers| Box::new(Sage { layers, ..Sage::default() }));
}
