//! Gradients that ranks exchange.

use batchlab_core::model::{Mode, NamedTensor, Slot};
use batchlab_core::{Model, ModelError, PaddedBatch, Trainer};

use super::Trial;
use super::fixture::{NONE, ordinary};
use super::trial::{LEARNING_RATE, differentiate, near_tensors_above, same_tensors, text};
use crate::check::Outcome;

/// Tolerance relative to the largest gradient of a tensor: sums in single precision, in another
/// order.
const SUMS: f32 = 1e-4;
/// Tensors whose gradients are all smaller than this share of the largest of all are compared with
/// that instead.
const FLOOR: f32 = 1e-3;

pub(super) fn exchange(model: &dyn Model) -> Outcome {
    let trial = Trial::new(model)?;
    let graphs = trial.graphs(&ordinary());
    let members: Vec<u32> = (0..graphs.n_member() as u32).collect();
    let (one, other) = members.split_at(members.len() / 3);
    let [all, one, other] =
        [&members[..], one, other].map(|members| trial.batch(&graphs, members, NONE));

    let mut alone = trial.ready()?;
    let (loss, expected) = differentiate(&mut *alone, &all.batch())?;
    alone.update(LEARNING_RATE).map_err(text)?;

    let mut rank = trial.ready()?;
    // A rank without graphs has no gradients of its own.
    match rank.replace_gradients(&flat(&expected)) {
        Ok(()) => {}
        // An engine may say that it cannot.
        Err(ModelError::Options(_)) => return Ok(()),
        Err(error) => return Err(format!("gradients cannot be replaced: {error}")),
    }
    same_tensors(&expected, &rank.gradients().map_err(text)?, "when replaced by themselves")?;
    rank.update(LEARNING_RATE).map_err(text)?;
    let [alone, updated] = [alone.state(), rank.state()].map(|state| state.map_err(text));
    same_tensors(&alone?.tensors, &updated?.tensors, "when updated with replaced gradients")?;
    if rank.replace_gradients(&flat(&expected)[1..]).is_ok() {
        return Err("a gradient too few is not an error".into());
    }

    let mut rank = trial.ready()?;
    let mut sums = sums(&mut *rank, &one.batch())?;
    for (sum, more) in sums.iter_mut().zip(self::sums(&mut *rank, &other.batch())?) {
        *sum = (*sum + more) / loss.weight_sum;
    }
    let means: Vec<f32> = sums.into_iter().map(|mean| mean as f32).collect();
    rank.replace_gradients(&means).map_err(text)?;
    let found = rank.gradients().map_err(text)?;
    let overall = flat(&expected).into_iter().map(f32::abs).fold(0.0, f32::max);
    near_tensors_above(FLOOR * overall, &expected, &found, SUMS, "as a sum over two ranks")
}

fn flat(gradients: &[NamedTensor]) -> Vec<f32> {
    gradients.iter().flat_map(|gradient| gradient.data.iter().copied()).collect()
}

/// The gradients of a batch as sums over its outputs; they are not used for an update.
fn sums(trainer: &mut dyn Trainer, batch: &PaddedBatch<'_>) -> Result<Vec<f64>, String> {
    trainer.upload(Slot::A, batch).map_err(text)?;
    let loss = trainer.forward(Slot::A, Mode::Training, 0).map_err(text)?;
    trainer.backward(loss.weight_sum).map_err(text)?;
    let sums = flat(&trainer.gradients().map_err(text)?).into_iter().map(f64::from).collect();
    // Otherwise the next ones would be added.
    trainer.update(0.0).map_err(text)?;
    Ok(sums)
}
