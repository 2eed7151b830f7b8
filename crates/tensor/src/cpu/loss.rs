//! Losses over outputs, in double precision: there are few of them.

use batchlab_core::model::{Loss, LossSum};
use dfdx::tensor::Cpu;

use crate::Outputs;

/// The loss, and in `unit` (`[n_row, width]`, zeros) the gradient of its mean.
pub(super) fn evaluate(
    loss: Loss,
    prediction: &[f32],
    width: usize,
    outputs: &Outputs<Cpu>,
    unit: &mut [f32],
) -> LossSum {
    let mut sum = LossSum { loss_sum: 0.0, weight_sum: outputs.weight_sum };
    let all = outputs.row.iter().zip(outputs.target.iter()).zip(outputs.weight.iter());
    // Outputs without weight are left out, not multiplied by 0: they may hold NaN.
    for ((&row, &target), &weight) in all.filter(|&(_, &weight)| weight > 0.0) {
        let range = row as usize * width..(row as usize + 1) * width;
        let weight = f64::from(weight);
        let share = weight / outputs.weight_sum;
        let (prediction, unit) = (&prediction[range.clone()], &mut unit[range]);
        let value = match loss {
            Loss::Mse | Loss::Mae => regression(loss, prediction[0], target, share, &mut unit[0]),
            Loss::CrossEntropy => cross_entropy(prediction, target, share, unit),
        };
        sum.loss_sum += weight * value;
    }
    sum
}

fn regression(loss: Loss, prediction: f32, target: f32, share: f64, unit: &mut f32) -> f64 {
    let error = f64::from(prediction) - f64::from(target);
    let (value, slope) = match loss {
        Loss::Mae => (error.abs(), if error == 0.0 { 0.0 } else { error.signum() }),
        _ => (error * error, 2.0 * error),
    };
    *unit += (share * slope) as f32;
    value
}

/// Negative logarithm of the softmax of the target's class.
fn cross_entropy(logits: &[f32], target: f32, share: f64, unit: &mut [f32]) -> f64 {
    #[allow(clippy::cast_sign_loss, reason = "classes are checked when the batch is uploaded")]
    let class = target as usize;
    let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let exponential = |&z: &f32| (f64::from(z) - largest).exp();
    let normaliser: f64 = logits.iter().map(exponential).sum();
    for (k, (unit, z)) in unit.iter_mut().zip(logits).enumerate() {
        let hit = f64::from(u8::from(k == class));
        *unit += (share * (exponential(z) / normaliser - hit)) as f32;
    }
    normaliser.ln() + largest - f64::from(logits[class])
}
