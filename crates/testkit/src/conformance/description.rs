//! Label, metrics and options of a batcher.

use batchlab_core::{Batcher, Purpose};

use super::input::{for_all, for_all_with, ordinary};
use super::trial::{same, take};
use super::{Make, Outcome, Trial};

pub(super) fn metrics(make: Make<'_>) -> Outcome {
    for_all(make, ordinary(), |trial| {
        let label = trial.batcher.label();
        if label.trim().is_empty() || label.trim() != label {
            return Err(format!("the label {label:?} is empty or has surrounding spaces"));
        }
        let Ok(mut stream) = trial.open(Purpose::Training, 7) else { return Ok(()) };
        let metrics = stream.metrics();
        for (index, (name, value)) in metrics.iter().enumerate() {
            if !value.is_finite() {
                return Err(format!("the metric {name} is {value}"));
            }
            if metrics[..index].iter().any(|(earlier, _)| earlier == name) {
                return Err(format!("there are two metrics {name}"));
            }
            let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            if name.is_empty() || !name.chars().all(is_name) {
                return Err(format!("the metric {name:?} is not a column name; use snake_case"));
            }
        }
        let _ = take(&mut *stream, 3);
        let later = stream.metrics();
        if later != metrics {
            return Err(format!(
                "metrics change while the stream runs: {metrics:?}, then {later:?}"
            ));
        }
        let again = trial.open(Purpose::Training, 7).map(|stream| stream.metrics());
        if again.as_ref().is_ok_and(|again| *again != metrics) {
            return Err(format!("metrics change when reopened: {metrics:?}, then {again:?}"));
        }
        if trial.batcher.label() != label {
            return Err(format!("the label {label:?} became {:?}", trial.batcher.label()));
        }
        Ok(())
    })
}

pub(super) fn round_trip(make: Make<'_>) -> Outcome {
    for_all_with(make, ordinary(), 12, |trial, _| {
        let text = toml::to_string(trial.batcher)
            .map_err(|error| format!("the options cannot be serialised: {error}"))?;
        let again: Box<dyn Batcher> = toml::from_str(&text)
            .map_err(|error| format!("the options cannot be read back: {error}\n{text}"))?;
        let twice = toml::to_string(&*again).map_err(|error| error.to_string())?;
        if twice != text {
            return Err(format!("the options changed in a TOML round trip\n{text}\n{twice}"));
        }
        let about =
            |batcher: &dyn Batcher| (batcher.label(), batcher.level(), batcher.batch_size());
        if about(&*again) != about(trial.batcher) {
            return Err(format!(
                "label, level or batch size changed in a TOML round trip: {:?}, then {:?}",
                about(trial.batcher),
                about(&*again)
            ));
        }
        let Some(plans) = trial.repeatable(7) else { return Ok(()) };
        let found = Trial { batcher: &*again, ..*trial }.train(7).unwrap_or_default();
        same(&plans, &found, "with options after a TOML round trip")
    })
}
