//! Padding is computed like real rows, but does not affect them.

use batchlab_core::model::{LossSum, Mode, NamedTensor, Slot};
use batchlab_core::plan::Shape;
use batchlab_core::{BatchBuffer, Model, PaddedBatch};

use super::Trial;
use super::alter::Altered;
use super::companions::companions;
use super::fixture::{MUCH, NONE, SOME, ordinary};
use super::symmetry::inputs;
use super::training::{pool, steps};
use super::trial::{
    differentiate, near_tensors, predict_slot, same_loss, same_tensors, step, text,
};
use crate::check::Outcome;
use crate::device;

/// Tolerance of gradients and parameters relative to their tensor's largest value: sums over all
/// rows then include different zeros.
const TRAINING: f32 = 1e-6;
/// Tolerance of gradients without padding, where sums over rows are split differently.
const EXACT: f32 = 1e-5;
const N_STEP: usize = 4;

pub(super) fn forward(model: &dyn Model) -> Outcome {
    let trial = Trial::new(model)?;
    let needs = &trial.needs;
    for padding in [SOME, MUCH] {
        let buffer = trial.ordinary(padding);
        let clean = buffer.batch();
        let copy = || Altered::new(&clean);
        // Some models read only the class of a node, and some cut off long edges.
        if needs.node_class || needs.node_feature {
            let poisons = [copy().fill_nodes(f32::NAN), copy().garble_nodes()];
            compare(model, &trial, &clean, "nodes", &poisons)?;
        }
        if needs.distance || needs.displacement || needs.edge_weight {
            let poisons =
                [copy().fill_edges(f32::NAN), copy().garble_edges(30.0), copy().garble_edges(1.5)];
            compare(model, &trial, &clean, "edges", &poisons)?;
        }
    }
    Ok(())
}

/// Real predictions and the loss must not change with the content of the padding, but the
/// prediction of the padding must.
fn compare(
    model: &dyn Model,
    trial: &Trial<'_>,
    clean: &PaddedBatch<'_>,
    which: &str,
    poisons: &[Altered<'_>],
) -> Outcome {
    let n_real = clean.real.n_output as usize;
    let (loss, prediction) = run(trial, clean)?;
    let mut is_computed = false;
    for (n, poison) in poisons.iter().enumerate() {
        let (poisoned_loss, poisoned) = run(trial, &poison.batch())?;
        let what = if n == 0 { "NaN" } else { "garbage" };
        let when = format!("with {what} in the padding {which}");
        same_loss(loss, poisoned_loss, &when)?;
        same_numbers(&prediction[..n_real], &poisoned[..n_real], &when)?;
        is_computed |= poisoned[n_real].to_bits() != prediction[n_real].to_bits();
    }
    // If even real values do not matter, `inputs` has to fail.
    if is_computed || inputs(model).is_err() {
        return Ok(());
    }
    Err(format!(
        "the prediction of the padding is {:e} whatever its {which} contain: they are not computed, \
         so padding costs less than real graphs",
        prediction[n_real]
    ))
}

fn run(trial: &Trial<'_>, batch: &PaddedBatch<'_>) -> Result<(LossSum, Vec<f32>), String> {
    let mut trainer = trial.ready()?;
    trainer.upload(Slot::A, batch).map_err(text)?;
    let loss = trainer.forward(Slot::A, Mode::Training, 0).map_err(text)?;
    Ok((loss, predict_slot(&mut *trainer, Slot::A)?))
}

fn same_numbers(reference: &[f32], found: &[f32], when: &str) -> Outcome {
    let tensor = |data: &[f32]| {
        [NamedTensor { name: "prediction".into(), shape: vec![data.len()], data: data.to_vec() }]
    };
    same_tensors(&tensor(reference), &tensor(found), when)
}

pub(super) fn gradients(model: &dyn Model) -> Outcome {
    let trial = Trial::new(model)?;
    let (_, exact) = differentiate(&mut *trial.ready()?, &trial.ordinary(NONE).batch())?;
    // If predictions already depend on padding, `companions` has to fail.
    let exact = companions(model).is_ok().then_some(exact);
    for padding in [SOME, MUCH] {
        let buffer: BatchBuffer = trial.ordinary(padding);
        let clean = buffer.batch();
        let poison = Altered::new(&clean).garble_nodes().garble_edges(30.0);
        let (reference, found) = (train(&trial, &clean)?, train(&trial, &poison.batch())?);
        let (n_node, n_edge) = (padding.n_node, padding.n_edge);
        let when = format!("with {n_node} padding nodes and {n_edge} padding edges");
        if let Some(exact) = &exact {
            near_tensors(exact, &reference.0, EXACT, &when)?;
        }
        let when = "with garbage in the padding";
        near_tensors(&reference.0, &found.0, TRAINING, &format!("{when} (first gradients)"))?;
        let when = format!("{when} (after {N_STEP} steps)");
        near_tensors(&reference.1, &found.1, TRAINING, &when)?;
    }
    Ok(())
}

fn train(
    trial: &Trial<'_>,
    batch: &PaddedBatch<'_>,
) -> Result<(Vec<NamedTensor>, Vec<NamedTensor>), String> {
    let mut trainer = trial.ready()?;
    let (_, gradients) = differentiate(&mut *trainer, batch)?;
    for _ in 0..N_STEP {
        step(&mut *trainer, batch)?;
    }
    Ok((gradients, trainer.state().map_err(text)?.tensors))
}

/// Batches of few rows, and of so many that engines split them.
const MEMBERS: [&[u32]; 3] = [&[1], &[3, 0, 1], &[0, 1, 2, 3, 4, 2, 4, 3, 2, 4, 1, 2, 4, 2, 0]];

pub(super) fn bits(model: &dyn Model) -> Outcome {
    // On a GPU, libraries split the sums of products arbitrarily. And if padding has an effect,
    // `companions` or `padding_gradients` has to fail.
    if device::under_test() != "cpu" || companions(model).and_then(|()| gradients(model)).is_err() {
        return Ok(());
    }
    let trial = Trial::new(model)?;
    let graphs = trial.graphs(&ordinary());
    for n_thread in 1..=4 {
        let pool = pool(n_thread)?;
        for members in MEMBERS {
            let run = |padding: Shape| {
                let buffer = trial.batch(&graphs, members, padding);
                let all = pool.install(|| steps(&trial, &buffer.batch()))?;
                Ok::<_, String>((buffer.batch().real, all))
            };
            let (real, reference) = run(NONE)?;
            for padding in paddings(real) {
                let Shape { n_node, n_edge, .. } = padding;
                let when = format!(
                    "with {n_node} padding nodes and {n_edge} padding edges instead of none after \
                     {} real nodes and {} real edges, on {n_thread} threads",
                    real.n_node, real.n_edge
                );
                same_tensors(&reference, &run(padding)?.1, &when)?;
            }
        }
    }
    Ok(())
}

/// Minimal padding, padding by the padding rules, and a large batch that is mostly padding.
fn paddings(real: Shape) -> [Shape; 6] {
    let more = |n_node, n_edge| Shape { n_node, n_edge, n_graph: 1, n_output: 1 };
    let up_to = |rule: fn(u32) -> u32| {
        more(rule(real.n_node + 1) - real.n_node, rule(real.n_edge) - real.n_edge)
    };
    [
        more(1, 0),
        more(1, 1),
        more(3, 2),
        up_to(|n| n.next_multiple_of(64)),
        up_to(u32::next_power_of_two),
        Shape { n_node: 2000, n_edge: 12_000, n_graph: 30, n_output: 30 },
    ]
}
