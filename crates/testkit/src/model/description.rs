//! Options of a model.

use batchlab_core::Model;
use batchlab_core::model::Loss;

use super::trial::open;
use crate::check::Outcome;

pub(super) fn options(model: &dyn Model) -> Outcome {
    let text = toml::to_string(model)
        .map_err(|error| format!("the options cannot be written: {error}"))?;
    let again: Box<dyn Model> = toml::from_str(&text)
        .map_err(|error| format!("the options cannot be read again: {error}\n{text}"))?;
    let twice = toml::to_string(&*again).map_err(|error| error.to_string())?;
    if twice != text {
        return Err(format!("written and read again, the options changed\n{text}\n{twice}"));
    }
    if again.needs() != model.needs() {
        return Err(format!("it needs {:?}, read again {:?}", model.needs(), again.needs()));
    }
    let count = |model| open(model, 7, Loss::Mse).map(|trainer| trainer.n_parameter());
    let (one, other) = (count(model)?, count(&*again)?);
    if one == other {
        return Ok(());
    }
    Err(format!("{one} trainable numbers, but {other} with the options\n{text}"))
}
