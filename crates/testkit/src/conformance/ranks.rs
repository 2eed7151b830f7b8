//! Several ranks share the batches of one stream.

use std::collections::BTreeMap;

use batchlab_core::{BatchContext, BatchPlan, BatchStream, Purpose, View};
use batchlab_ranks::{Assignment, Cost, RankStream, Share};

use super::epochs::{epoch_length, whole_epochs};
use super::input::{few, for_all_with};
use super::resume::{resumes_where, stored};
use super::room::shape_fits;
use super::trial::{brief, same, take};
use super::{Make, Outcome, Trial};

const SEED: u64 = 7;
/// One that divides most epochs and one that does not.
const N_RANK: [usize; 2] = [2, 3];
const N_CASE: u32 = 8;

pub(super) fn ranks(make: Make<'_>) -> Outcome {
    for_all_with(make, few(), N_CASE, |trial, _| {
        // A batcher that fails on one rank is reported there.
        let Some(plans) = trial.repeatable(SEED) else { return Ok(()) };
        let fits = |plan| shape_fits(&trial.graphs(), plan).is_ok() && is_sound(trial, plan);
        let is_sound = whole_epochs(trial, &plans).is_ok()
            && plans.iter().all(fits)
            && resumes_where(trial, |_| true).is_ok()
            && resumes_behind(trial, &plans).is_ok();
        if !is_sound {
            return Ok(());
        }
        for n_rank in N_RANK {
            for assignment in Assignment::ALL {
                let share = Share { rank: 0, n_rank, assignment, cost: Cost::Edges };
                train(trial, &plans, share).map_err(|found| {
                    format!("on {n_rank} ranks with assignment \"{assignment}\": {found}")
                })?;
            }
        }
        Ok(())
    })
}

/// Whether a plan is one that ranks can share, according to other checks.
fn is_sound(trial: &Trial<'_>, plan: &BatchPlan) -> bool {
    let known: Vec<u32> = trial.graphs().iter().map(|graph| graph.id).collect();
    !plan.members.is_empty()
        && plan.output_weight.is_empty()
        && plan.members.iter().all(|id| known.contains(id))
}

/// Resumes at the first batch after later ones were planned, as ranks plan whole epochs.
fn resumes_behind(trial: &Trial<'_>, plans: &[BatchPlan]) -> Outcome {
    let first = plans.first().ok_or("there is no batch")?;
    let found = take(&mut *trial.open_at(SEED, &stored(first))?, plans.len() - 1)?;
    same(&plans[1..], &found, "resumed at the first batch")
}

fn train(trial: &Trial<'_>, plans: &[BatchPlan], share: Share) -> Outcome {
    // Too few batches for so many ranks are refused.
    let Ok(mut first) = open(trial, share) else { return Ok(()) };
    let mut of_first = Vec::new();
    while of_first.last().is_none_or(|plan: &BatchPlan| plan.cursor.epoch < 2) {
        of_first.extend(take(&mut first, 1)?);
        if of_first.len() > plans.len() + 1 {
            return Err(format!("{} steps for {} batches", of_first.len(), plans.len()));
        }
    }
    let n_step = of_first.len();
    let mut all = vec![of_first];
    for rank in 1..share.n_rank {
        let mut stream = open(trial, Share { rank, ..share })?;
        all.push(take(&mut stream, n_step)?);
    }
    agree(trial, plans, &all)?;
    once(plans, &all)?;
    let last = Share { rank: share.n_rank - 1, ..share };
    resumes(trial, &all[share.n_rank - 1], last)
}

fn open(trial: &Trial<'_>, share: Share) -> Result<RankStream, String> {
    let view = View::ManyGraphs(trial.graphs().into());
    let ctx = BatchContext::new(Purpose::Training, SEED);
    RankStream::open(trial.batcher, view, ctx, share).map_err(|error| error.to_string())
}

/// Equal positions, equal shapes, and no more room than the batches of the epoch take.
fn agree(trial: &Trial<'_>, plans: &[BatchPlan], all: &[Vec<BatchPlan>]) -> Outcome {
    let graphs = trial.graphs();
    let is_padded = plans.iter().any(|plan| plan.shape != plan.real);
    for (step, first) in all[0].iter().enumerate() {
        let of_epoch = plans.iter().filter(|plan| plan.cursor.epoch == first.cursor.epoch);
        let most = of_epoch.map(|plan| (plan.shape.n_node, plan.shape.n_edge));
        let most = most.reduce(|a, b| (a.0.max(b.0), a.1.max(b.1))).unwrap_or_default();
        for (rank, of_rank) in all.iter().enumerate() {
            let plan = &of_rank[step];
            let what = || format!("step {step}, rank {rank}: {}", brief(plan));
            if plan.cursor != first.cursor {
                return Err(format!("another position than that of rank 0 in {}", what()));
            }
            if is_padded && plan.shape != first.shape {
                return Err(format!("another shape than that of rank 0 in {}", what()));
            }
            if plan.shape.n_node > most.0 || plan.shape.n_edge > most.1 {
                return Err(format!("more than {most:?} nodes and edges in {}", what()));
            }
            if !plan.members.is_empty() {
                shape_fits(&graphs, plan)?;
            }
        }
    }
    Ok(())
}

/// The ranks together train on the graphs that one rank trains on.
fn once(plans: &[BatchPlan], all: &[Vec<BatchPlan>]) -> Outcome {
    let mut start = 0;
    while let Some(n_step) = epoch_length(&all[0][start..]) {
        let epoch = all[0][start].cursor.epoch;
        let mut balance: BTreeMap<u32, i64> = BTreeMap::new();
        let steps = all.iter().flat_map(|of_rank| &of_rank[start..start + n_step]);
        for id in steps.flat_map(|plan| &plan.members) {
            *balance.entry(*id).or_default() += 1;
        }
        for plan in plans.iter().filter(|plan| plan.cursor.epoch == epoch) {
            for id in &plan.members {
                *balance.entry(*id).or_default() -= 1;
            }
        }
        if let Some((id, times)) = balance.into_iter().find(|&(_, times)| times != 0) {
            return Err(format!("graph {id} occurs {times:+} times in epoch {epoch}"));
        }
        start += n_step;
    }
    Ok(())
}

fn resumes(trial: &Trial<'_>, plans: &[BatchPlan], share: Share) -> Outcome {
    for n_done in 1..plans.len() {
        let mut stream = open(trial, share)?;
        let cursor = stored(&plans[n_done - 1]);
        stream.seek(&cursor).map_err(|error| format!("seeking {cursor:?} failed: {error}"))?;
        let found = take(&mut stream, plans.len() - n_done)?;
        same(&plans[n_done..], &found, &format!("resumed after {n_done} steps"))?;
    }
    Ok(())
}
