//! An open model, and operations on it.

use batchlab_core::model::{Loss, LossSum, Mode, ModelContext, NamedTensor, Slot, TrainerState};
use batchlab_core::plan::Shape;
use batchlab_core::{
    BatchBuffer, BatchFields, Level, Model, ModelError, PaddedBatch, Trainer, random,
};

use super::fixture::{
    self, FEATURE_WIDTH, Molecule, N_CLASS, N_OUTPUT_CLASS, Store, Targets, collated,
};
use crate::check::Outcome;

/// Tolerance of predictions for one graph relative to the largest prediction, if sums are split
/// differently.
pub(super) const PREDICTION: f64 = 1e-5;
const SEED: u64 = 7;
pub(super) const LEARNING_RATE: f64 = 1e-3;

/// A model with parameters that are equal in every trainer of one check.
pub(super) struct Trial<'a> {
    model: &'a dyn Model,
    pub(super) loss: Loss,
    pub(super) needs: BatchFields,
    start: TrainerState,
}

impl<'a> Trial<'a> {
    pub(super) fn new(model: &'a dyn Model) -> Result<Self, String> {
        Self::with_loss(model, Loss::Mse)
    }

    /// Initial parameters are perturbed slightly: zero biases, or a zero last layer, would hide
    /// mistakes.
    pub(super) fn with_loss(model: &'a dyn Model, loss: Loss) -> Result<Self, String> {
        let mut start = open(model, SEED, loss)?.state().map_err(text)?;
        let mut rng = random::stream(SEED, "move", 0);
        for tensor in start.tensors.iter_mut().filter(|t| t.name.starts_with(PARAMETER)) {
            for value in &mut tensor.data {
                let unit = random::below(&mut rng, 1 << 20) as f32 / (1 << 20) as f32;
                *value += 0.1 * (unit - 0.5);
            }
        }
        Ok(Self { model, loss, needs: model.needs(), start })
    }

    /// A trainer with the parameters of this trial.
    pub(super) fn ready(&self) -> Result<Box<dyn Trainer>, String> {
        self.ready_on(&crate::device::under_test())
    }

    pub(super) fn ready_on(&self, device: &str) -> Result<Box<dyn Trainer>, String> {
        let context = ModelContext { device: device.into(), ..context(SEED, self.loss) };
        let mut trainer = open_in(self.model, &context)?;
        trainer
            .restore(&self.start)
            .map_err(|error| format!("it cannot restore its own state: {error}"))?;
        Ok(trainer)
    }

    pub(super) fn graphs(&self, molecules: &[Molecule]) -> Store {
        let targets = match self.loss {
            Loss::CrossEntropy => Targets::Classes,
            Loss::Mse | Loss::Mae => Targets::Numbers,
        };
        let level = if self.model.accepts(Level::Graphs) { Level::Graphs } else { Level::Nodes };
        Store::new(molecules, targets, level)
    }

    /// These members with this padding.
    pub(super) fn batch(&self, graphs: &Store, members: &[u32], padding: Shape) -> BatchBuffer {
        collated(graphs, &self.needs, members, &[], padding)
    }

    /// All ordinary graphs with this padding.
    pub(super) fn ordinary(&self, padding: Shape) -> BatchBuffer {
        let graphs = self.graphs(&fixture::ordinary());
        let members: Vec<u32> = (0..graphs.n_member() as u32).collect();
        self.batch(&graphs, &members, padding)
    }
}

/// Prefix of parameter names in a state.
pub(super) const PARAMETER: &str = "parameter.";

pub(super) fn context(seed: u64, loss: Loss) -> ModelContext {
    ModelContext {
        seed,
        node_feature_width: FEATURE_WIDTH,
        output_width: if loss == Loss::CrossEntropy { N_OUTPUT_CLASS } else { 1 },
        loss,
        ..crate::device::context(N_CLASS)
    }
}

pub(super) fn open(model: &dyn Model, seed: u64, loss: Loss) -> Result<Box<dyn Trainer>, String> {
    open_in(model, &context(seed, loss))
}

fn open_in(model: &dyn Model, context: &ModelContext) -> Result<Box<dyn Trainer>, String> {
    model.open(context).map_err(|error| format!("it does not open: {error}"))
}

#[allow(clippy::needless_pass_by_value, reason = "what map_err gives")]
pub(super) fn text(error: ModelError) -> String {
    error.to_string()
}

/// Predictions for all outputs of a batch, including padding.
pub(super) fn predict(
    trainer: &mut dyn Trainer,
    batch: &PaddedBatch<'_>,
) -> Result<Vec<f32>, String> {
    trainer.upload(Slot::A, batch).map_err(text)?;
    predict_slot(trainer, Slot::A)
}

pub(super) fn predict_slot(trainer: &mut dyn Trainer, slot: Slot) -> Result<Vec<f32>, String> {
    let mut prediction = Vec::new();
    trainer.predict(slot, &mut prediction).map_err(text)?;
    Ok(prediction)
}

/// Uploads a batch, and computes loss and gradients.
pub(super) fn differentiate(
    trainer: &mut dyn Trainer,
    batch: &PaddedBatch<'_>,
) -> Result<(LossSum, Vec<NamedTensor>), String> {
    trainer.upload(Slot::A, batch).map_err(text)?;
    let loss = trainer.forward(Slot::A, Mode::Training, 0).map_err(text)?;
    trainer.backward(1.0).map_err(text)?;
    Ok((loss, trainer.gradients().map_err(text)?))
}

/// One whole step. Returns the loss before it.
pub(super) fn step(trainer: &mut dyn Trainer, batch: &PaddedBatch<'_>) -> Result<LossSum, String> {
    let (loss, _) = differentiate(trainer, batch)?;
    trainer.update(LEARNING_RATE).map_err(text)?;
    Ok(loss)
}

pub(super) fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |m, v| m.max(v.abs()))
}

/// Compares predictions relative to the largest.
pub(super) fn near(reference: &[f32], found: &[f32], tolerance: f64, when: &str) -> Outcome {
    if reference.len() != found.len() {
        let (n, m) = (reference.len(), found.len());
        return Err(format!("{n} predictions, but {m} {when}"));
    }
    let scale = f64::from(largest(reference)).max(f64::MIN_POSITIVE);
    for (row, (&a, &b)) in reference.iter().zip(found).enumerate() {
        let difference = (f64::from(a) - f64::from(b)).abs();
        if difference.is_nan() || difference > tolerance * scale {
            return Err(format!("prediction {row} is {a:e}, but {b:e} {when}"));
        }
    }
    Ok(())
}

/// Compares tensors, each relative to its largest value.
pub(super) fn near_tensors(
    reference: &[NamedTensor],
    found: &[NamedTensor],
    tolerance: f32,
    when: &str,
) -> Outcome {
    near_tensors_above(1e-6, reference, found, tolerance, when)
}

/// The same, with `floor` instead for tensors whose numbers are all smaller.
pub(super) fn near_tensors_above(
    floor: f32,
    reference: &[NamedTensor],
    found: &[NamedTensor],
    tolerance: f32,
    when: &str,
) -> Outcome {
    if reference.len() != found.len() {
        return Err(format!("{} tensors, but {} {when}", reference.len(), found.len()));
    }
    for (a, b) in reference.iter().zip(found) {
        if a.shape != b.shape {
            return Err(format!("{} has shape {:?}, but {:?} {when}", a.name, a.shape, b.shape));
        }
        let scale = largest(&a.data).max(floor);
        for (element, (x, y)) in a.data.iter().zip(&b.data).enumerate() {
            let difference = (x - y).abs();
            if difference.is_nan() || difference > tolerance * scale {
                let name = &a.name;
                return Err(format!(
                    "{name}[{element}] is {x:e}, but {y:e} {when}; the largest value of {name} is {scale:e}"
                ));
            }
        }
    }
    Ok(())
}

/// Compares tensors bit for bit.
pub(super) fn same_tensors(
    reference: &[NamedTensor],
    found: &[NamedTensor],
    when: &str,
) -> Outcome {
    if reference.len() != found.len() {
        return Err(format!("{} tensors, but {} {when}", reference.len(), found.len()));
    }
    for (a, b) in reference.iter().zip(found) {
        if (&a.name, &a.shape) != (&b.name, &b.shape) {
            return Err(format!("{} {:?} became {} {:?} {when}", a.name, a.shape, b.name, b.shape));
        }
        let mut pairs = a.data.iter().zip(&b.data).enumerate();
        if let Some((element, (x, y))) = pairs.find(|(_, (x, y))| x.to_bits() != y.to_bits()) {
            return Err(format!("{}[{element}] is {x:e}, but {y:e} {when}", a.name));
        }
    }
    Ok(())
}

/// Compares losses bit for bit.
pub(super) fn same_loss(reference: LossSum, found: LossSum, when: &str) -> Outcome {
    let bits = |loss: LossSum| (loss.loss_sum.to_bits(), loss.weight_sum.to_bits());
    if bits(reference) == bits(found) {
        return Ok(());
    }
    Err(format!(
        "the loss is {:e} with weight {}, but {:e} with weight {} {when}",
        reference.loss_sum, reference.weight_sum, found.loss_sum, found.weight_sum
    ))
}
