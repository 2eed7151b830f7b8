//! Losses over outputs, in double precision.

use batchlab_core::model::Loss;
use dfdx::prelude::*;
use rayon::prelude::*;

use super::{Buffer, Dense, Result, slice, sums};
use crate::ops::LossKernels;
use crate::{DeviceMemory, Outputs};

impl LossKernels for Cpu {
    fn loss(
        &self,
        loss: Loss,
        prediction: &Dense,
        outputs: &Outputs<Self>,
    ) -> Result<(f64, Buffer)> {
        let (width, prediction) = (prediction.shape().1, slice(prediction));
        let mut unit = self.zeros_buffer(prediction.len())?;
        let sum = evaluate(loss, prediction, width, outputs, &mut unit);
        Ok((sum, unit))
    }

    fn fetch_loss(&self, sum: &f64, fetched: &mut f64) -> Result<()> {
        *fetched = *sum;
        Ok(())
    }

    fn read_loss(&self, fetched: &f64) -> Result<f64> {
        Ok(*fetched)
    }

    fn accumulate_scaled(&self, dx: &mut Buffer, scale: &Buffer, unit: &Buffer) -> Result<()> {
        let scale = scale[0];
        for (dx, unit) in sums(dx, unit.len()).iter_mut().zip(unit.iter()) {
            *dx += scale * unit;
        }
        Ok(())
    }
}

/// Outputs per task.
const TASK: usize = 512;

/// The sum of the losses; writes the gradient of its mean to `unit` (`[n_row, width]`, zeros).
fn evaluate(
    loss: Loss,
    prediction: &[f32],
    width: usize,
    outputs: &Outputs<Cpu>,
    unit: &mut [f32],
) -> f64 {
    let weight_sum = outputs.weight_sum;
    // Outputs with weight 0 are skipped, not multiplied by 0: they may contain NaN.
    let all = outputs.row.iter().zip(outputs.target.iter()).zip(outputs.weight.iter());
    let counted = all.filter(|&(_, &weight)| weight > 0.0);
    let counted: Vec<Output> =
        counted.map(|((&row, &target), &weight)| Output { row, target, weight }).collect();
    let of_task = |outputs: &[Output], first: u32, unit: &mut [f32]| {
        let mut sum = 0.0;
        for &Output { row, target, weight } in outputs {
            let prediction = &prediction[row as usize * width..][..width];
            let unit = &mut unit[(row - first) as usize * width..][..width];
            let weight = f64::from(weight);
            let share = weight / weight_sum;
            let value = match loss {
                Loss::Mse | Loss::Mae => {
                    regression(loss, prediction[0], target, share, &mut unit[0])
                }
                Loss::CrossEntropy => cross_entropy(prediction, target, share, unit),
            };
            sum += weight * value;
        }
        sum
    };
    // Each task has its own rows if they are ascending, as for nodes and graphs.
    let ascend = counted.is_sorted_by(|a, b| a.row < b.row);
    if counted.len() <= TASK || !ascend {
        return counted.chunks(TASK).map(|outputs| of_task(outputs, 0, unit)).sum();
    }
    let mut tasks = Vec::with_capacity(counted.len().div_ceil(TASK));
    let (mut unit, mut first) = (unit, 0);
    for outputs in counted.chunks(TASK) {
        let end = outputs[outputs.len() - 1].row + 1;
        let (own, rest) = std::mem::take(&mut unit).split_at_mut((end - first) as usize * width);
        tasks.push((outputs, first, own));
        (unit, first) = (rest, end);
    }
    let sums: Vec<f64> = tasks
        .into_par_iter()
        .with_max_len(1)
        .map(|(outputs, first, unit)| of_task(outputs, first, unit))
        .collect();
    sums.into_iter().sum()
}

#[derive(Clone, Copy)]
struct Output {
    row: u32,
    target: f32,
    weight: f32,
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

/// Negative log softmax of the target class.
fn cross_entropy(logits: &[f32], target: f32, share: f64, unit: &mut [f32]) -> f64 {
    #[allow(clippy::cast_sign_loss, reason = "classes are checked when the batch is uploaded")]
    let class = target as usize;
    let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let exponential: Vec<f64> = logits.iter().map(|&z| (f64::from(z) - largest).exp()).collect();
    let normaliser: f64 = exponential.iter().sum();
    for (k, (unit, exponential)) in unit.iter_mut().zip(&exponential).enumerate() {
        let hit = f64::from(u8::from(k == class));
        *unit += (share * (exponential / normaliser - hit)) as f32;
    }
    normaliser.ln() + largest - f64::from(logits[class])
}
