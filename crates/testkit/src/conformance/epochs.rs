//! Every graph occurs once per epoch.

use std::collections::BTreeMap;

use batchlab_core::{BatchContext, BatchPlan, Batcher, Purpose};

use super::input::{for_all, ordinary};
use super::trial::same;
use super::{Make, Outcome, Trial};

pub(super) fn goes_on(make: Make<'_>) -> Outcome {
    for_all(make, ordinary(), |trial| trial.train_or_stop(7).map(drop))
}

pub(super) fn exactly_once(make: Make<'_>) -> Outcome {
    for_all(make, ordinary(), |trial| match trial.train(7) {
        Some(plans) => whole_epochs(trial, &plans),
        None => Ok(()),
    })
}

pub(super) fn evaluation(make: Make<'_>) -> Outcome {
    for_all(make, ordinary(), |trial| whole_evaluation(trial, &trial.evaluate(7)?))
}

pub(super) fn evaluation_order(make: Make<'_>) -> Outcome {
    for_all(make, ordinary(), |trial| {
        let (Ok(plans), Ok(again)) = (trial.evaluate(7), trial.evaluate(8)) else {
            return Ok(());
        };
        same(&plans, &again, "an evaluation with another seed")?;
        let named = named(&plans);
        if named.is_sorted() || looks_ahead(trial.batcher) {
            return Ok(());
        }
        Err(format!("training keeps the order of the graphs, but an evaluation has {named:?}"))
    })
}

/// Whether a batcher changes the order of the graphs it receives. Graphs of many sizes and several
/// seeds exclude coincidences.
fn looks_ahead(batcher: &dyn Batcher) -> bool {
    let sizes: Vec<[u32; 2]> = (0..40).map(|i| [7 * i % 29 + 1, 11 * i % 59 + 1]).collect();
    let trial = Trial::new(batcher, &sizes);
    (1..4).any(|seed| {
        let mut plans = trial.train(seed).unwrap_or_default();
        plans.retain(|plan| plan.cursor.epoch == 0);
        let order = BatchContext::new(Purpose::Training, seed).permutation(0, sizes.len());
        !order.starts_with(&named(&plans))
    })
}

/// Concatenated members of all batches.
fn named(plans: &[BatchPlan]) -> Vec<u32> {
    plans.iter().flat_map(|plan| plan.members.iter().copied()).collect()
}

/// Conservation law of epochs. Graphs that are carried into an epoch were drawn before it, so
/// between the starts of two epochs that have batches
///
/// delivered + carried out = carried in + every graph once for each epoch between,
///
/// where each term is a count per graph. It holds for streams that carry incomplete groups over and
/// for those that deliver them (nothing carried).
pub(crate) fn whole_epochs(trial: &Trial<'_>, plans: &[BatchPlan]) -> Outcome {
    let graphs = trial.graphs();
    let mut start = 0;
    while let Some(length) = epoch_length(&plans[start..]) {
        let (now, next) = (&plans[start].cursor, &plans[start + length].cursor);
        if next.epoch < now.epoch {
            return Err(format!("epoch {} follows epoch {}", next.epoch, now.epoch));
        }
        let mut balance: BTreeMap<u32, i64> = BTreeMap::new();
        let mut add = |id: u32, times: i64| *balance.entry(id).or_default() += times;
        for id in plans[start..start + length].iter().flat_map(|plan| &plan.members) {
            add(*id, 1);
        }
        for &id in &next.carried {
            add(id, 1);
        }
        for &id in &now.carried {
            add(id, -1);
        }
        for graph in &graphs {
            add(graph.id, -((next.epoch - now.epoch) as i64));
        }
        if let Some((id, times)) = balance.into_iter().find(|&(_, times)| times != 0) {
            let much = if times > 0 { "too many" } else { "too few" };
            return Err(format!(
                "graph {id} occurs {} time(s) {much} in epoch {}\n\
                 carried in {:?}, carried out {:?}, batches {:?}",
                times.abs(),
                now.epoch,
                now.carried,
                next.carried,
                plans[start..start + length].iter().map(|plan| &plan.members).collect::<Vec<_>>()
            ));
        }
        start += length;
    }
    Ok(())
}

/// Number of batches in the first epoch of these plans; `None` if its end is not included.
pub(super) fn epoch_length(plans: &[BatchPlan]) -> Option<usize> {
    let epoch = plans.first()?.cursor.epoch;
    plans.iter().position(|plan| plan.cursor.epoch != epoch)
}

pub(crate) fn whole_evaluation(trial: &Trial<'_>, plans: &[BatchPlan]) -> Outcome {
    let mut named = named(plans);
    named.sort_unstable();
    let mut expected: Vec<u32> = trial.graphs().iter().map(|graph| graph.id).collect();
    expected.sort_unstable();
    if named == expected {
        return Ok(());
    }
    Err(format!("an evaluation of graphs {expected:?} contains {named:?} (both sorted)"))
}
