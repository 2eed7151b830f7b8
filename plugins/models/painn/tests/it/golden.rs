//! Compares the model with reference values of the original program; see
//! `batchlab_testkit::golden_models`.

use batchlab_core::Model;
use batchlab_testkit::golden_models::{self, GoldenFile, GoldenModel};
use model_painn::Painn;

const PAINN: GoldenModel = GoldenModel { name: "painn", open, parameter };

#[test]
fn golden_numbers_of_the_reference_program_are_met() {
    golden_models::check(&PAINN);
}

#[test]
fn golden_numbers_are_nearly_met_on_tensor_cores() {
    golden_models::check_on_tensor_cores(&PAINN);
}

#[test]
fn golden_comparison_notices_a_tensor_that_is_missing() {
    golden_models::check_gaps_are_noticed(&PAINN, "painn/~/layer_1/~/linear_xav_1.w");
}

fn open(file: &GoldenFile<'_>) -> Result<Box<dyn Model>, String> {
    let width = |layer: &str, axis: usize| Ok::<_, String>(file.shape(layer)?[axis]);
    let blocks = file.names("param.painn/~/layer_");
    let options = serde_json::json!({
        "latent_size": width("param.painn/~/scalar_embedding.embeddings", 1)?,
        "n_interaction": blocks.iter().filter(|name| name.ends_with("mixing_block.w")).count(),
        "n_gaussian": width("param.painn/~/filter_net.w", 0)?,
        "readout_size": width("param.painn/~/linear_xav.w", 1)?,
        // The program's default; its runs used 6.
        "cutoff_angstrom": 5.0,
    });
    let model: Painn = serde_json::from_value(options).map_err(|error| error.to_string())?;
    Ok(Box::new(model))
}

/// `painn/~/layer_1/~/linear_xav_2.w` is `interaction.1.gates.0.weight`.
fn parameter(name: &str) -> Option<String> {
    let path = name.strip_prefix("painn/~/")?;
    if path == "scalar_embedding.embeddings" {
        return Some("embedding.weight".into());
    }
    let (path, kind) = path.rsplit_once('.')?;
    let kind = match kind {
        "w" => "weight",
        "b" => "bias",
        _ => return None,
    };
    let Some((block, layer)) = path.split_once("/~/") else {
        return match path {
            "filter_net" => Some(format!("filter.{kind}")),
            "linear_xav" => Some(format!("readout.0.{kind}")),
            "linear_xav_1" => Some(format!("readout.1.{kind}")),
            _ => None,
        };
    };
    let block = block.strip_prefix("layer_")?;
    let layer = match layer {
        "linear_xav" => "sender.0",
        "linear_xav_1" => "sender.1",
        "vector_mixing_block" => "mixing",
        "linear_xav_2" => "gates.0",
        "linear_xav_3" => "gates.1",
        _ => return None,
    };
    Some(format!("interaction.{block}.{layer}.{kind}"))
}
