//! Resuming after k batches gives the same plans as an uninterrupted stream.

use batchlab_core::{BatchPlan, Batcher, Cursor, Purpose};

use super::input::{few, for_all, for_all_with, ordinary};
use super::trial::{same, take};
use super::{Make, Outcome, Trial};

/// All padding rules, because some learn shapes from a sample by a grouping that is then reused.
const PADDINGS: [&str; 6] = [
    r#""none""#,
    r#""constant""#,
    r#"{ "multiple": 8 }"#,
    r#"{ "power": 2 }"#,
    r#"{ "shapes": 3 }"#,
    r#"{ "shapes_cost": 50 }"#,
];

/// Inputs for each of these, with few graphs, because every opened stream learns its shapes again.
/// The batcher's own padding is tested with as many and as large inputs as in other checks.
const N_CASE: u32 = 6;

pub(super) fn resume(make: Make<'_>) -> Outcome {
    let resumes =
        |trial: &Trial<'_>| resumes_where(trial, |cursor| cursor.carried.is_empty()).map(drop);
    for_all(make, ordinary(), resumes)?;
    PADDINGS.iter().try_for_each(|padding| {
        let padded = |batch_size| with_padding(make(batch_size), padding);
        for_all_with(&padded, few(), N_CASE, |trial, _| resumes(trial))
    })
}

/// The batcher with another padding; unchanged if it has no such option, or does not accept this
/// padding.
fn with_padding(batcher: Box<dyn Batcher>, padding: &str) -> Box<dyn Batcher> {
    let other = || {
        let mut table = serde_json::to_value(&batcher).ok()?;
        *table.get_mut("padding")? = serde_json::from_str(padding).ok()?;
        serde_json::from_value(table).ok()
    };
    other().unwrap_or(batcher)
}

pub(super) fn carried(make: Make<'_>) -> Outcome {
    for_all_with(make, ordinary(), 32, |trial, _| {
        // Only a batcher that resumes elsewhere can be said to have lost carried graphs.
        match resumes_where(trial, |cursor| cursor.carried.is_empty()) {
            Ok(1..) => resumes_where(trial, |cursor| !cursor.carried.is_empty()).map(drop),
            Ok(0) | Err(_) => Ok(()),
        }
    })
}

/// Stops after every batch whose cursor is chosen, resumes, stops at a later chosen one if there is
/// one, and resumes again. Returns the number of first stops.
pub(crate) fn resumes_where(
    trial: &Trial<'_>,
    chosen: impl Fn(&Cursor) -> bool,
) -> Result<usize, String> {
    let Some(plans) = trial.repeatable(7) else { return Ok(0) };
    let stops: Vec<usize> =
        (1..plans.len()).filter(|&n_done| chosen(&plans[n_done - 1].cursor)).collect();
    for (index, &first) in stops.iter().enumerate() {
        let later = &stops[index + 1..];
        let second = later.get(later.len() / 2).copied();
        // A new stream for every part: state that a longer stream leaves elsewhere must have no
        // influence.
        let mut found: Vec<BatchPlan> = Vec::new();
        for end in [Some(first), second, Some(plans.len())].into_iter().flatten() {
            let mut stream = match found.last() {
                Some(last) => trial.open_at(7, &stored(last))?,
                None => trial.open(Purpose::Training, 7).map_err(|error| error.to_string())?,
            };
            found.extend(take(&mut *stream, end - found.len())?);
        }
        let again = second.map_or_else(String::new, |n_done| format!(" and after {n_done}"));
        let when = format!("stopped after {first} batches{again}, and resumed");
        same(&plans, &found, &when)?;
    }
    for &first in &stops {
        // A used stream must reset its state.
        let mut used = trial.open(Purpose::Training, 7).map_err(|error| error.to_string())?;
        take(&mut *used, first)?;
        let cursor = stored(&plans[first - 1]);
        used.seek(&cursor).map_err(|error| format!("seeking {cursor:?} failed: {error}"))?;
        let found = take(&mut *used, plans.len() - first)?;
        let when = format!("a used stream that seeks to the end of batch {first}");
        same(&plans[first..], &found, &when)?;
    }
    Ok(stops.len())
}

/// The cursor as restored from a checkpoint.
pub(super) fn stored(plan: &BatchPlan) -> Cursor {
    let text = serde_json::to_string(&plan.cursor).expect("a cursor is plain numbers");
    serde_json::from_str(&text).expect("a cursor can be read again")
}
