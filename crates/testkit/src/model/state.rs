//! Saving and restoring.

use batchlab_core::Model;
use batchlab_core::model::{Loss, NamedTensor};

use super::Trial;
use super::fixture::SOME;
use super::trial::{PARAMETER, open, same_loss, same_tensors, step, text};
use crate::check::Outcome;

pub(super) fn resume(model: &dyn Model) -> Outcome {
    let trial = Trial::new(model)?;
    let buffer = trial.ordinary(SOME);
    let mut first = trial.ready()?;
    for _ in 0..4 {
        step(&mut *first, &buffer.batch())?;
    }
    let state = first.state().map_err(text)?;
    // Another seed and an extra step, which must leave no trace.
    let mut second = open(model, 8, Loss::Mse)?;
    step(&mut *second, &buffer.batch())?;
    second.restore(&state).map_err(text)?;
    for n in 1..=3 {
        let losses = [step(&mut *first, &buffer.batch())?, step(&mut *second, &buffer.batch())?];
        same_loss(losses[0], losses[1], &format!("in step {n} after a state was restored"))?;
    }
    let [first, second] = [first.state().map_err(text)?, second.state().map_err(text)?];
    same_tensors(&first.tensors, &second.tensors, "three steps after a state was restored")?;
    if first.n_update == second.n_update {
        return Ok(());
    }
    Err(format!("{} updates, but {} after a state was restored", first.n_update, second.n_update))
}

/// A change to the tensors of a state.
type Change<'a> = &'a dyn Fn(&mut Vec<NamedTensor>);

pub(super) fn unfit(model: &dyn Model) -> Outcome {
    let trial = Trial::new(model)?;
    let mut trainer = trial.ready()?;
    step(&mut *trainer, &trial.ordinary(SOME).batch())?;
    let before = trainer.state().map_err(text)?;
    let last = before.tensors.iter().rposition(|tensor| tensor.name.starts_with(PARAMETER));
    let last = last.ok_or("its state holds no parameter")?;
    let name = before.tensors[last].name.clone();
    let changes: [(&str, Change<'_>); 5] = [
        ("without a tensor", &|tensors| drop(tensors.remove(last))),
        ("with a duplicate tensor", &|tensors| tensors.push(tensors[last].clone())),
        ("with a tensor of another shape", &|tensors| tensors[last].shape.insert(0, 1)),
        ("with too few values in a tensor", &|tensors| {
            tensors[last].data.pop();
        }),
        ("with an unknown tensor", &|tensors| {
            tensors.push(NamedTensor { name: format!("{name}.more"), ..tensors[last].clone() });
        }),
    ];
    for (what, change) in changes {
        let mut state = before.clone();
        state.n_update += 70;
        state.tensors.iter_mut().for_each(|tensor| tensor.data.fill(9.0));
        change(&mut state.tensors);
        match trainer.restore(&state) {
            Ok(()) => return Err(format!("a state {what} is accepted")),
            Err(error) if !error.to_string().contains(&name) => {
                return Err(format!("the error for a state {what} does not name {name}: {error}"));
            }
            Err(_) => {}
        }
        let after = trainer.state().map_err(text)?;
        let when = format!("after a state {what} was rejected");
        same_tensors(&before.tensors, &after.tensors, &when)?;
        if after.n_update != before.n_update {
            return Err(format!("{} updates became {} {when}", before.n_update, after.n_update));
        }
    }
    Ok(())
}
