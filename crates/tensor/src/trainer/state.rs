//! Tensors of a saved state, by name.

use std::collections::BTreeMap;

use batchlab_core::ModelError;
use batchlab_core::model::{NamedTensor, TrainerState};

use super::NetworkTrainer;
use crate::matrix::engine;
use crate::{Backend, Buffer, Network};

/// Prefixes of the names in a state.
pub(super) const PARAMETER: &str = "parameter.";
pub(super) const MOMENTS: [&str; 2] = ["moment1.", "moment2."];

impl<N: Network, D: Backend> NetworkTrainer<N, D> {
    /// A parameter's name and shape with the numbers of a buffer of its size.
    pub(super) fn named(
        &self,
        prefix: &str,
        data: impl Iterator<Item = Result<Vec<f32>, ModelError>>,
    ) -> Result<Vec<NamedTensor>, ModelError> {
        let tensor = |((name, shape), data): ((&str, &[usize]), Result<_, _>)| {
            let name = format!("{prefix}{name}");
            Ok(NamedTensor { name, shape: shape.to_vec(), data: data? })
        };
        self.parameters.names().zip(data).map(tensor).collect()
    }

    pub(super) fn moments_named(
        &self,
        prefix: &str,
        which: usize,
    ) -> Result<Vec<NamedTensor>, ModelError> {
        let device = self.parameters.device();
        let read = |moment: &[Buffer<D>; 2]| device.read(&moment[which]).map_err(engine);
        self.named(prefix, self.moments.iter().map(read))
    }
}

pub(super) fn unfit(name: &str, reason: impl Into<String>) -> ModelError {
    ModelError::State { name: name.to_owned(), reason: reason.into() }
}

pub(super) fn by_name(state: &TrainerState) -> Result<BTreeMap<&str, &NamedTensor>, ModelError> {
    let mut given = BTreeMap::new();
    for tensor in &state.tensors {
        if given.insert(tensor.name.as_str(), tensor).is_some() {
            return Err(unfit(&tensor.name, "the state holds it twice"));
        }
    }
    Ok(given)
}

/// The values of a mandatory tensor of this shape.
pub(super) fn take<'a>(
    given: &mut BTreeMap<&str, &'a NamedTensor>,
    name: &str,
    shape: &[usize],
) -> Result<&'a [f32], ModelError> {
    let Some(tensor) = given.remove(name) else {
        return Err(unfit(name, "the state does not hold it"));
    };
    if tensor.shape != shape {
        let got = &tensor.shape;
        return Err(unfit(name, format!("its shape is {got:?}, but the model's is {shape:?}")));
    }
    if tensor.data.len() != shape.iter().product::<usize>() {
        let got = tensor.data.len();
        return Err(unfit(name, format!("{got} values do not fill the shape {shape:?}")));
    }
    Ok(&tensor.data)
}
