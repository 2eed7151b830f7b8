//! Input that a model must reject.

use batchlab_core::model::{Loss, ModelContext, Slot};
use batchlab_core::{BatchFields, Model, ModelError};

use super::Trial;
use super::alter::Altered;
use super::fixture::{N_CLASS, NONE, collated, ordinary};
use super::trial::context;
use crate::check::Outcome;

pub(super) fn batches(model: &dyn Model) -> Outcome {
    let trial = Trial::new(model)?;
    let needs = &trial.needs;
    let graphs = trial.graphs(&ordinary());
    let buffer = trial.ordinary(NONE);
    if needs.node_class {
        let mut altered = Altered::new(&buffer.batch());
        altered.classes()[3] = N_CLASS as u32;
        if trial.ready()?.upload(Slot::A, &altered.batch()).is_ok() {
            return Err(format!(
                "a node of class {N_CLASS} is accepted, although there are {N_CLASS} classes"
            ));
        }
    }
    let without = [
        ("node_class", needs.node_class, BatchFields { node_class: false, ..needs.clone() }),
        ("node_feature", needs.node_feature, BatchFields { node_feature: false, ..needs.clone() }),
        ("distance", needs.distance, BatchFields { distance: false, ..needs.clone() }),
        ("displacement", needs.displacement, BatchFields { displacement: false, ..needs.clone() }),
        ("edge_weight", needs.edge_weight, BatchFields { edge_weight: false, ..needs.clone() }),
        ("sender_order", needs.sender_order, BatchFields { sender_order: false, ..needs.clone() }),
    ];
    for (field, _, rest) in without.into_iter().filter(|(_, is_needed, _)| *is_needed) {
        let buffer = collated(&graphs, &rest, &[0, 1, 2], &[], NONE);
        if trial.ready()?.upload(Slot::A, &buffer.batch()).is_ok() {
            return Err(format!("a batch without {field}, which the model needs, is accepted"));
        }
    }
    Ok(())
}

pub(super) fn data(model: &dyn Model) -> Outcome {
    let needs = model.needs();
    let good = context(7, Loss::Mse);
    let refused = |ctx: &ModelContext, what: &str| match model.open(ctx) {
        Ok(_) => Err(format!("it opens {what}")),
        Err(error) => Ok(error),
    };
    if needs.node_class {
        refused(&ModelContext { n_node_class: 0, ..good.clone() }, "on data without node classes")?;
    }
    if needs.node_feature {
        let ctx = ModelContext { node_feature_width: 0, ..good.clone() };
        refused(&ctx, "on data without node features")?;
    }
    refused(&ModelContext { output_width: 0, ..good.clone() }, "without outputs")?;
    let error =
        refused(&ModelContext { device: "abacus".into(), ..good }, "on the device \"abacus\"")?;
    if !matches!(error, ModelError::Device { .. }) {
        return Err(format!("the error for device \"abacus\" is not ModelError::Device: {error}"));
    }
    if model.check_device("abacus").is_ok() {
        return Err("check_device accepts the device \"abacus\", which is rejected only on \
                    opening, after the data were loaded"
            .into());
    }
    model.check_device("cpu").map_err(|error| format!("check_device rejects \"cpu\": {error}"))
}
