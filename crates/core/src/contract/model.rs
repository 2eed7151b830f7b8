//! Models: what is trained.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::contract::fields::BatchFields;
use crate::contract::graphs::{Level, OwnShape, Standardisation};
use crate::{ModelError, PaddedBatch};

/// A description of a model, selected by `[model] name = "..."`.
///
/// A model plugin writes a network (parameters and the way from a batch to predictions) with the
/// operations of `batchlab-tensor`; [`Model::open`] wraps it into that crate's one trainer.
#[typetag::serde(tag = "name")]
pub trait Model: std::fmt::Debug + Send + Sync {
    /// What a batch must contain. Nothing else is copied.
    fn needs(&self) -> BatchFields;

    /// Whether the model predicts for many graphs, or for the nodes of one. Called before data are
    /// loaded, to refuse components that do not fit.
    fn accepts(&self, level: Level) -> bool {
        level == Level::Graphs
    }

    /// Checks that this build and this machine have a device of that name, before data are loaded.
    ///
    /// # Errors
    /// [`ModelError::Device`].
    fn check_device(&self, _device: &str) -> Result<(), ModelError> {
        Ok(())
    }

    /// What the model will take, told before anything of it is allocated; `None`: that is not known.
    fn size(&self, _ctx: &ModelContext) -> Option<ModelSize> {
        None
    }

    /// Creates the model with fresh parameters. Called once per run.
    ///
    /// # Errors
    /// A device that does not exist, or options that do not fit the data.
    fn open(&self, ctx: &ModelContext) -> Result<Box<dyn Trainer>, ModelError>;
}

/// How large a model is, and how much it keeps of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ModelSize {
    /// Trainable numbers, exactly.
    pub n_parameter: u128,
    /// Numbers that a step of training keeps for every node until its gradients are done, about.
    pub n_kept_node: u64,
    /// The same for every edge.
    pub n_kept_edge: u64,
}

impl ModelSize {
    /// Bytes of parameters, their gradients, and the two moments of the optimiser.
    #[must_use]
    pub fn n_byte(&self) -> u128 {
        self.n_parameter.saturating_mul(16)
    }

    /// Bytes that a step keeps, about.
    #[must_use]
    pub fn n_kept_byte(&self, n_node: u32, n_edge: u32) -> u64 {
        let of = |n: u32, kept: u64| u64::from(n).saturating_mul(kept).saturating_mul(4);
        of(n_node, self.n_kept_node).saturating_add(of(n_edge, self.n_kept_edge))
    }
}

/// What a model is given when it opens.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelContext {
    /// `cpu` or `cuda:0`.
    pub device: String,
    /// Seed of the initial parameters.
    pub seed: u64,
    /// Number of node classes; 0 without classes.
    pub n_node_class: usize,
    /// Features per node; 0 without features.
    pub node_feature_width: usize,
    /// Values per output: 1, or the number of classes to choose from.
    pub output_width: usize,
    /// How the numbers that are trained on come from the target's values. Fields that are derivatives of the
    /// target, such as forces, are to be divided by the same deviation.
    pub standardisation: Standardisation,
    /// The own fields that the model asked for, in this order.
    pub own: Vec<OwnShape>,
    /// What is minimised.
    pub loss: Loss,
    /// How matrices are multiplied; refused by [`Precision::check`] where the device cannot.
    pub precision: Precision,
    /// Factor of each parameter in its own gradient, L2 regularisation as Adam's authors have it: it
    /// goes into both moments. Parameters that a model exempts do not have it.
    pub weight_decay: f64,
    /// Bytes of batches that [`Trainer::upload_kept`] keeps on the device.
    pub resident_bytes: u64,
    /// Folders in which a relative path is looked for, in this order.
    pub search: Vec<PathBuf>,
}

/// Names a batch that is kept, among all of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BatchKey {
    /// The stream that the batch comes from: training, or the evaluation of one subset.
    pub stream: u64,
    /// [`BatchPlan::cache_key`](crate::BatchPlan::cache_key).
    pub recipe: u64,
}

/// How layers multiply, on nodes and on edges. Everything else is done in single precision.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// Single precision: 23 bits of a number's fraction.
    #[default]
    F32,
    /// By tensor cores of a GPU (compute capability 8.0 or higher), which take 10 bits of a factor's
    /// fraction and add up in single precision.
    Tf32,
    /// The same with 7 bits of a factor's fraction (bfloat16).
    Bf16,
}

impl Precision {
    /// The name in configurations.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Tf32 => "tf32",
            Self::Bf16 => "bf16",
        }
    }

    /// Refuses what a device without tensor cores cannot do.
    ///
    /// # Errors
    /// [`ModelError::Options`], with what to change.
    pub fn check(self, device: &str) -> Result<(), ModelError> {
        if self == Self::F32 || device.starts_with("cuda:") {
            return Ok(());
        }
        Err(ModelError::Options(format!(
            "training.precision = \"{}\" needs the tensor cores of a GPU, but the device is \
             \"{device}\"; use training.precision = \"f32\", or device = \"cuda:0\"",
            self.name()
        )))
    }
}

/// What is minimised, over the outputs of a batch with their weights.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// Squared error.
    #[default]
    Mse,
    /// Absolute error.
    Mae,
    /// Negative log-likelihood of the true class.
    CrossEntropy,
}

/// Which of the two places on the device a batch lies in: while one is computed on, the next batch
/// can be copied into the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Slot {
    /// The first place.
    #[default]
    A,
    /// The second place.
    B,
}

/// Whether gradients will be wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Record what `backward` needs; dropout is active.
    Training,
    /// Record nothing.
    Evaluation,
}

/// The loss of one batch as a sum, so that batches of different size add up.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LossSum {
    /// Sum of weight times loss over the outputs.
    pub loss_sum: f64,
    /// Sum of the weights. The loss that is minimised is `loss_sum / weight_sum`.
    pub weight_sum: f64,
}

impl LossSum {
    /// The mean that is minimised; 0 for a batch without weight.
    #[must_use]
    pub fn mean(&self) -> f64 {
        if self.weight_sum > 0.0 { self.loss_sum / self.weight_sum } else { 0.0 }
    }
}

/// An array with its name, in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedTensor {
    /// For example `interaction.0.filter.0.weight`.
    pub name: String,
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// Values, row by row.
    pub data: Vec<f32>,
}

/// Everything that training changes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TrainerState {
    /// Parameters (`parameter.*`) and moments of the optimiser (`moment1.*`, `moment2.*`).
    pub tensors: Vec<NamedTensor>,
    /// Updates made so far.
    pub n_update: u64,
    /// What an engine outside of this process saves, in a format of its own; empty for others.
    pub engine: Vec<u8>,
}

/// How a training step is done.
#[derive(Clone, Copy)]
pub struct StepOptions<'a> {
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// Selects the random numbers of dropout.
    pub key: u64,
    /// What the mean loss is multiplied by in the gradient, from the sum of the batch's weights; see
    /// [weighting](crate::weighting).
    pub scale: &'a dyn Fn(f64) -> f64,
}

/// A model in training. It stays on the thread that opened it.
///
/// One step is `upload`, `forward`, `backward`, `update`, in this order, so that each can be timed
/// where all models pass, and so that a loss that is not finite stops before `update`.
pub trait Trainer {
    /// Number of trainable numbers.
    fn n_parameter(&self) -> usize;

    /// Copies a batch to the device. May return before the copy is complete.
    ///
    /// # Errors
    /// A batch without a field that the model needs, or a device without memory.
    fn upload(&mut self, slot: Slot, batch: &PaddedBatch<'_>) -> Result<(), ModelError>;

    /// The same for a batch that comes again: it may stay on the device, as long as there is room for it
    /// ([`ModelContext::resident_bytes`]), and is then not copied a second time. Equal keys mean equal
    /// batches.
    ///
    /// # Errors
    /// Those of [`Trainer::upload`].
    fn upload_kept(
        &mut self,
        slot: Slot,
        _key: BatchKey,
        batch: &PaddedBatch<'_>,
    ) -> Result<(), ModelError> {
        self.upload(slot, batch)
    }

    /// Computes predictions and loss of the batch in `slot`. An evaluation leaves what a training
    /// `forward` has recorded for `backward` untouched. `key` selects the random numbers of
    /// dropout.
    ///
    /// # Errors
    /// An empty slot, or a device that fails.
    fn forward(&mut self, slot: Slot, mode: Mode, key: u64) -> Result<LossSum, ModelError>;

    /// Computes the gradients of `scale` times the mean loss of the last `forward` in training
    /// mode, and adds them to those since the last update. The scale is 1 unless the gradient's [weighting](crate::weighting) asks for another.
    ///
    /// # Errors
    /// No such `forward`, or a device that fails.
    fn backward(&mut self, scale: f64) -> Result<(), ModelError>;

    /// Changes the parameters by one step of the optimiser, with the gradients since the last
    /// update. What a training `forward` has recorded since then is lost.
    ///
    /// # Errors
    /// No such `backward`, or a device that fails.
    fn update(&mut self, learning_rate: f64) -> Result<(), ModelError>;

    /// A whole training step on the batch in `slot`: `forward`, `backward` and `update`. A loss that is not
    /// finite ends it before `update`, unless the engine [does it in one call](Trainer::is_one_call).
    ///
    /// # Errors
    /// Those of the three.
    fn step(&mut self, slot: Slot, options: &StepOptions<'_>) -> Result<LossSum, ModelError> {
        let loss = self.forward(slot, Mode::Training, options.key)?;
        if loss.mean().is_finite() {
            self.backward((options.scale)(loss.weight_sum))?;
            self.update(options.learning_rate)?;
        }
        Ok(loss)
    }

    /// Whether [`Trainer::step`] is one call to the engine, whose parts cannot be called or timed.
    fn is_one_call(&self) -> bool {
        false
    }

    /// The program that does the arithmetic, with its version, such as `jax 0.10.2`; `None`: this one.
    fn engine(&self) -> Option<String> {
        None
    }

    /// Predictions for the batch in `slot`, row by row `[n_output, output_width]`, padding
    /// included, appended to an emptied `out`.
    fn predict(&mut self, slot: Slot, out: &mut Vec<f32>) -> Result<(), ModelError>;

    /// The gradients since the last update, or those that it used, by the names of the parameters; empty before.
    fn gradients(&self) -> Result<Vec<NamedTensor>, ModelError>;

    /// A copy of everything that training changes.
    fn state(&self) -> Result<TrainerState, ModelError>;

    /// Takes over a state.
    ///
    /// # Errors
    /// A tensor that is missing, unknown or of another shape. Nothing is changed then.
    fn restore(&mut self, state: &TrainerState) -> Result<(), ModelError>;

    /// Waits until the device has finished all queued work.
    fn synchronise(&mut self) -> Result<(), ModelError>;

    /// What the last bits of results depend on besides the state and the batches, such as `avx512`: a
    /// run that goes on with something else says so. Empty where nothing is known.
    fn arithmetic(&self) -> String {
        String::new()
    }

    /// Nanoseconds that the last `forward` took to record the step, for later steps on batches of the same
    /// shape to repeat: what compiling is to others. `None` where it recorded nothing.
    fn take_recording_ns(&mut self) -> Option<u64> {
        None
    }

    /// The largest memory on the device that was in use at once since the last call, in bytes: of this
    /// and of all other models there, without what libraries of the device keep for themselves. `None`
    /// on a processor. Called before and after each stretch of training.
    fn take_peak_device_bytes(&mut self) -> Result<Option<u64>, ModelError> {
        Ok(None)
    }
}
