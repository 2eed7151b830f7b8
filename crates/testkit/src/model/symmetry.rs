//! Invariances of predictions.

use batchlab_core::{Model, PaddedBatch};

use super::Trial;
use super::alter::Altered;
use super::fixture::{Molecule, N_CLASS, NONE, ordinary};
use super::trial::{PREDICTION, largest, near, predict};
use crate::check::Outcome;

pub(super) fn inputs(model: &dyn Model) -> Outcome {
    let trial = Trial::new(model)?;
    let mut trainer = trial.ready()?;
    let buffer = trial.ordinary(NONE);
    let clean = buffer.batch();
    let reference = predict(&mut *trainer, &clean)?;
    let mut changes_with = |field: &str, change: &dyn Fn(&mut Altered<'_>)| -> Outcome {
        let mut altered = Altered::new(&clean);
        change(&mut altered);
        let found = predict(&mut *trainer, &altered.batch())?;
        if near(&reference, &found, PREDICTION, "").is_ok() {
            return Err(format!(
                "it needs {field}, but other values of it change no prediction, so it is copied for \
                 nothing and cannot be tested"
            ));
        }
        Ok(())
    };
    let needs = &trial.needs;
    if needs.node_class {
        changes_with("node_class", &|altered| {
            for class in altered.classes() {
                *class = (*class + 1) % N_CLASS as u32;
            }
        })?;
    }
    let shift =
        |values: &mut [f32]| values.iter_mut().for_each(|value| *value = 1.1 * *value + 0.1);
    if needs.node_feature {
        changes_with("node_feature", &|altered| shift(altered.floats(|b| b.node_feature)))?;
    }
    if needs.distance {
        changes_with("distance", &|altered| shift(altered.floats(|b| b.distance)))?;
    }
    if needs.displacement {
        changes_with("displacement", &|altered| shift(altered.floats(|b| b.displacement)))?;
    }
    if needs.edge_weight {
        changes_with("edge_weight", &|altered| shift(altered.floats(|b| b.edge_weight)))?;
    }
    let spread = reference.iter().fold(0.0_f32, |m, p| m.max((p - reference[0]).abs()));
    if spread <= 1e-4 * largest(&reference) {
        return Err(format!("it predicts nearly the same for all graphs: {reference:?}"));
    }
    Ok(())
}

/// Compares the predictions for the ordinary graphs with those for the changed graphs.
fn compare(model: &dyn Model, change: impl Fn(&Molecule) -> Molecule, when: &str) -> Outcome {
    let trial = Trial::new(model)?;
    let mut trainer = trial.ready()?;
    let molecules = ordinary();
    let changed: Vec<Molecule> = molecules.iter().map(change).collect();
    let members: Vec<u32> = (0..molecules.len() as u32).collect();
    let mut of = |molecules: &[Molecule]| {
        let buffer = trial.batch(&trial.graphs(molecules), &members, NONE);
        let batch: PaddedBatch<'_> = buffer.batch();
        predict(&mut *trainer, &batch)
    };
    near(&of(&molecules)?, &of(&changed)?, PREDICTION, when)
}

pub(super) fn node_order(model: &dyn Model) -> Outcome {
    for seed in 0..3 {
        compare(model, |molecule| molecule.relabelled(seed), "when nodes and edges are reordered")?;
    }
    Ok(())
}

pub(super) fn rotation(model: &dyn Model) -> Outcome {
    for (angles, by) in [
        ([0.0; 3], [3.0, -2.0, 5.0]),
        ([1.0, 0.0, 0.0], [0.0; 3]),
        ([0.3, 2.0, -1.2], [1.0, 7.0, -4.0]),
    ] {
        compare(
            model,
            |molecule| molecule.moved(angles, by),
            &format!(
                "when all graphs are rotated by {angles:?} about z, x and y and translated by {by:?}"
            ),
        )?;
    }
    Ok(())
}
