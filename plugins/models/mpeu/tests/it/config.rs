//! The model as a component: its name, its options and its inputs.

use batchlab_core::registry::{Kind, find};
use batchlab_core::{BatchFields, Model};
use batchlab_testkit::device::context;
use model_mpeu::Mpeu;
use serde_json::json;

#[test]
fn the_study_counts_173152_parameters_for_five_elements() {
    let trainer = Mpeu::default().open(&context(5)).unwrap();
    assert_eq!(trainer.n_parameter(), 173_152);
}

#[test]
fn it_is_registered_under_its_name() {
    let registration = find(Kind::Model, "mpeu").unwrap();
    assert_eq!(
        registration.summary(),
        "Message passing with edge updates, on molecules and crystals"
    );
    let model: Box<dyn Model> = serde_json::from_value((registration.example)()).unwrap();
    assert!(model.needs().sender_order);
}

#[test]
fn data_without_distances_do_not_fit() {
    let provided = BatchFields { node_class: true, ..BatchFields::default() };
    assert_eq!(Mpeu::default().needs().missing_from(&provided).as_deref(), Some("distances"));
}

fn refused(options: serde_json::Value, expected: &str) {
    let error = serde_json::from_value::<Mpeu>(options).expect_err("refused").to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn options_that_make_no_network_are_refused() {
    refused(json!({ "latent_size": 0 }), "expected a nonzero u32");
    refused(json!({ "n_interaction": 0 }), "expected a nonzero u32");
    refused(json!({ "edge_hidden_size": 0 }), "expected a nonzero u32");
    refused(json!({ "gaussian_spacing_angstrom": -1.0 }), "-1 is not a spacing of Gaussians");
    refused(json!({ "readout": "max" }), "expected `mean` or `sum`");
    refused(json!({ "bias": true }), "unknown field `bias`, expected one of `latent_size`");
}

#[test]
fn widths_come_from_the_options() {
    let options = json!({ "latent_size": 2, "n_interaction": 2, "n_gaussian": 3,
                          "edge_hidden_size": 5, "readout_size": 7 });
    let model: Mpeu = serde_json::from_value(options).unwrap();
    let trainer = model.open(&context(3)).unwrap();
    let edge_update = |edge: usize| (2 + 2 + edge) * 5 + 5 * 2;
    // Gate, sender and update are five square matrices.
    let steps = edge_update(3) + edge_update(2) + 2 * 5 * (2 * 2);
    assert_eq!(trainer.n_parameter(), 3 * 2 + steps + (2 * 7 + 7));
}

#[test]
fn nodes_without_classes_cannot_be_embedded() {
    let Err(error) = Mpeu::default().open(&context(0)) else { panic!("opened") };
    assert!(error.to_string().contains("the data set has none; choose"), "{error}");
}
