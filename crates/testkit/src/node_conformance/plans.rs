//! Plans of a batcher on one graph, and their problems.

use std::collections::{BTreeMap, BTreeSet};

use batchlab_core::plan::EdgeSelection;
use batchlab_core::{
    BatchBuffer, BatchContext, BatchFields, BatchPlan, BatchStream, Batcher, BatcherError, Cursor,
    Level, Purpose, collate,
};

use crate::check::Outcome;
use crate::nodes::Case;

/// Number of training epochs to check.
const N_EPOCH: u64 = 3;
/// Maximum number of batches; no batcher known to the kit makes more.
const MOST: usize = 5000;

pub(super) fn open(
    batcher: &dyn Batcher,
    case: &Case,
    purpose: Purpose,
) -> Result<Box<dyn BatchStream>, BatcherError> {
    batcher.open(case.view(), BatchContext::new(purpose, 7))
}

fn next(stream: &mut dyn BatchStream) -> Result<Option<BatchPlan>, String> {
    let mut plan = BatchPlan::default();
    match stream.next(&mut plan) {
        Ok(true) => Ok(Some(plan)),
        Ok(false) => Ok(None),
        Err(error) => Err(format!("the stream failed: {error}")),
    }
}

pub(super) fn train(batcher: &dyn Batcher, case: &Case) -> Result<Vec<BatchPlan>, String> {
    let mut stream = open(batcher, case, Purpose::Training)
        .map_err(|error| format!("it does not open: {error}"))?;
    let mut plans = Vec::new();
    while plans.len() < MOST {
        let plan = next(&mut *stream)?.ok_or("training ended, but must not")?;
        if plan.cursor.epoch == N_EPOCH {
            break;
        }
        plans.push(plan);
    }
    Ok(plans)
}

pub(super) fn evaluate(batcher: &dyn Batcher, case: &Case) -> Result<Vec<BatchPlan>, String> {
    let mut stream = open(batcher, case, Purpose::Evaluation)
        .map_err(|error| format!("it does not open for evaluation: {error}"))?;
    let mut plans = Vec::new();
    while let Some(plan) = next(&mut *stream)? {
        plans.push(plan);
        if plans.len() > case.output.len() {
            return Err("an evaluation has more batches than outputs".into());
        }
    }
    Ok(plans)
}

/// Number of times that each node is an output.
pub(super) fn times_named(plans: &[BatchPlan]) -> BTreeMap<u32, usize> {
    let mut named = BTreeMap::new();
    for plan in plans {
        for &row in &plan.output_row {
            if let Some(&node) = plan.members.get(row as usize) {
                *named.entry(node).or_default() += 1;
            }
        }
    }
    named
}

/// An output that is not in the view.
pub(super) fn foreign(case: &Case, plans: &[BatchPlan]) -> Option<u32> {
    times_named(plans).into_keys().find(|node| !case.output.contains(node))
}

/// Compares plans and their collated batches with the graph, using a slow implementation.
pub(super) fn sound(case: &Case, plans: &[BatchPlan]) -> Outcome {
    let known = crate::nodes::all_edges(case.one());
    plans.iter().try_for_each(|plan| one_sound(case, &known, plan))
}

fn one_sound(case: &Case, known: &BTreeMap<(u32, u32), f32>, plan: &BatchPlan) -> Outcome {
    let is_output = |row: &u32| (*row as usize) < plan.members.len();
    if plan.level != Level::Nodes || plan.output_row.is_empty() {
        return Err(format!("a batch without outputs, or not of nodes: {plan:?}"));
    }
    if !plan.output_row.iter().all(is_output) {
        return Err(format!(
            "output rows are out of range for {} members: {:?}",
            plan.members.len(),
            plan.output_row
        ));
    }
    let mut buffer = BatchBuffer::new();
    let needs = BatchFields { edge_weight: true, ..BatchFields::default() };
    collate(&case.graphs, plan, &needs, &mut buffer).map_err(|error| error.to_string())?;
    let batch = buffer.batch();
    if plan.real != batch.real {
        return Err(format!(
            "the plan's real size is {:?}, but the batch has {:?}",
            plan.real, batch.real
        ));
    }
    let n_edge = batch.real.n_edge as usize;
    let mut found = BTreeSet::new();
    for edge in 0..n_edge {
        let rows = [batch.receiver[edge], batch.sender[edge]];
        let [receiver, sender] = rows.map(|row| batch.origin[row as usize]);
        if !known.contains_key(&(receiver, sender)) {
            return Err(format!("the graph has no edge from node {sender} to node {receiver}"));
        }
        if !found.insert(rows) {
            return Err(format!("the edge from node {sender} to node {receiver} occurs twice"));
        }
    }
    if plan.edges != EdgeSelection::Induced {
        return Ok(());
    }
    let members: BTreeSet<u32> = plan.members.iter().copied().collect();
    let inside = |(a, b): &(u32, u32)| members.contains(a) && members.contains(b);
    let n_inside = known.keys().filter(|&ends| inside(ends)).count();
    if n_inside != n_edge {
        return Err(format!("the batch has {n_edge} of the {n_inside} edges between its members"));
    }
    Ok(())
}

/// The first difference between two lists of plans.
pub(super) fn same(expected: &[BatchPlan], found: &[BatchPlan], when: &str) -> Outcome {
    if expected.len() != found.len() {
        return Err(format!("{when}: {} batches, expected {}", found.len(), expected.len()));
    }
    let differing = expected.iter().zip(found).position(|(expected, found)| expected != found);
    differing.map_or(Ok(()), |batch| {
        Err(format!(
            "{when}: batch {batch} has members {:?}, expected {:?}",
            found[batch].members, expected[batch].members
        ))
    })
}

/// Resumes after some batches, including those at epoch boundaries.
pub(super) fn resumes(batcher: &dyn Batcher, case: &Case, plans: &[BatchPlan]) -> Outcome {
    let is_border = |&done: &usize| {
        done < 3
            || plans.get(done).is_some_and(|next| next.cursor.epoch != plans[done - 1].cursor.epoch)
    };
    for done in (1..plans.len()).filter(is_border) {
        let mut stream =
            open(batcher, case, Purpose::Training).map_err(|error| error.to_string())?;
        let text =
            serde_json::to_string(&plans[done - 1].cursor).expect("a cursor is plain numbers");
        let cursor: Cursor = serde_json::from_str(&text).expect("a cursor can be read again");
        stream.seek(&cursor).map_err(|error| format!("seeking {cursor:?} failed: {error}"))?;
        let mut found = Vec::new();
        while found.len() < plans.len() - done {
            found.push(next(&mut *stream)?.ok_or("training ended, but must not")?);
        }
        same(&plans[done..], &found, &format!("resumed after {done} batches"))?;
    }
    Ok(())
}
