//! Parameters: existence, names, and initial values.

use std::collections::BTreeSet;

use batchlab_core::Model;
use batchlab_core::model::{Loss, ModelSize, NamedTensor};

use super::Trial;
use super::fixture::SOME;
use super::trial::{PARAMETER, context, differentiate, open, predict, same_tensors, text};
use crate::check::Outcome;

fn fresh(model: &dyn Model, seed: u64) -> Result<Vec<NamedTensor>, String> {
    let state = open(model, seed, Loss::Mse)?.state().map_err(text)?;
    let parameter = |tensor: NamedTensor| {
        let name = tensor.name.strip_prefix(PARAMETER)?.to_owned();
        Some(NamedTensor { name, ..tensor })
    };
    Ok(state.tensors.into_iter().filter_map(parameter).collect())
}

pub(super) fn opens(model: &dyn Model) -> Outcome {
    let parameters = fresh(model, 7)?;
    if parameters.is_empty() {
        return Err("its state has no tensor named parameter.*".into());
    }
    let mut names = BTreeSet::new();
    for NamedTensor { name, shape, data } in &parameters {
        if !names.insert(name) {
            return Err(format!("two parameters are named {name}"));
        }
        if shape.iter().product::<usize>() != data.len() || data.is_empty() {
            return Err(format!("{name} has shape {shape:?} and {} values", data.len()));
        }
        if let Some(value) = data.iter().find(|value| !value.is_finite()) {
            return Err(format!("{name} is initialised with {value}"));
        }
    }
    let n_number: usize = parameters.iter().map(|tensor| tensor.data.len()).sum();
    let mut trainer = open(model, 7, Loss::Mse)?;
    if trainer.n_parameter() != n_number {
        let said = trainer.n_parameter();
        return Err(format!("n_parameter() is {said}, but its state has {n_number} parameters"));
    }

    if let Some(ModelSize { n_parameter, .. }) = model.size(&context(7, Loss::Mse))
        && n_parameter != n_number as u128
    {
        return Err(format!(
            "Model::size gives {n_parameter} parameters, but its state has {n_number}"
        ));
    }

    let buffer = Trial::new(model)?.ordinary(SOME);
    let (loss, gradients) = differentiate(&mut *trainer, &buffer.batch())?;
    if !loss.loss_sum.is_finite() {
        return Err(format!("the loss of its first batch is {}", loss.loss_sum));
    }
    let layout = |tensors: &[NamedTensor]| -> Vec<(String, Vec<usize>)> {
        tensors.iter().map(|t| (t.name.clone(), t.shape.clone())).collect()
    };
    if layout(&gradients) != layout(&parameters) {
        return Err(format!(
            "gradients are {:?}, but parameters are {:?}",
            layout(&gradients),
            layout(&parameters)
        ));
    }
    let prediction = predict(&mut *trainer, &buffer.batch())?;
    let (n, expected) = (prediction.len(), buffer.batch().shape.n_output as usize);
    if n != expected {
        return Err(format!("it makes {n} predictions for {expected} outputs, including padding"));
    }
    Ok(())
}

pub(super) fn seeds(model: &dyn Model) -> Outcome {
    let [one, again, other] = [7, 7, 8].map(|seed| fresh(model, seed));
    let one = one?;
    same_tensors(&one, &again?, "when reopened with the same seed")?;
    if one == other? {
        return Err("seeds 7 and 8 give the same parameters; draw them with ctx.seed".into());
    }
    Ok(())
}
