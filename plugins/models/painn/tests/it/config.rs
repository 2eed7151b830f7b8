//! The model as a component: its name, its options and its inputs.

use batchlab_core::registry::{Kind, find};
use batchlab_core::{BatchFields, Model};
use batchlab_testkit::device::context;
use model_painn::Painn;
use serde_json::json;

#[test]
fn the_study_counts_2284545_parameters_for_five_elements() {
    let trainer = Painn::default().open(&context(5)).unwrap();
    assert_eq!(trainer.n_parameter(), 2_284_545);
}

#[test]
fn it_is_registered_under_its_name() {
    let registration = find(Kind::Model, "painn").unwrap();
    assert_eq!(
        registration.summary(),
        "Polarizable atom interaction network, whose nodes have scalar and vector features"
    );
    let model: Box<dyn Model> = serde_json::from_value((registration.example)()).unwrap();
    assert!(model.needs().displacement && !model.needs().distance);
}

#[test]
fn data_without_displacements_do_not_fit() {
    let provided = BatchFields { node_class: true, distance: true, ..BatchFields::default() };
    assert_eq!(Painn::default().needs().missing_from(&provided).as_deref(), Some("displacements"));
}

fn refused(options: serde_json::Value, expected: &str) {
    let error = serde_json::from_value::<Painn>(options).expect_err("refused").to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn options_that_make_no_network_are_refused() {
    refused(json!({ "latent_size": 0 }), "expected a nonzero u32");
    refused(json!({ "n_gaussian": 0 }), "expected a nonzero u32");
    refused(json!({ "cutoff_angstrom": 0.0 }), "0 is not a radius; give a length in angstrom");
    refused(json!({ "clip": 0.0 }), "0 is not a valid limit; give a number above 0, or 1e30");
    refused(json!({ "messages": "both" }), "expected `study` or `published`");
    refused(json!({ "hidden": 64 }), "unknown field `hidden`, expected one of `latent_size`");
}

#[test]
fn widths_come_from_the_options() {
    let options = json!({ "latent_size": 2, "n_interaction": 2, "n_gaussian": 3,
                          "readout_size": 7 });
    let model: Painn = serde_json::from_value(options).unwrap();
    let trainer = model.open(&context(3)).unwrap();
    let linear = |n_in: usize, n_out: usize| n_in * n_out + n_out;
    let interaction = linear(2, 2) + linear(2, 6) + 2 * 4 + linear(4, 2) + linear(2, 6);
    let expected = 3 * 2 + linear(3, 2 * 6) + 2 * interaction + linear(2, 7) + linear(7, 1);
    assert_eq!(trainer.n_parameter(), expected);
}

#[test]
fn nodes_without_classes_cannot_be_embedded() {
    let Err(error) = Painn::default().open(&context(0)) else { panic!("opened") };
    assert!(error.to_string().contains("the data set has none; choose"), "{error}");
}
