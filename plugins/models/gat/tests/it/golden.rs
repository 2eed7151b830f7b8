//! The reference values of `golden/README.md`: predictions, loss, gradients, and Adam steps with
//! and without weight decay.

use batchlab_core::Model;
use batchlab_testkit::golden_models::{
    GoldenFile, GoldenModel, check_dense_nodes, check_node_gaps_are_noticed, check_nodes,
};
use model_gat::{DropoutRate, Gat};

const GOLDEN: GoldenModel = GoldenModel { name: "gat", open, parameter };

/// With the sizes of a file, and without dropout.
fn open(file: &GoldenFile<'_>) -> Result<Box<dyn Model>, String> {
    Ok(Box::new(of_file(file, true)?))
}

fn of_file(file: &GoldenFile<'_>, only_outputs: bool) -> Result<Gat, String> {
    let (layers, hidden) = (file.size("layers")?, file.size("hidden")?);
    let heads = file.size("heads")?;
    let dropout = DropoutRate::try_from(0.0)?;
    Ok(Gat { layers, hidden, heads, dropout, only_outputs, ..Gat::default() })
}

fn parameter(name: &str) -> Option<String> {
    let (module, part) = name.split_once('.').or_else(|| name.split_once('['))?;
    let (kind, l) = module.split_once('_')?;
    match (kind, part) {
        ("conv", "w") => Some(format!("convolution.{l}.weight")),
        ("conv", "b") => Some(format!("convolution.{l}.bias")),
        ("conv", part) => Some(format!("convolution.{l}.{part}")),
        ("norm", part) => Some(format!("norm.{l}.{part}")),
        _ => None,
    }
}

#[test]
fn numbers_of_cora() {
    check_nodes(&GOLDEN);
}

#[test]
fn numbers_of_cora_with_all_nodes_in_the_last_convolution() {
    let open = |file: &GoldenFile<'_>| Ok(Box::new(of_file(file, false)?) as Box<dyn Model>);
    check_nodes(&GoldenModel { open, ..GOLDEN });
}

#[test]
fn numbers_of_a_part_of_cora_with_dense_features() {
    check_dense_nodes(&GOLDEN);
}

#[test]
fn a_missing_tensor_is_noticed() {
    check_node_gaps_are_noticed(&GOLDEN, "conv_1.att_sender");
}
