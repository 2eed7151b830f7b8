//! Trainable parameters by name.

use std::collections::HashSet;
use std::num::NonZeroU32;

use batchlab_core::model::NamedTensor;
use batchlab_core::{ModelError, random};
use rand_chacha::rand_core::Rng;

use crate::{Backend, Matrix};

/// How to initialise a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Initial {
    /// Normal with standard deviation 1 / sqrt(`n_in`), truncated at two standard deviations by
    /// redrawing, as in Haiku; the loss of variance is not compensated.
    TruncatedNormal,
    /// Uniform within sqrt(6 / (`n_in` + `n_out`)) (Glorot and Bengio 2010).
    XavierUniform,
    /// 0.
    Zeros,
}

/// A parameter of a network: a handle, valid for the [`Parameters`] created by the same builder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Parameter(usize);

/// Collects the parameters of a network before they are copied to a device.
///
/// Initial values depend only on the seed and on the parameter's name, not on the order.
#[derive(Debug)]
pub struct ParameterBuilder {
    seed: u64,
    tensors: Vec<NamedTensor>,
    names: HashSet<String>,
    /// Parameters exempt from weight decay.
    exempt: HashSet<Parameter>,
    n_number: u128,
    /// Whether parameters are initialised, or only counted.
    draws: bool,
}

/// Maximum number of parameter values; with gradients and moments they take 4 GiB.
const MOST_NUMBERS: u128 = 1 << 28;

impl ParameterBuilder {
    /// A builder without parameters.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let (names, exempt) = (HashSet::new(), HashSet::new());
        Self { seed, tensors: Vec::new(), names, exempt, n_number: 0, draws: true }
    }

    /// Adds a matrix `[n_in, n_out]`.
    ///
    /// # Panics
    /// If the name is taken.
    pub fn matrix(&mut self, name: &str, shape: [usize; 2], initial: Initial) -> Parameter {
        let data =
            if self.fits(shape) { draw(self.seed, name, shape, initial) } else { Vec::new() };
        self.push(NamedTensor { name: name.to_owned(), shape: shape.to_vec(), data })
    }

    /// Adds a vector `[n_out]` of zeros; operations see it as a matrix of one row.
    ///
    /// # Panics
    /// If the name is taken.
    pub fn bias(&mut self, name: &str, n_out: usize) -> Parameter {
        let data = if self.fits([1, n_out]) { vec![0.0; n_out] } else { Vec::new() };
        self.push(NamedTensor { name: name.to_owned(), shape: vec![n_out], data })
    }

    /// Adds a vector `[n_out]` of ones, such as the scale of a norm; operations see it as a matrix of
    /// one row.
    ///
    /// # Panics
    /// If the name is taken.
    pub fn scale(&mut self, name: &str, n_out: usize) -> Parameter {
        let data = if self.fits([1, n_out]) { vec![1.0; n_out] } else { Vec::new() };
        self.push(NamedTensor { name: name.to_owned(), shape: vec![n_out], data })
    }

    /// Exempts a parameter from weight decay.
    pub fn exempt_from_decay(&mut self, parameter: Parameter) {
        self.exempt.insert(parameter);
    }

    /// Counts the elements of a tensor. Once there are too many, initialisation stops, and `build`
    /// reports it.
    fn fits(&mut self, [n_in, n_out]: [usize; 2]) -> bool {
        self.n_number = self.n_number.saturating_add(n_in as u128 * n_out as u128);
        self.draws && self.n_number <= MOST_NUMBERS
    }

    fn push(&mut self, tensor: NamedTensor) -> Parameter {
        let free = self.names.insert(tensor.name.clone());
        assert!(free, "two parameters are called {}", tensor.name);
        self.tensors.push(tensor);
        Parameter(self.tensors.len() - 1)
    }

    /// Copies all parameters to a device.
    ///
    /// # Errors
    /// If there are more parameters than supported, 2^28, or the device is out of memory.
    pub fn build<D: Backend>(self, device: &D) -> Result<Parameters<D>, ModelError> {
        if self.n_number > MOST_NUMBERS {
            return Err(ModelError::Options(format!(
                "the model would have {} parameters, but {MOST_NUMBERS} is the maximum \
                 supported; choose smaller widths or fewer layers",
                self.n_number
            )));
        }
        let mut entries = Vec::with_capacity(self.tensors.len());
        for (place, NamedTensor { name, shape, data }) in self.tensors.into_iter().enumerate() {
            let value = trainable(device, data, &shape)?;
            let decays = !self.exempt.contains(&Parameter(place));
            entries.push(Entry { name, shape, value, decays });
        }
        Ok(Parameters { device: device.clone(), entries })
    }
}

/// Number of parameter values of a network with `depth` equal layers, without creating it:
/// extrapolated from networks with few layers. `build` is given the number of layers.
pub fn n_parameter(
    depth: NonZeroU32,
    mut build: impl FnMut(NonZeroU32, &mut ParameterBuilder),
) -> u128 {
    /// The first layer may differ from the following ones.
    const FEW: NonZeroU32 = NonZeroU32::new(2).expect("2 is not 0");
    let mut count = |depth| {
        let mut builder = ParameterBuilder { draws: false, ..ParameterBuilder::new(0) };
        build(depth, &mut builder);
        builder.n_number
    };
    let few = count(depth.min(FEW));
    let more = depth.get().saturating_sub(FEW.get());
    if more == 0 {
        return few;
    }
    few.saturating_add((count(FEW.saturating_add(1)) - few).saturating_mul(more.into()))
}

/// The parameters of a network on a device.
#[derive(Debug)]
pub struct Parameters<D: Backend> {
    device: D,
    entries: Vec<Entry<D>>,
}

#[derive(Debug)]
struct Entry<D: Backend> {
    name: String,
    shape: Vec<usize>,
    value: Matrix<D>,
    /// Whether weight decay applies to it.
    decays: bool,
}

impl<D: Backend> Parameters<D> {
    /// The device of the parameters.
    pub fn device(&self) -> &D {
        &self.device
    }

    /// A parameter's current value.
    pub fn get(&self, parameter: Parameter) -> &Matrix<D> {
        &self.entries[parameter.0].value
    }

    /// Number of parameter values.
    #[must_use]
    pub fn n_number(&self) -> usize {
        self.entries.iter().map(|entry| entry.shape.iter().product::<usize>()).sum()
    }

    /// Number of parameters, each a matrix or a vector.
    #[must_use]
    pub fn n_parameter(&self) -> usize {
        self.entries.len()
    }

    /// All names with their shapes, in the order of creation.
    pub fn names(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.entries.iter().map(|entry| (entry.name.as_str(), entry.shape.as_slice()))
    }

    /// All values, in the order of creation.
    pub fn values(&self) -> impl Iterator<Item = &Matrix<D>> {
        self.entries.iter().map(|entry| &entry.value)
    }

    /// Factor of each parameter in its own gradient, in the order of creation: `weight_decay`, or 0
    /// if it is exempt.
    pub(crate) fn decay(&self, weight_decay: f64) -> Vec<f32> {
        let of = |entry: &Entry<D>| if entry.decays { weight_decay as f32 } else { 0.0 };
        self.entries.iter().map(of).collect()
    }

    /// Replaces all values.
    pub(crate) fn replace(&mut self, values: Vec<Matrix<D>>) {
        assert_eq!(values.len(), self.entries.len(), "one value per parameter");
        for (entry, value) in self.entries.iter_mut().zip(values) {
            entry.value = value;
        }
    }
}

/// A value on the device with a gradient.
pub(crate) fn trainable<D: Backend>(
    device: &D,
    data: Vec<f32>,
    shape: &[usize],
) -> Result<Matrix<D>, ModelError> {
    let n_column = shape.last().copied().unwrap_or(1);
    let n_row = data.len() / n_column.max(1);
    let constant = Matrix::constant(device, data, [n_row, n_column])?;
    Matrix::new(constant.tensor().clone(), true)
}

fn draw(seed: u64, name: &str, [n_in, n_out]: [usize; 2], initial: Initial) -> Vec<f32> {
    let mut rng = random::stream(seed, &format!("init/{name}"), 0);
    let n = n_in * n_out;
    match initial {
        Initial::Zeros => vec![0.0; n],
        Initial::TruncatedNormal => {
            let deviation = 1.0 / (n_in.max(1) as f64).sqrt();
            (0..n).map(|_| (deviation * truncated_normal(&mut rng)) as f32).collect()
        }
        Initial::XavierUniform => {
            let limit = (6.0 / (n_in + n_out) as f64).sqrt();
            (0..n).map(|_| (limit * (2.0 * uniform(&mut rng) - 1.0)) as f32).collect()
        }
    }
}

/// A number in the open interval (0, 1).
fn uniform(rng: &mut impl Rng) -> f64 {
    const STEP: f64 = 1.0 / (1_u64 << 53) as f64;
    ((rng.next_u64() >> 11) as f64 + 0.5) * STEP
}

/// Box and Muller (1958), redrawn beyond 2.
fn truncated_normal(rng: &mut impl Rng) -> f64 {
    loop {
        let radius = (-2.0 * uniform(rng).ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * uniform(rng)).cos();
        if normal.abs() <= 2.0 {
            return normal;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(seed: u64, name: &str, initial: Initial) -> Vec<f32> {
        draw(seed, name, [100, 400], initial)
    }

    fn deviation(values: &[f32]) -> f64 {
        let n = values.len() as f64;
        (values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / n).sqrt()
    }

    #[test]
    fn a_model_that_no_machine_can_hold_is_refused_before_it_is_drawn() {
        let mut builder = ParameterBuilder::new(1);
        builder.matrix("small", [10, 10], Initial::XavierUniform);
        builder.matrix("huge", [1 << 40, 1 << 23], Initial::XavierUniform);
        builder.bias("bias", 1 << 40);
        let error = builder.build(&dfdx::tensor::Cpu::default()).unwrap_err().to_string();
        assert!(error.contains("9223373136366403684 parameters"), "{error}");
    }

    #[test]
    fn truncated_normals_are_cut_at_two_deviations() {
        let values = values(1, "a", Initial::TruncatedNormal);
        assert!(values.iter().all(|v| v.abs() <= 0.2));
        // A normal distribution truncated at 2 has the standard deviation 0.8796.
        assert!((deviation(&values) - 0.08796).abs() < 5e-4, "{}", deviation(&values));
    }

    #[test]
    fn xavier_has_the_variance_of_two_over_the_sum_of_widths() {
        let values = values(1, "a", Initial::XavierUniform);
        assert!((deviation(&values) - (2.0_f64 / 500.0).sqrt()).abs() < 5e-4);
    }

    #[test]
    fn values_depend_on_seed_and_name_alone() {
        let one = values(1, "a", Initial::TruncatedNormal);
        assert_eq!(one, values(1, "a", Initial::TruncatedNormal));
        assert_ne!(one, values(2, "a", Initial::TruncatedNormal));
        assert_ne!(one, values(1, "b", Initial::TruncatedNormal));
    }
}
