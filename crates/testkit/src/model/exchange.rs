//! Gradients that ranks exchange.

use batchlab_core::model::NamedTensor;
use batchlab_core::{Model, ModelError};

use super::Trial;
use super::fixture::{NONE, ordinary};
use super::trial::{LEARNING_RATE, differentiate, same_tensors, text};
use crate::check::Outcome;

pub(super) fn exchange(model: &dyn Model) -> Outcome {
    let trial = Trial::new(model)?;
    let graphs = trial.graphs(&ordinary());
    let members: Vec<u32> = (0..graphs.n_member() as u32).collect();
    let own = &members[..members.len() / 3];
    let [all, own] = [&members[..], own].map(|members| trial.batch(&graphs, members, NONE));

    let mut alone = trial.ready()?;
    let (_, expected) = differentiate(&mut *alone, &all.batch())?;
    alone.update(LEARNING_RATE).map_err(text)?;
    let alone = alone.state().map_err(text)?;

    // A rank without graphs has no gradients of its own.
    for has_own in [false, true] {
        let mut rank = trial.ready()?;
        if has_own {
            differentiate(&mut *rank, &own.batch())?;
        }
        match rank.replace_gradients(&flat(&expected)) {
            Ok(()) => {}
            // An engine may say that it cannot.
            Err(ModelError::Options(_)) => return Ok(()),
            Err(error) => return Err(format!("gradients cannot be replaced: {error}")),
        }
        same_tensors(&expected, &rank.gradients().map_err(text)?, "after they were replaced")?;
        rank.update(LEARNING_RATE).map_err(text)?;
        let updated = rank.state().map_err(text)?;
        same_tensors(&alone.tensors, &updated.tensors, "when updated with replaced gradients")?;
        if rank.replace_gradients(&flat(&expected)[1..]).is_ok() {
            return Err("a gradient too few is not an error".into());
        }
    }
    Ok(())
}

fn flat(gradients: &[NamedTensor]) -> Vec<f32> {
    gradients.iter().flat_map(|gradient| gradient.data.iter().copied()).collect()
}
