//! Options of a model.

use batchlab_core::Model;
use batchlab_core::model::Loss;

use super::trial::open;
use crate::check::Outcome;

pub(super) fn options(model: &dyn Model) -> Outcome {
    let text = toml::to_string(model)
        .map_err(|error| format!("the options cannot be serialised: {error}"))?;
    let again: Box<dyn Model> = toml::from_str(&text)
        .map_err(|error| format!("the options cannot be read back: {error}\n{text}"))?;
    let twice = toml::to_string(&*again).map_err(|error| error.to_string())?;
    if twice != text {
        return Err(format!("the options changed in a TOML round trip\n{text}\n{twice}"));
    }
    if again.needs() != model.needs() {
        return Err(format!(
            "it needs {:?}, but {:?} after a TOML round trip",
            model.needs(),
            again.needs()
        ));
    }
    let count = |model| open(model, 7, Loss::Mse).map(|trainer| trainer.n_parameter());
    let (one, other) = (count(model)?, count(&*again)?);
    if one == other {
        return Ok(());
    }
    Err(format!("{one} trainable parameters, but {other} after a TOML round trip\n{text}"))
}
