//! The trait that a model plugin implements.

use batchlab_core::model::{Loss, ModelContext};
use batchlab_core::{BatchFields, ModelError, Trainer};
use dfdx::tensor::Cpu;

use crate::device::Device;
use crate::{Backend, DeviceBatch, Matrix, NetworkTrainer, ParameterBuilder, Pass};

/// The computation from a batch to predictions. It holds parameter handles but no numbers, and
/// therefore runs on every device.
pub trait Network: 'static {
    /// Predictions, one row per graph (`[n_graph, output_width]`), or one row per node if the data
    /// set is a single graph (`[n_node, output_width]`). Padding is computed like everything else.
    ///
    /// Called once per step, and once per batch in evaluation.
    ///
    /// # Errors
    /// If the device fails, or a field is not among the model's needs.
    fn forward<D: Backend>(
        &self,
        pass: &mut Pass<'_, D>,
        batch: &DeviceBatch<D>,
    ) -> Result<Matrix<D>, ModelError>;

    /// Whether it only predicts outputs, one row each (`[n_output, output_width]`), on batches of
    /// nodes; [`DeviceBatch::node_edges`] then has their incoming edges.
    fn only_outputs(&self) -> bool {
        false
    }
}

/// Opens a network for training on the device given by `ctx`. `build` adds its parameters.
///
/// # Errors
/// If the device does not exist or does not support the precision, or the loss does not match the
/// number of outputs.
pub fn open<N: Network>(
    ctx: &ModelContext,
    needs: BatchFields,
    build: impl FnOnce(&mut ParameterBuilder) -> N,
) -> Result<Box<dyn Trainer>, ModelError> {
    check_loss(ctx)?;
    ctx.precision.check(&ctx.device)?;
    match ctx.device.parse()? {
        Device::Cpu => Ok(Box::new(NetworkTrainer::new(&Cpu::default(), ctx, needs, build)?)),
        #[cfg(feature = "cuda")]
        Device::Cuda(ordinal) => {
            let cuda = crate::cuda::open(ordinal).map_err(crate::matrix::engine)?;
            let has_tensor_cores =
                crate::cuda::has_tensor_cores(&cuda).map_err(crate::matrix::engine)?;
            if ctx.precision != batchlab_core::model::Precision::F32 && !has_tensor_cores {
                return Err(ModelError::Options(format!(
                    "training.precision = \"{}\" needs a GPU of compute capability 8.0 or higher, but \
                     \"{}\" is older; use training.precision = \"f32\"",
                    ctx.precision.name(),
                    ctx.device
                )));
            }
            Ok(Box::new(NetworkTrainer::new(&cuda, ctx, needs, build)?))
        }
    }
}

fn check_loss(ctx: &ModelContext) -> Result<(), ModelError> {
    match (ctx.loss, ctx.output_width) {
        (_, 0) => Err(ModelError::Options("a model without outputs cannot be trained".into())),
        (Loss::CrossEntropy, 1) => Err(ModelError::Options(
            "loss = \"cross-entropy\" chooses between classes, but the target is a number: use \
             loss = \"mse\" or \"mae\""
                .into(),
        )),
        (Loss::Mse | Loss::Mae, 2..) => Err(ModelError::Options(format!(
            "loss = \"mse\" and \"mae\" compare numbers, but the target is one of {} classes: use \
             loss = \"cross-entropy\"",
            ctx.output_width
        ))),
        _ => Ok(()),
    }
}

/// Rejects data without node features, for models that start from them. The error names `model`.
pub fn require_node_features(ctx: &ModelContext, model: &str) -> Result<(), ModelError> {
    if ctx.node_feature_width > 0 {
        return Ok(());
    }
    Err(ModelError::Options(format!(
        "{model} starts from the features of nodes, but the data set has none; choose one that has"
    )))
}

/// Rejects data without node classes, for models that embed them. The error names `model`.
pub fn require_node_classes(ctx: &ModelContext, model: &str) -> Result<(), ModelError> {
    if ctx.n_node_class > 0 {
        return Ok(());
    }
    Err(ModelError::Options(format!(
        "{model} embeds the classes of nodes (the elements), but the data set has none; choose a data \
         set of molecules or crystals"
    )))
}
