//! The model as a component: its name, its options and its inputs.

#[cfg(not(any(feature = "cuda", feature = "cuda-check")))]
use batchlab_core::ModelContext;
use batchlab_core::registry::{Kind, find};
use batchlab_core::{BatchFields, Model};
use batchlab_testkit::device::context;
use model_schnet::Schnet;
use serde_json::json;

#[test]
fn the_study_counts_80352_parameters_for_five_elements() {
    let trainer = Schnet::default().open(&context(5)).unwrap();
    assert_eq!(trainer.n_parameter(), 80_352);
}

#[test]
fn it_is_registered_under_its_name() {
    let registration = find(Kind::Model, "schnet").unwrap();
    assert_eq!(
        registration.summary(),
        "SchNet, continuous-filter convolutions on molecules and crystals"
    );
    let model: Box<dyn Model> = serde_json::from_value((registration.example)()).unwrap();
    assert!(model.needs().sender_order);
}

fn refused(options: serde_json::Value, expected: &str) {
    let error = serde_json::from_value::<Schnet>(options).expect_err("refused").to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn options_that_make_no_network_are_refused() {
    refused(json!({ "latent_size": 0 }), "expected a nonzero u32");
    refused(json!({ "n_gaussian": 0 }), "expected a nonzero u32");
    refused(json!({ "gaussian_spacing_angstrom": 0.0 }), "0 is not a spacing of Gaussians");
    refused(json!({ "cutoff_angstrom": -1.0 }), "-1 is not a radius; give a length in angstrom");
    refused(json!({ "latent": 64 }), "unknown field `latent`, expected one of `latent_size`");
}

#[test]
fn widths_come_from_the_options() {
    let options = json!({ "latent_size": 1, "n_interaction": 1, "n_gaussian": 2 });
    let model: Schnet = serde_json::from_value(options).unwrap();
    let trainer = model.open(&context(3)).unwrap();
    // Embedding, filter, sender, update, readout.
    assert_eq!(trainer.n_parameter(), 3 + (2 + 1) + 1 + (1 + 1) + (1 + 1));
}

#[test]
fn as_published_every_layer_has_a_bias() {
    let options = json!({ "n_gaussian": 300, "bias": true, "aggregation": "sum",
                          "readout": "sum" });
    let model: Schnet = serde_json::from_value(options).unwrap();
    let linear = |n_in: usize, n_out: usize| n_in * n_out + n_out;
    let interaction = linear(300, 64) + 4 * linear(64, 64);
    let expected = 5 * 64 + 3 * interaction + linear(64, 32) + linear(32, 1);
    assert_eq!(model.open(&context(5)).unwrap().n_parameter(), expected);
}

#[test]
fn data_without_distances_do_not_fit() {
    let provided = BatchFields { node_class: true, ..BatchFields::default() };
    assert_eq!(Schnet::default().needs().missing_from(&provided).as_deref(), Some("distances"));
}

#[test]
fn nodes_without_classes_cannot_be_embedded() {
    let Err(error) = Schnet::default().open(&context(0)) else { panic!("opened") };
    assert!(error.to_string().contains("the data set has none"), "{error}");
}

#[cfg(not(any(feature = "cuda", feature = "cuda-check")))]
#[test]
fn a_device_that_this_build_lacks_is_named() {
    let ctx = ModelContext { device: "cuda:0".into(), ..context(5) };
    let Err(error) = Schnet::default().open(&ctx) else { panic!("opened") };
    assert!(error.to_string().contains("no support for CUDA"), "{error}");
}
