//! Predictions of a graph alone, and together with others.

use batchlab_core::Model;
use batchlab_core::plan::Shape;

use super::Trial;
use super::fixture::{MUCH, NONE, SOME, ordinary, single};
use super::trial::{PREDICTION, differentiate, near, predict};
use crate::check::Outcome;

/// The same graphs in different batches: members and padding.
const BATCHES: [(&[u32], Shape); 6] = [
    (&[0, 1, 2, 3, 4], NONE),
    (&[0, 1, 2, 3, 4], SOME),
    (&[0, 1, 2, 3, 4], MUCH),
    (&[4, 2, 0, 3, 1], SOME),
    (&[3, 1], SOME),
    (&[1, 4, 4, 0], NONE),
];

pub(super) fn companions(model: &dyn Model) -> Outcome {
    let trial = Trial::new(model)?;
    let mut trainer = trial.ready()?;
    let graphs = trial.graphs(&ordinary());
    let mut alone = Vec::new();
    for graph in 0..graphs.n_member() as u32 {
        let buffer = trial.batch(&graphs, &[graph], NONE);
        alone.extend(predict(&mut *trainer, &buffer.batch())?);
    }
    for (members, padding) in BATCHES {
        let buffer = trial.batch(&graphs, members, padding);
        let found = predict(&mut *trainer, &buffer.batch())?;
        let reference: Vec<f32> = members.iter().map(|&graph| alone[graph as usize]).collect();
        let (n_node, n_edge) = (padding.n_node, padding.n_edge);
        let when = format!(
            "in a batch of graphs {members:?} with {n_node} padding nodes and {n_edge} padding \
             edges (the first value is for the graph alone)"
        );
        near(&reference, &found[..members.len()], PREDICTION, &when)?;
    }
    Ok(())
}

/// The ordinary graphs followed by graphs of one node. Equal values are only required of
/// models that pass [`companions`]: that check has to fail if other graphs are the cause.
pub(super) fn single_nodes(model: &dyn Model) -> Outcome {
    let trial = Trial::new(model)?;
    let mut trainer = trial.ready()?;
    let tolerance = if companions(model).is_ok() { PREDICTION } else { f64::INFINITY };
    let mut molecules = ordinary();
    let first = molecules.len() as u32;
    molecules.extend((0..3).map(single));
    let graphs = trial.graphs(&molecules);

    let mut alone = Vec::new();
    for graph in first..first + 3 {
        let buffer = trial.batch(&graphs, &[graph], NONE);
        alone.extend(predict(&mut *trainer, &buffer.batch())?);
    }
    let batches: [(&[u32], Shape, &str); 4] = [
        (&[0, 1, 2], NONE, "with others like it, in a batch without edges"),
        (&[0, 1, 2], SOME, "with others like it and with padding"),
        (&[2, 0], Shape { n_edge: 0, ..SOME }, "with padding nodes but no edges"),
        (&[1], MUCH, "with much padding"),
    ];
    for (singles, padding, when) in batches {
        let members: Vec<u32> = singles.iter().map(|&k| first + k).collect();
        let buffer = trial.batch(&graphs, &members, padding);
        let found = predict(&mut *trainer, &buffer.batch())?;
        let reference: Vec<f32> = singles.iter().map(|&k| alone[k as usize]).collect();
        let when = format!("for a graph of one node {when}");
        near(&reference, &found[..members.len()], tolerance, &when)?;
        finite_gradients(&trial, &buffer, &when)?;
    }
    let mixed = trial.batch(&graphs, &[first, 0, first + 2, 1], SOME);
    let found = predict(&mut *trainer, &mixed.batch())?;
    let (reference, found) = ([alone[0], alone[2]], [found[0], found[2]]);
    near(&reference, &found, tolerance, "for a graph of one node among larger graphs")?;
    finite_gradients(&trial, &mixed, "with graphs of one node among larger graphs")
}

fn finite_gradients(trial: &Trial<'_>, buffer: &batchlab_core::BatchBuffer, when: &str) -> Outcome {
    let (loss, gradients) = differentiate(&mut *trial.ready()?, &buffer.batch())?;
    if !loss.loss_sum.is_finite() {
        return Err(format!("the loss is {} {when}", loss.loss_sum));
    }
    for tensor in &gradients {
        if let Some(value) = tensor.data.iter().find(|value| !value.is_finite()) {
            return Err(format!("the gradient of {} contains {value} {when}", tensor.name));
        }
    }
    Ok(())
}
