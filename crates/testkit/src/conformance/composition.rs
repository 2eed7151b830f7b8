//! Whether the same graphs share a batch in every epoch.

use std::collections::{BTreeMap, BTreeSet};

use batchlab_core::{BatchPlan, Cursor};

use super::epochs::epoch_length;
use super::input::{for_all, three_sizes};
use super::trial::brief;
use super::{Make, Outcome};

/// Minimum number of batches per epoch, so that compositions can differ.
const MIN_BATCH: usize = 4;

pub(super) fn composition(make: Make<'_>) -> Outcome {
    for_all(make, three_sizes(), |trial| {
        let Some(plans) = trial.train(7) else { return Ok(()) };
        let epochs = whole_epochs(&plans);
        let [first, second, ..] = epochs[..] else { return Ok(()) };
        if first.len() < MIN_BATCH || second.len() < MIN_BATCH {
            return Ok(());
        }
        if first.iter().all(|plan| plan.cache_key.is_some()) {
            return fixed(&epochs);
        }
        if plans.iter().any(|plan| plan.cache_key.is_some()) {
            return Err(
                "some batches have a cache key, as fixed batches do, and some have none".into()
            );
        }
        let (first, second) = (batches(first), batches(second));
        let common = first.intersection(&second).count();
        // By chance, a batch of three or more graphs out of 24 is repeated far more rarely.
        if 2 * common > first.len() {
            return Err(format!(
                "{common} of the first epoch's {} batches recur in the second without a cache key; \
                 recompose batches, or give fixed ones cache keys",
                first.len()
            ));
        }
        Ok(())
    })
}

/// Batches must be the same in every epoch, but not their order.
fn fixed(epochs: &[&[BatchPlan]]) -> Outcome {
    let cache_keys = |epoch: &[BatchPlan]| -> Vec<Option<u64>> {
        epoch.iter().map(|plan| plan.cache_key).collect()
    };
    let sorted = |epoch: &[BatchPlan]| {
        let mut cache_keys = cache_keys(epoch);
        cache_keys.sort_unstable();
        cache_keys
    };
    if epochs.iter().any(|epoch| sorted(epoch) != sorted(epochs[0])) {
        return Err("batches have cache keys, but not the same ones in every epoch".into());
    }
    if epochs.iter().any(|epoch| batches(epoch) != batches(epochs[0])) {
        return Err("batches have cache keys, but their members change from epoch to epoch".into());
    }
    if epochs[1..].iter().all(|epoch| cache_keys(epoch) == cache_keys(epochs[0])) {
        return Err("fixed batches have the same order in every epoch".into());
    }
    Ok(())
}

pub(super) fn cache_keys(make: Make<'_>) -> Outcome {
    for_all(make, three_sizes(), |trial| {
        let mut known: BTreeMap<u64, BatchPlan> = BTreeMap::new();
        for mut plan in trial.train(7).unwrap_or_default() {
            let Some(cache_key) = plan.cache_key else { continue };
            plan.cursor = Cursor::default();
            let first = known.entry(cache_key).or_insert_with(|| plan.clone());
            if *first != plan {
                return Err(format!(
                    "different batches have cache key {cache_key}, so the first would replace the second\n\
                     first  {}\nsecond {}",
                    brief(first),
                    brief(&plan)
                ));
            }
        }
        Ok(())
    })
}

fn whole_epochs(plans: &[BatchPlan]) -> Vec<&[BatchPlan]> {
    let mut epochs = Vec::new();
    let mut rest = plans;
    while let Some(length) = epoch_length(rest) {
        let (epoch, later) = rest.split_at(length);
        epochs.push(epoch);
        rest = later;
    }
    epochs
}

/// Members of each batch, sorted.
fn batches(epoch: &[BatchPlan]) -> BTreeSet<Vec<u32>> {
    let sorted = |plan: &BatchPlan| {
        let mut members = plan.members.clone();
        members.sort_unstable();
        members
    };
    epoch.iter().map(sorted).collect()
}
