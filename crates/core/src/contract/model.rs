//! Models and their trainers.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::contract::fields::BatchFields;
use crate::contract::graphs::{Level, OwnShape, Standardisation};
use crate::{ModelError, PaddedBatch};

/// A description of a model, selected by `[model] name = "..."`.
///
/// A model plugin defines a network (its parameters and the forward pass from a batch to
/// predictions) with the operations of `batchlab-tensor`; that crate's trainer wraps it in
/// [`Model::open`].
#[typetag::serde(tag = "name")]
pub trait Model: std::fmt::Debug + Send + Sync {
    /// Fields that a batch must contain. No others are copied.
    fn needs(&self) -> BatchFields;

    /// Whether the model predicts for whole graphs or for the nodes of one graph. Called before
    /// data are loaded, to reject incompatible components early.
    fn accepts(&self, level: Level) -> bool {
        level == Level::Graphs
    }

    /// Checks that this build and machine provide the device. Called before data are loaded.
    ///
    /// # Errors
    /// [`ModelError::Device`].
    fn check_device(&self, _device: &str) -> Result<(), ModelError> {
        Ok(())
    }

    /// Size of the model, known before anything is allocated; `None` if unknown.
    fn size(&self, _ctx: &ModelContext) -> Option<ModelSize> {
        None
    }

    /// Creates the model with fresh parameters. Called once per run.
    ///
    /// # Errors
    /// An unavailable device, or options that do not fit the data.
    fn open(&self, ctx: &ModelContext) -> Result<Box<dyn Trainer>, ModelError>;
}

/// Size of a model, and of the activations it keeps per batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ModelSize {
    /// Exact number of trainable parameters.
    pub n_parameter: u128,
    /// Approximate number of values kept per node during a training step for the backward pass.
    pub n_kept_node: u64,
    /// The same per edge.
    pub n_kept_edge: u64,
}

impl ModelSize {
    /// Bytes of parameters, gradients and the optimiser's two moments.
    #[must_use]
    pub fn n_byte(&self) -> u128 {
        self.n_parameter.saturating_mul(16)
    }

    /// Approximate bytes of activations kept during a training step.
    #[must_use]
    pub fn n_kept_byte(&self, n_node: u32, n_edge: u32) -> u64 {
        let of = |n: u32, kept: u64| u64::from(n).saturating_mul(kept).saturating_mul(4);
        of(n_node, self.n_kept_node).saturating_add(of(n_edge, self.n_kept_edge))
    }
}

/// What a model receives when it opens.
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
    /// How training targets are derived from the target's values. Fields that are derivatives of
    /// the target, such as forces, must be divided by the same deviation.
    pub standardisation: Standardisation,
    /// Custom fields that the model asked for, in the same order.
    pub own: Vec<OwnShape>,
    /// Loss function.
    pub loss: Loss,
    /// Precision of matrix products; [`Precision::check`] rejects what the device does not support.
    pub precision: Precision,
    /// Weight decay: factor of each parameter in its own gradient. This is L2 regularisation as in
    /// Adam (not decoupled as in `AdamW`), so it enters both moments. A model may exempt parameters.
    pub weight_decay: f64,
    /// Bytes of batches that [`Trainer::upload_kept`] may keep on the device.
    pub resident_bytes: u64,
    /// Whether training steps on a GPU may be recorded for each padded shape and replayed with one
    /// call (CUDA graphs). Results are the same to the bit.
    pub cuda_graphs: bool,
    /// Folders searched for relative paths, in this order.
    pub search: Vec<PathBuf>,
}

impl Default for ModelContext {
    /// A CPU, and one number per output of data without classes or features; nothing is kept.
    fn default() -> Self {
        Self {
            device: "cpu".into(),
            seed: 42,
            n_node_class: 0,
            node_feature_width: 0,
            output_width: 1,
            standardisation: Standardisation::default(),
            own: Vec::new(),
            loss: Loss::default(),
            precision: Precision::default(),
            weight_decay: 0.0,
            resident_bytes: 0,
            cuda_graphs: false,
            search: Vec::new(),
        }
    }
}

/// Identifies a kept batch within a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BatchKey {
    /// The stream that the batch comes from: training, or the evaluation of one subset.
    pub stream: u64,
    /// [`BatchPlan::cache_key`](crate::BatchPlan::cache_key).
    pub recipe: u64,
}

/// Precision of the matrix products in node and edge layers. Everything else uses single precision.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// Single precision, with a 23-bit mantissa.
    #[default]
    F32,
    /// GPU tensor cores (compute capability 8.0 or higher) with factors rounded to a 10-bit
    /// mantissa and single-precision accumulation.
    Tf32,
    /// The same with a 7-bit mantissa (bfloat16).
    Bf16,
}

impl Precision {
    /// Name in configurations.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Tf32 => "tf32",
            Self::Bf16 => "bf16",
        }
    }

    /// Rejects a precision that needs tensor cores on a device without them.
    ///
    /// # Errors
    /// [`ModelError::Options`], with the remedy.
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

/// Loss function, averaged over the outputs of a batch with their weights.
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

/// The two device buffers for batches: while one batch is being computed, the next can be copied to
/// the other buffer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Slot {
    /// First buffer.
    #[default]
    A,
    /// Second buffer.
    B,
}

/// Whether gradients will be needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Records what `backward` needs; dropout is active.
    Training,
    /// Records nothing.
    Evaluation,
}

/// Loss of one batch as a sum, so that batches of different sizes can be added.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LossSum {
    /// Sum of weight times loss over the outputs.
    pub loss_sum: f64,
    /// Sum of the weights. The minimised loss is `loss_sum / weight_sum`.
    pub weight_sum: f64,
}

impl LossSum {
    /// The minimised mean; 0 for a batch without weight.
    #[must_use]
    pub fn mean(&self) -> f64 {
        if self.weight_sum > 0.0 { self.loss_sum / self.weight_sum } else { 0.0 }
    }
}

/// A named array in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedTensor {
    /// Name, for example `interaction.0.filter.0.weight`.
    pub name: String,
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// Values in row-major order.
    pub data: Vec<f32>,
}

/// Everything that training changes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TrainerState {
    /// Parameters (`parameter.*`) and optimiser moments (`moment1.*`, `moment2.*`).
    pub tensors: Vec<NamedTensor>,
    /// Number of updates so far.
    pub n_update: u64,
    /// State of an out-of-process engine, in its own format; empty for other engines.
    pub engine: Vec<u8>,
}

/// Options of a training step.
#[derive(Clone, Copy)]
pub struct StepOptions<'a> {
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// Key of the dropout random numbers.
    pub key: u64,
    /// Factor of the mean loss in the gradient, as a function of the batch's total weight; see
    /// [weighting](crate::weighting).
    pub scale: &'a dyn Fn(f64) -> f64,
}

/// A model in training. It stays on the thread that opened it.
///
/// One step is `upload`, `forward`, `backward`, `update`, in this order. The phases are separate so
/// that each can be timed for all models alike, and so that a non-finite loss stops the step before
/// `update`.
pub trait Trainer {
    /// Number of trainable parameters.
    fn n_parameter(&self) -> usize;

    /// Copies a batch to the device. May return before the copy is complete.
    ///
    /// # Errors
    /// A batch without a field that the model needs, or a device that is out of memory.
    fn upload(&mut self, slot: Slot, batch: &PaddedBatch<'_>) -> Result<(), ModelError>;

    /// Like [`Trainer::upload`], for a batch that will be used again: it may stay on the device as
    /// long as there is room ([`ModelContext::resident_bytes`]), which saves later copies. Equal
    /// keys mean equal batches.
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

    /// Computes predictions and loss of the batch in `slot`. An evaluation does not disturb what a
    /// training `forward` has recorded for `backward`. `key` selects the dropout random numbers.
    ///
    /// # Errors
    /// An empty slot, or a device failure.
    fn forward(&mut self, slot: Slot, mode: Mode, key: u64) -> Result<LossSum, ModelError>;

    /// Computes the gradients of `scale` times the mean loss of the last training `forward` and
    /// adds them to those accumulated since the last update. The scale is 1 unless the gradient
    /// [weighting](crate::weighting) requires another.
    ///
    /// # Errors
    /// No preceding training `forward`, or a device failure.
    fn backward(&mut self, scale: f64) -> Result<(), ModelError>;

    /// Takes one optimiser step with the gradients accumulated since the last update, and discards
    /// what a training `forward` has recorded since then.
    ///
    /// # Errors
    /// No preceding `backward`, or a device failure.
    fn update(&mut self, learning_rate: f64) -> Result<(), ModelError>;

    /// A whole training step on the batch in `slot`: `forward`, `backward` and `update`. A
    /// non-finite loss ends it before `update`, unless the engine [performs the step in one
    /// call](Trainer::is_one_call).
    ///
    /// # Errors
    /// Errors from any of the three.
    fn step(&mut self, slot: Slot, options: &StepOptions<'_>) -> Result<LossSum, ModelError> {
        let loss = self.forward(slot, Mode::Training, options.key)?;
        if loss.mean().is_finite() {
            self.backward((options.scale)(loss.weight_sum))?;
            self.update(options.learning_rate)?;
        }
        Ok(loss)
    }

    /// Whether [`Trainer::step`] is a single engine call whose phases cannot be called or timed
    /// separately.
    fn is_one_call(&self) -> bool {
        false
    }

    /// Whether ranks can train together with this engine: `forward` and `backward` leave gradients
    /// that can be read and [replaced](Trainer::replace_gradients) before `update`. An engine that
    /// performs a step in one call may offer this too.
    fn gives_gradients(&self) -> bool {
        !self.is_one_call()
    }

    /// External program that does the arithmetic, with its version, such as `jax 0.10.2`; `None`
    /// for the built-in engine.
    fn engine(&self) -> Option<String> {
        None
    }

    /// Predictions for the batch in `slot`, row-major `[n_output, output_width]`, including
    /// padding. `out` is cleared first.
    fn predict(&mut self, slot: Slot, out: &mut Vec<f32>) -> Result<(), ModelError>;

    /// The gradients accumulated since the last update (or used by it), by parameter name; empty
    /// before the first `backward`.
    fn gradients(&self) -> Result<Vec<NamedTensor>, ModelError>;

    /// Replaces the gradients for the next `update`, whether or not there are any: `values` are the
    /// numbers of [`Trainer::gradients`], one parameter after the other. With it ranks train
    /// together: each computes the gradients of its own batch, and updates with those of all.
    ///
    /// # Errors
    /// Another number of values, a device failure, or an engine that cannot.
    fn replace_gradients(&mut self, _values: &[f32]) -> Result<(), ModelError> {
        Err(ModelError::Options(
            "this engine does not exchange gradients with other ranks; train on one rank".into(),
        ))
    }

    /// A copy of everything that training changes.
    fn state(&self) -> Result<TrainerState, ModelError>;

    /// Restores a state.
    ///
    /// # Errors
    /// A tensor that is missing, unknown or of another shape. Nothing is changed in that case.
    fn restore(&mut self, state: &TrainerState) -> Result<(), ModelError>;

    /// Waits until the device has finished all queued work.
    fn synchronise(&mut self) -> Result<(), ModelError>;

    /// Hardware dependence of the last bits of results, besides the state and the batches, such as
    /// `avx512`. A run resumed with a different value reports it. Empty if unknown.
    fn arithmetic(&self) -> String {
        String::new()
    }

    /// Nanoseconds that the last `forward` spent recording the step for replay on later batches of
    /// the same shape (comparable to compilation in other engines). `None` if nothing was recorded.
    fn take_recording_ns(&mut self) -> Option<u64> {
        None
    }

    /// Peak device memory in bytes since the last call, for this and all other models on the
    /// device, without what the device libraries reserve. `None` on a CPU. Called before and after
    /// each stretch of training.
    fn take_peak_device_bytes(&mut self) -> Result<Option<u64>, ModelError> {
        Ok(None)
    }
}
