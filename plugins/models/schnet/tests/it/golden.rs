//! Compares SchNet with reference values of the original program; see
//! `batchlab_testkit::golden_models`.

use batchlab_core::Model;
use batchlab_testkit::golden_models::{self, GoldenFile, GoldenModel};
use model_schnet::Schnet;

const SCHNET: GoldenModel = GoldenModel { name: "schnet", open, parameter };

#[test]
fn golden_numbers_of_the_reference_program_are_met() {
    golden_models::check(&SCHNET);
}

#[test]
fn golden_numbers_are_nearly_met_on_tensor_cores() {
    golden_models::check_on_tensor_cores(&SCHNET);
}

#[test]
fn golden_comparison_notices_a_tensor_that_is_missing() {
    let layer = "message_node_net_1/~/message_node_net/~/linear_0.w";
    golden_models::check_gaps_are_noticed(&SCHNET, layer);
}

fn open(file: &GoldenFile<'_>) -> Result<Box<dyn Model>, String> {
    let width = |layer: &str, axis: usize| Ok::<_, String>(file.shape(layer)?[axis]);
    let updates = file.names("param.node_update");
    let options = serde_json::json!({
        "latent_size": width("param.node_embedding_layer/~/node_embedding_layer/~/linear_0.w", 1)?,
        "n_interaction": updates.iter().filter(|name| name.ends_with("linear_0.w")).count(),
        "n_gaussian": width("param.message_edge_net/~/message_edge_net/~/linear_0.w", 0)?,
        "readout_size": width("param.readout_node/~/readout_node/~/linear_0.w", 1)?,
    });
    let model: Schnet = serde_json::from_value(options).map_err(|error| error.to_string())?;
    Ok(Box::new(model))
}

/// `node_update_1/~/node_update/~/linear_0.w` is `interaction.1.update.0.weight`.
fn parameter(name: &str) -> Option<String> {
    let [module, step, layer] = golden_models::split_layer_name(name)?;
    Some(match module {
        "node_embedding_layer" => "embedding.weight".into(),
        "message_edge_net" => format!("interaction.{step}.filter.{layer}.weight"),
        "message_node_net" => format!("interaction.{step}.sender.weight"),
        "node_update" => format!("interaction.{step}.update.{layer}.weight"),
        "readout_node" => format!("readout.{layer}.weight"),
        _ => return None,
    })
}
