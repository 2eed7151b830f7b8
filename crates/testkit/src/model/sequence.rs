//! Sequences of calls: slots, evaluations between steps, calls in the wrong order.

use batchlab_core::model::{Mode, Slot};
use batchlab_core::{Model, ModelError};

use super::Trial;
use super::fixture::{NONE, SOME, ordinary};
use super::trial::{LEARNING_RATE, differentiate, near, predict, predict_slot, same_tensors, text};
use crate::check::Outcome;

pub(super) fn slots(model: &dyn Model) -> Outcome {
    let trial = Trial::new(model)?;
    let graphs = trial.graphs(&ordinary());
    let [one, other] = [&[0, 1, 2][..], &[3, 4]].map(|members| trial.batch(&graphs, members, SOME));
    let (_, expected_gradients) = differentiate(&mut *trial.ready()?, &one.batch())?;
    let mut trainer = trial.ready()?;
    let expected = [predict(&mut *trainer, &one.batch())?, predict(&mut *trainer, &other.batch())?];

    trainer.upload(Slot::A, &one.batch()).map_err(text)?;
    trainer.forward(Slot::A, Mode::Training, 0).map_err(text)?;
    // The next batch arrives before the gradients of this one are computed.
    trainer.upload(Slot::B, &other.batch()).map_err(text)?;
    trainer.backward(1.0).map_err(text)?;
    let gradients = trainer.gradients().map_err(text)?;
    for (slot, expected) in [Slot::A, Slot::B].into_iter().zip(&expected) {
        let found = predict_slot(&mut *trainer, slot)?;
        near(expected, &found, 0.0, &format!("when both slots are full, in slot {slot:?}"))?;
    }
    let when = "when the next batch was uploaded into the other slot before backward";
    same_tensors(&expected_gradients, &gradients, when)
}

pub(super) fn evaluation(model: &dyn Model) -> Outcome {
    let trial = Trial::new(model)?;
    let buffer = trial.ordinary(NONE);
    let (_, expected) = differentiate(&mut *trial.ready()?, &buffer.batch())?;
    let mut trainer = trial.ready()?;
    trainer.upload(Slot::A, &buffer.batch()).map_err(text)?;
    let trained = trainer.forward(Slot::A, Mode::Training, 0).map_err(text)?;
    let evaluated = trainer.forward(Slot::A, Mode::Evaluation, 0).map_err(text)?;
    predict_slot(&mut *trainer, Slot::A)?;
    trainer
        .backward(1.0)
        .map_err(|error| format!("after an evaluation, backward fails: {error}"))?;
    let gradients = trainer.gradients().map_err(text)?;
    same_tensors(&expected, &gradients, "when the batch was evaluated before backward")?;
    if evaluated.weight_sum.to_bits() != trained.weight_sum.to_bits() {
        let (a, b) = (trained.weight_sum, evaluated.weight_sum);
        return Err(format!("a batch of weight {a} has weight {b} in an evaluation"));
    }
    Ok(())
}

pub(super) fn steps(model: &dyn Model) -> Outcome {
    let trial = Trial::new(model)?;
    let buffer = trial.ordinary(NONE);
    let mut trainer = trial.ready()?;
    let refused = |result: Result<(), ModelError>, what: &str| match result {
        Err(_) => Ok(()),
        Ok(()) => Err(format!("{what} is not an error")),
    };
    refused(trainer.forward(Slot::A, Mode::Training, 0).map(drop), "forward of an empty slot")?;
    refused(trainer.predict(Slot::B, &mut Vec::new()), "predict of an empty slot")?;
    refused(trainer.backward(1.0), "backward without forward")?;
    refused(trainer.update(LEARNING_RATE), "update without backward")?;
    trainer.upload(Slot::A, &buffer.batch()).map_err(text)?;
    trainer.forward(Slot::A, Mode::Evaluation, 0).map_err(text)?;
    refused(trainer.backward(1.0), "backward after only an evaluation")?;
    trainer.forward(Slot::A, Mode::Training, 0).map_err(text)?;
    trainer.backward(1.0).map_err(text)?;
    refused(trainer.backward(1.0), "backward a second time")?;
    trainer.update(LEARNING_RATE).map_err(text)?;
    refused(trainer.update(LEARNING_RATE), "update a second time with the same gradients")
}
