//! Opens a model after checking that it fits into memory.

use batchlab_config::LoadedConfig;
use batchlab_core::Trainer;
use batchlab_core::graphs::TargetKind;
use batchlab_core::model::{Loss, ModelContext, ModelSize};

use crate::training_data::TrainingData;
use crate::{RunError, memory, search_folders};

/// Opens the model of a configuration; also returns its size.
///
/// # Errors
/// A model that does not fit into memory, which is detected before anything is allocated; a model
/// that cannot be opened.
pub(crate) fn open_model(
    loaded: &LoadedConfig,
    data: &TrainingData,
) -> Result<(Box<dyn Trainer>, ModelSize), RunError> {
    let ctx = model_context(loaded, data)?;
    let model = &loaded.config.model;
    let size = model.size(&ctx).unwrap_or_default();
    let limit = memory::limit()?;
    if size.n_byte() > limit.into() {
        return Err(RunError::config(format!(
            "the model \"{}\" has {} parameters, which take {} bytes ({}) with gradients and moments, \
             but only {} may be used; choose smaller widths or fewer layers, or set {}, for example to {}",
            model.typetag_name(),
            size.n_parameter,
            size.n_byte(),
            memory::readable(size.n_byte()),
            memory::readable(limit.into()),
            memory::VARIABLE,
            memory::enough(size.n_byte()),
        )));
    }
    Ok((model.open(&ctx)?, size))
}

fn model_context(loaded: &LoadedConfig, data: &TrainingData) -> Result<ModelContext, RunError> {
    let config = &loaded.config;
    let loss = config.training.loss;
    let fail =
        |message: &str| Err(RunError::config(format!("{}: {message}", loaded.name_of_file())));
    let output_width = match &data.kind {
        TargetKind::Classes { name } if loss == Loss::CrossEntropy => name.len(),
        TargetKind::Classes { .. } => {
            return fail("the target is a class; use training.loss = \"cross-entropy\"");
        }
        TargetKind::Regression { .. } if loss == Loss::CrossEntropy => {
            return fail("the target is a number; use training.loss = \"mse\" or \"mae\"");
        }
        TargetKind::Regression { .. } => 1,
    };
    Ok(ModelContext {
        device: config.device.clone(),
        seed: config.training.seeds.init,
        n_node_class: data.n_node_class(),
        node_feature_width: data.node_feature_width(),
        output_width,
        standardisation: data.standardisation,
        own: data.own_of(&config.model.needs()),
        loss,
        precision: config.training.precision,
        weight_decay: config.training.weight_decay.into(),
        resident_bytes: config.training.resident_bytes(),
        cuda_graphs: config.training.cuda_graphs.unwrap_or(true),
        search: search_folders(&loaded.path),
    })
}
