//! The order of graphs may depend on the seed and the sizes, and on nothing else.

use std::thread;

use batchlab_core::plan::{EdgeSelection, ListedEdges};
use batchlab_core::{BatchPlan, Cursor, Level, Purpose, Shape};

use super::corners::sound;
use super::input::{for_all, for_all_with, ordinary, three_sizes};
use super::room::{plans, real};
use super::trial::{brief, same, take};
use super::{Make, Outcome, Trial};

pub(super) fn determinism(make: Make<'_>) -> Outcome {
    for_all_with(make, ordinary(), 24, |trial, batch_size| {
        let Some(plans) = trial.train(7) else { return Ok(()) };
        same(&plans, &trial.train(7).unwrap_or_default(), "opened a second time")?;
        let twin = make(batch_size);
        let again = Trial::new(&*twin, trial.sizes).train(7).unwrap_or_default();
        same(&plans, &again, "a second batcher with the same options")
    })
}

pub(super) fn seed(make: Make<'_>) -> Outcome {
    for_all(make, three_sizes(), |trial| {
        let first_epoch = |seed| -> Option<Vec<Vec<u32>>> {
            let plans = trial.train(seed)?;
            let epoch = plans.into_iter().take_while(|plan| plan.cursor.epoch == 0);
            Some(epoch.map(|plan| plan.members).collect())
        };
        let (Some(one), Some(two), Some(three)) = (first_epoch(1), first_epoch(2), first_epoch(3))
        else {
            return Ok(());
        };
        if one == two && two == three {
            return Err(format!("seeds 1, 2 and 3 give the same first epoch {one:?}"));
        }
        Ok(())
    })
}

pub(super) fn threads(make: Make<'_>) -> Outcome {
    for_all_with(make, ordinary(), 12, |trial, _| {
        let Some(plans) = trial.repeatable(7) else { return Ok(()) };
        let n_plan = plans.len();
        let open = |seed| trial.open(Purpose::Training, seed).map_err(|error| error.to_string());

        let mut moved = open(7)?;
        let found = on_a_thread(move || take(&mut *moved, n_plan))?;
        same(&plans, &found, "a stream moved to another thread")?;

        let mut half_way = open(7)?;
        let mut found = take(&mut *half_way, n_plan / 2)?;
        found.extend(on_a_thread(move || take(&mut *half_way, n_plan - n_plan / 2))?);
        same(&plans, &found, "a stream moved to another thread half-way")?;

        same(&plans, &beside_others(trial, n_plan)?, "a stream interleaved with two others")?;

        for n_thread in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_thread).build();
            let pool = pool.map_err(|error| error.to_string())?;
            let mut inside = open(7)?;
            let found = pool.install(move || take(&mut *inside, n_plan))?;
            same(&plans, &found, &format!("a stream in a pool of {n_thread} thread(s)"))?;
            let graphs = trial.graphs();
            let found = pool.install(|| {
                let view = batchlab_core::View::ManyGraphs(graphs.into());
                let ctx = batchlab_core::BatchContext::new(Purpose::Training, 7);
                let mut stream = trial.batcher.open(view, ctx).map_err(|e| e.to_string())?;
                take(&mut *stream, n_plan)
            })?;
            same(&plans, &found, &format!("a stream opened in a pool of {n_thread} thread(s)"))?;
        }
        Ok(())
    })
}

fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    thread::spawn(work).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Runs three streams of one batcher in sequence: one with another seed, the stream itself, and an
/// evaluation.
fn beside_others(trial: &Trial<'_>, n_plan: usize) -> Result<Vec<BatchPlan>, String> {
    let open = |purpose, seed| {
        trial.open(purpose, seed).map_err(|error: batchlab_core::BatcherError| error.to_string())
    };
    let mut other = open(Purpose::Training, 8)?;
    let mut stream = open(Purpose::Training, 7)?;
    let mut evaluation = open(Purpose::Evaluation, 7)?;
    let mut plans = Vec::new();
    let mut is_open = true;
    for _ in 0..n_plan {
        take(&mut *other, 1)?;
        plans.append(&mut take(&mut *stream, 1)?);
        is_open = is_open && evaluation.next(&mut BatchPlan::default()).unwrap_or(false);
    }
    Ok(plans)
}

pub(super) fn identifiers(make: Make<'_>) -> Outcome {
    for_all(make, ordinary(), |trial| {
        if measured(trial).is_err() {
            return Ok(());
        }
        let n = trial.sizes.len();
        // First no identifier is a position, then each is the position of another graph.
        let far = |position: usize| 1000 + 3 * (n - 1 - position) as u32;
        let other = |position: usize| (n - 1 - position) as u32;
        let names: [(&dyn Fn(usize) -> u32, &str); 2] =
            [(&far, "that are not positions"), (&other, "in reverse order")];
        for (identifier, what) in names {
            measured(&Trial { identifier, ..*trial })
                .map_err(|found| format!("with identifiers {what}: {found}"))?;
        }
        Ok(())
    })
}

/// Whether the promises hold, and every plan has the size of its graphs.
fn measured(trial: &Trial<'_>) -> Outcome {
    sound(trial)?;
    let graphs = trial.graphs();
    for plan in plans(trial) {
        let size = real(&graphs, &plan);
        if plan.real != size {
            return Err(format!(
                "the plan's real size is {:?}, but its graphs add up to {size:?}: {}",
                plan.real,
                brief(&plan)
            ));
        }
    }
    Ok(())
}

pub(super) fn plan_reuse(make: Make<'_>) -> Outcome {
    for_all(make, ordinary(), |trial| {
        let Some(plans) = trial.repeatable(7) else { return Ok(()) };
        let mut stream = trial.open(Purpose::Training, 7).map_err(|error| error.to_string())?;
        for (batch, expected) in plans.iter().enumerate() {
            let mut plan = dirty();
            if !stream.next(&mut plan).map_err(|error| error.to_string())? {
                return Err("training ended when given a used plan".into());
            }
            if plan != *expected {
                return Err(format!(
                    "batch {batch} written into a used plan differs\nexpected {expected:?}\nfound    {plan:?}"
                ));
            }
        }
        Ok(())
    })
}

/// A node batch plan with listed edges and weights, in which no field is empty.
fn dirty() -> BatchPlan {
    BatchPlan {
        level: Level::Nodes,
        members: vec![u32::MAX; 40],
        output_row: vec![3; 7],
        output_weight: vec![0.25; 9],
        edges: EdgeSelection::Listed,
        listed: ListedEdges { sender: vec![1; 5], receiver: vec![2; 5], weight: vec![0.5; 5] },
        real: Shape { n_node: 901, n_edge: 902, n_graph: 903, n_output: 904 },
        shape: Shape { n_node: 911, n_edge: 912, n_graph: 913, n_output: 914 },
        cache_key: Some(77),
        cursor: Cursor { epoch: 55, batch: 66, carried: vec![0; 11], last: Some(3) },
    }
}
