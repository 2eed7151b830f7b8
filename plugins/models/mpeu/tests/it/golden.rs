//! Compares the model with reference values of the original program; see
//! `batchlab_testkit::golden_models`.

use batchlab_core::Model;
use batchlab_testkit::golden_models::{self, GoldenFile, GoldenModel};
use model_mpeu::Mpeu;

const MPEU: GoldenModel = GoldenModel { name: "mpeu", open, parameter };

#[test]
fn golden_numbers_of_the_reference_program_are_met() {
    golden_models::check(&MPEU);
}

#[test]
fn golden_numbers_are_nearly_met_on_tensor_cores() {
    golden_models::check_on_tensor_cores(&MPEU);
}

#[test]
fn golden_comparison_notices_a_tensor_that_is_missing() {
    let layer = "edge_update_1/~/edge_update/~/linear_0.w";
    golden_models::check_gaps_are_noticed(&MPEU, layer);
}

fn open(file: &GoldenFile<'_>) -> Result<Box<dyn Model>, String> {
    let width = |layer: &str, axis: usize| Ok::<_, String>(file.shape(layer)?[axis]);
    let latent = width("param.node_embedding_layer/~/node_embedding_layer/~/linear_0.w", 1)?;
    let joined = "param.edge_update/~/edge_update/~/linear_0.w";
    let updates = file.names("param.node_update");
    let options = serde_json::json!({
        "latent_size": latent,
        "n_interaction": updates.iter().filter(|name| name.ends_with("linear_0.w")).count(),
        "n_gaussian": width(joined, 0)? - 2 * latent,
        "edge_hidden_size": width(joined, 1)?,
        "readout_size": width("param.readout_node/~/readout_node/~/linear_0.w", 1)?,
    });
    let model: Mpeu = serde_json::from_value(options).map_err(|error| error.to_string())?;
    Ok(Box::new(model))
}

/// `edge_update_1/~/edge_update/~/linear_0.w` is `interaction.1.edge_update.0.weight`.
fn parameter(name: &str) -> Option<String> {
    let [module, step, layer] = golden_models::split_layer_name(name)?;
    Some(match module {
        "node_embedding_layer" => "embedding.weight".into(),
        "edge_update" => format!("interaction.{step}.edge_update.{layer}.weight"),
        "message_edge_net" => format!("interaction.{step}.gate.{layer}.weight"),
        "message_node_net" => format!("interaction.{step}.sender.weight"),
        "node_update" => format!("interaction.{step}.update.{layer}.weight"),
        "readout_node" => format!("readout.{layer}.weight"),
        _ => return None,
    })
}
