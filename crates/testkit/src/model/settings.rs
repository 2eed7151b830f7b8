//! Two settings of one model that compute the same in different ways, and the size of several.

use std::num::NonZeroU32;

use batchlab_core::Model;
use batchlab_core::model::{Loss, Mode, ModelContext, NamedTensor, Slot};
use batchlab_core::plan::Shape;

use super::Trial;
use super::fixture::{N_OUTPUT_CLASS, NONE, SOME};
use super::trial::{PREDICTION, near, near_tensors, predict, text};
use crate::check::Outcome;

/// Tolerance of gradients relative to their tensor's largest value.
const GRADIENT: f32 = 1e-4;
/// Dropout key.
const KEY: u64 = 5;

pub(super) fn equal(one: &dyn Model, other: &dyn Model) -> Outcome {
    for padding in [NONE, SOME] {
        let [one, other] = [one, other].map(|model| Computed::by(model, padding));
        let (one, other) = (one?, other?);
        let when = "in the other setting";
        near(&one.prediction, &other.prediction, PREDICTION, when)?;
        let difference = (one.loss - other.loss).abs();
        if difference.is_nan() || difference > PREDICTION * one.loss.abs() {
            return Err(format!("the loss is {:e}, but {:e} {when}", one.loss, other.loss));
        }
        near_tensors(&one.gradients, &other.gradients, GRADIENT, when)?;
    }
    Ok(())
}

pub(super) fn size(with_layers: impl Fn(NonZeroU32) -> Box<dyn Model>) -> Outcome {
    let ctx = ModelContext {
        node_feature_width: 8,
        output_width: 4,
        loss: Loss::CrossEntropy,
        ..ModelContext::default()
    };
    let size = |layers: u32| {
        let model = with_layers(NonZeroU32::new(layers).ok_or("no layers")?);
        let size = model.size(&ctx).ok_or("none is stated")?;
        let made = model.open(&ctx).map_err(text)?.n_parameter();
        if made as u128 == size.n_parameter {
            return Ok(size);
        }
        Err(format!("{layers} layers have {made} parameters, but {} are stated", size.n_parameter))
    };
    let [one, three, six] = [size(1)?, size(3)?, size(6)?].map(|size| size.n_kept_node);
    if one > 0 && six - three > three - one {
        return Ok(());
    }
    Err(format!("1, 3 and 6 layers keep {one}, {three} and {six} numbers per node"))
}

struct Computed {
    /// For real outputs, in an evaluation.
    prediction: Vec<f32>,
    /// In training.
    loss: f64,
    gradients: Vec<NamedTensor>,
}

impl Computed {
    fn by(model: &dyn Model, padding: Shape) -> Result<Self, String> {
        let trial = Trial::with_loss(model, Loss::CrossEntropy)?;
        let buffer = trial.ordinary(padding);
        let batch = buffer.batch();
        let mut trainer = trial.ready()?;
        let mut prediction = predict(&mut *trainer, &batch)?;
        prediction.truncate(batch.real.n_output as usize * N_OUTPUT_CLASS);
        let loss = trainer.forward(Slot::A, Mode::Training, KEY).map_err(text)?.mean();
        trainer.backward(1.0).map_err(text)?;
        Ok(Self { prediction, loss, gradients: trainer.gradients().map_err(text)? })
    }
}
