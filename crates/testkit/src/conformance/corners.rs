//! Corner cases: an empty view, one graph, no edges, one graph that fits nothing.
//!
//! A batcher that fails on twelve ordinary graphs passes here, because other checks report it.

use std::sync::Arc;

use batchlab_core::graphs::{OneGraph, OneGraphView};
use batchlab_core::{BatchContext, BatchPlan, Purpose, View};
use proptest::prelude::*;

use super::epochs::{whole_epochs, whole_evaluation};
use super::input::{batch_size, for_all, of};
use super::room::{plans, shape_fits};
use super::{Make, Outcome, Trial};

const TWELVE: [[u32; 2]; 12] = [[5, 9]; 12];

pub(super) fn empty_view(make: Make<'_>) -> Outcome {
    let batcher = make(of(4));
    let trial = Trial::new(&*batcher, &[]);
    let batch = |purpose| -> Result<bool, batchlab_core::BatcherError> {
        trial.open(purpose, 7)?.next(&mut BatchPlan::default())
    };
    for (purpose, what) in [(Purpose::Training, "training"), (Purpose::Evaluation, "an evaluation")]
    {
        if let Ok(true) = batch(purpose) {
            return Err(format!("{what} on an empty view gives a batch"));
        }
    }
    if let Ok(false) = batch(Purpose::Training) {
        return Err("training on an empty view ends silently; return an error".into());
    }
    Ok(())
}

pub(super) fn wrong_level(make: Make<'_>) -> Outcome {
    let batcher = make(of(4));
    let graph = OneGraph { offset: vec![0, 1, 2], sender: vec![1, 0], edge_weight: Vec::new() };
    let view = View::OneGraph(OneGraphView {
        graph: Arc::new(graph),
        class: Arc::from([]),
        output: Arc::from([0, 1]),
    });
    for purpose in [Purpose::Training, Purpose::Evaluation] {
        if batcher.open(view.clone(), BatchContext::new(purpose, 7)).is_ok() {
            return Err(format!(
                "it opens on one large graph for {purpose:?}, but its level is {}; return BatcherError::WrongLevel",
                batcher.level()
            ));
        }
    }
    Ok(())
}

pub(super) fn one_graph(make: Make<'_>) -> Outcome {
    let input = (batch_size(), 1_u32..30, 1_u32..60);
    let input = input.prop_map(|(batch_size, n_node, n_edge)| (batch_size, vec![[n_node, n_edge]]));
    for_all(make, input, |trial| if is_sound(trial, &[[5, 9]; 12]) { sound(trial) } else { Ok(()) })
}

pub(super) fn edgeless(make: Make<'_>) -> Outcome {
    let graph = (1_u32..30, 0_u32..3).prop_map(|(n_node, n_edge)| [n_node, n_edge]);
    let mixed = (batch_size(), prop::collection::vec(graph, 2..20));
    for_all(make, mixed, edgeless_or_not)?;
    let graph = (1_u32..30).prop_map(|n_node| [n_node, 0]);
    let none = (batch_size(), prop::collection::vec(graph, 2..20));
    for_all(make, none, edgeless_or_not)
}

fn edgeless_or_not(trial: &Trial<'_>) -> Outcome {
    let connected: Vec<[u32; 2]> =
        trial.sizes.iter().map(|&[n_node, n_edge]| [n_node, n_edge.max(1)]).collect();
    let is_sound = is_sound(trial, &TWELVE) && is_sound(trial, &connected);
    if is_sound { sound(trial) } else { Ok(()) }
}

pub(super) fn oversize(make: Make<'_>) -> Outcome {
    let graph = (1_u32..10, 1_u32..20).prop_map(|(n_node, n_edge)| [n_node, n_edge]);
    let input =
        (batch_size(), prop::collection::vec(graph, 12..24), 0_usize..24, 1_u32..3, 1_u32..3);
    let input = input.prop_map(|(batch_size, mut sizes, at, n_node, n_edge)| {
        sizes.insert(at.min(sizes.len()), [50_000 * n_node, 100_000 * n_edge]);
        (batch_size, sizes)
    });
    for_all(make, input, |trial| {
        let ordinary: Vec<[u32; 2]> =
            trial.sizes.iter().copied().filter(|size| size[0] < 50_000).collect();
        if !is_sound(trial, &ordinary) {
            return Ok(());
        }
        // Rejecting is allowed only on opening: sizes are known before the first step.
        if trial.open(Purpose::Training, 7).is_err() { Ok(()) } else { sound(trial) }
    })
}

fn is_sound(trial: &Trial<'_>, sizes: &[[u32; 2]]) -> bool {
    sound(&Trial { sizes, ..*trial }).is_ok()
}

/// The most basic promises.
pub(crate) fn sound(trial: &Trial<'_>) -> Outcome {
    whole_epochs(trial, &trial.train_or_stop(7)?)?;
    whole_evaluation(trial, &trial.evaluate(7)?)?;
    let graphs = trial.graphs();
    plans(trial).iter().try_for_each(|plan| shape_fits(&graphs, plan))
}
