//! Checks of the loss.

use batchlab_core::model::{Loss, LossSum, Mode, Slot};
use batchlab_core::{Model, ModelError, PaddedBatch, Trainer};

use super::Trial;
use super::alter::Altered;
use super::fixture::{N_OUTPUT_CLASS, SOME, collated, ordinary};
use super::trial::{PREDICTION, context, differentiate, predict, same_loss, same_tensors, text};
use crate::check::Outcome;

/// Weights of the five ordinary graphs.
const WEIGHTS: [f32; 5] = [1.0, 0.25, 2.0, 0.5, 3.0];

pub(super) fn loss(model: &dyn Model) -> Outcome {
    for loss in [Loss::Mse, Loss::Mae] {
        compare(model, loss, |row, target| match loss {
            Loss::Mae => (row[0] - target).abs(),
            _ => (row[0] - target).powi(2),
        })?;
    }
    Ok(())
}

/// Compares the loss with that computed from the predictions, and with the sum over batches of the
/// same graphs in which only one graph has a weight.
fn compare(model: &dyn Model, loss: Loss, of_output: impl Fn(&[f64], f64) -> f64) -> Outcome {
    let trial = Trial::with_loss(model, loss)?;
    let graphs = trial.graphs(&ordinary());
    let mut trainer = trial.ready()?;
    let all: Vec<u32> = (0..WEIGHTS.len() as u32).collect();
    let buffer = collated(&graphs, &trial.needs, &all, &WEIGHTS, SOME);
    let found = forward(&mut *trainer, &buffer.batch())?;
    let expected = expected(&mut *trainer, &buffer.batch(), &of_output)?;
    check_near(found, expected, &format!("computed from predictions as {loss:?}"))?;
    let mut sum = LossSum::default();
    for (one, &weight) in WEIGHTS.iter().enumerate() {
        let mut weights = [0.0; WEIGHTS.len()];
        weights[one] = weight;
        let buffer = collated(&graphs, &trial.needs, &all, &weights, SOME);
        let part = forward(&mut *trainer, &buffer.batch())?;
        sum.loss_sum += part.loss_sum;
        sum.weight_sum += part.weight_sum;
    }
    check_near(found, sum, &format!("summed over batches with one nonzero weight as {loss:?}"))
}

fn forward(trainer: &mut dyn Trainer, batch: &PaddedBatch<'_>) -> Result<LossSum, String> {
    trainer.upload(Slot::A, batch).map_err(text)?;
    trainer.forward(Slot::A, Mode::Training, 0).map_err(text)
}

fn expected(
    trainer: &mut dyn Trainer,
    batch: &PaddedBatch<'_>,
    of_output: &impl Fn(&[f64], f64) -> f64,
) -> Result<LossSum, String> {
    let prediction: Vec<f64> = predict(trainer, batch)?.into_iter().map(f64::from).collect();
    let width = prediction.len() / batch.output_row.len();
    let mut sum = LossSum::default();
    let outputs = batch.output_target.iter().zip(batch.output_weight);
    for (row, (&target, &weight)) in prediction.chunks_exact(width).zip(outputs) {
        if weight > 0.0 {
            sum.loss_sum += f64::from(weight) * of_output(row, f64::from(target));
            sum.weight_sum += f64::from(weight);
        }
    }
    Ok(sum)
}

fn check_near(found: LossSum, expected: LossSum, what: &str) -> Outcome {
    let differ = |a: f64, b: f64| (a - b).is_nan() || (a - b).abs() > PREDICTION * b.abs();
    if differ(found.loss_sum, expected.loss_sum) || differ(found.weight_sum, expected.weight_sum) {
        return Err(format!(
            "the loss is {:e} with weight {}; {what} it is {:e} with weight {}",
            found.loss_sum, found.weight_sum, expected.loss_sum, expected.weight_sum
        ));
    }
    Ok(())
}

pub(super) fn classification(model: &dyn Model) -> Outcome {
    // A model may support only numeric targets, if it rejects this loss.
    if let Err(ModelError::Options(_)) = model.open(&context(7, Loss::CrossEntropy)) {
        return Ok(());
    }
    let trial = Trial::with_loss(model, Loss::CrossEntropy)?;
    let buffer = trial.ordinary(SOME);
    let batch = buffer.batch();
    let mut trainer = trial.ready()?;
    let n = predict(&mut *trainer, &batch)?.len();
    let n_output = batch.shape.n_output as usize;
    if n != N_OUTPUT_CLASS * n_output {
        return Err(format!("{n} predictions for {n_output} outputs of {N_OUTPUT_CLASS} classes"));
    }
    let found = forward(&mut *trainer, &batch)?.mean();
    let expected = expected(&mut *trainer, &batch, &negative_log_likelihood)?.mean();
    if (found - expected).abs() <= PREDICTION * expected.abs() {
        return Ok(());
    }
    Err(format!("the mean loss is {found:e}; computed from the predictions it is {expected:e}"))
}

fn negative_log_likelihood(row: &[f64], target: f64) -> f64 {
    let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = row.iter().map(|value| (value - largest).exp()).sum();
    #[allow(clippy::cast_sign_loss, reason = "classes are not negative")]
    let own = row[target as usize];
    sum.ln() + largest - own
}

pub(super) fn zero_weight(model: &dyn Model) -> Outcome {
    let trial = Trial::new(model)?;
    let graphs = trial.graphs(&ordinary());
    let weights = [1.0, 0.0, 2.0, 0.0, 1.0];
    let buffer = collated(&graphs, &trial.needs, &[0, 1, 2, 3, 4], &weights, SOME);
    let clean = buffer.batch();
    let reference = differentiate(&mut *trial.ready()?, &clean)?;
    for value in [17.0, f32::NAN, f32::INFINITY] {
        let mut altered = Altered::new(&clean);
        for (target, &weight) in
            altered.floats(|b| b.output_target).iter_mut().zip(clean.output_weight)
        {
            if weight == 0.0 {
                *target = value;
            }
        }
        let found = differentiate(&mut *trial.ready()?, &altered.batch())?;
        let when = format!("with targets of {value} where the weight is 0");
        same_loss(reference.0, found.0, &when)?;
        same_tensors(&reference.1, &found.1, &when)?;
    }
    let nothing = collated(&graphs, &trial.needs, &[0, 1], &[0.0, 0.0], SOME);
    let (loss, gradients) = differentiate(&mut *trial.ready()?, &nothing.batch())?;
    let numbers = gradients.iter().flat_map(|tensor| &tensor.data);
    if loss.loss_sum != 0.0 || loss.weight_sum != 0.0 || numbers.clone().any(|&g| g != 0.0) {
        return Err(format!(
            "a batch of weights 0 has loss {}, weight {} and gradients up to {}",
            loss.loss_sum,
            loss.weight_sum,
            numbers.fold(0.0_f32, |m, g| m.max(g.abs()))
        ));
    }
    Ok(())
}
