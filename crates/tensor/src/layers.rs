//! Layers: handles to parameters, with their operations.

use std::rc::Rc;

use batchlab_core::ModelError;

use crate::options::{DropoutRate, Norm};
use crate::{
    Activation, Backend, EdgeValue, Initial, Matrix, Message, Normalise, Parameter,
    ParameterBuilder, Pass, Segments,
};

/// `activation(x weight + bias)`, with all widths known only at run time.
#[derive(Debug, Clone)]
pub struct Linear {
    name: String,
    n_out: usize,
    /// `[n_in, n_out]`, named `<name>.weight`.
    pub weight: Parameter,
    /// `[n_out]`, named `<name>.bias`.
    pub bias: Option<Parameter>,
    /// Applied to the sum.
    pub activation: Activation,
}

impl Linear {
    /// A layer without bias, with its weight initialised as in Haiku
    /// ([`Initial::TruncatedNormal`]).
    pub fn new(
        parameters: &mut ParameterBuilder,
        name: &str,
        n_in: usize,
        n_out: usize,
        activation: Activation,
    ) -> Self {
        Self::with_initial(parameters, name, [n_in, n_out], activation, Initial::TruncatedNormal)
    }

    /// A layer without bias, with the given initialisation of its weight.
    pub fn with_initial(
        parameters: &mut ParameterBuilder,
        name: &str,
        [n_in, n_out]: [usize; 2],
        activation: Activation,
        initial: Initial,
    ) -> Self {
        let weight = parameters.matrix(&format!("{name}.weight"), [n_in, n_out], initial);
        Self { name: name.to_owned(), n_out, weight, bias: None, activation }
    }

    /// Adds a bias, initially 0.
    #[must_use]
    pub fn with_bias(mut self, parameters: &mut ParameterBuilder) -> Self {
        self.bias = Some(parameters.bias(&format!("{}.bias", self.name), self.n_out));
        self
    }

    /// `[n_row, n_in]` to `[n_row, n_out]`.
    pub fn forward<D: Backend>(
        &self,
        pass: &mut Pass<'_, D>,
        x: &Matrix<D>,
    ) -> Result<Matrix<D>, ModelError> {
        let bias = self.bias.map(|bias| pass.parameter(bias));
        pass.linear(x, pass.parameter(self.weight), bias, self.activation)
    }

    /// The same for a value per edge.
    pub fn on_edges<D: Backend>(
        &self,
        pass: &Pass<'_, D>,
        message: &mut Message<D>,
        x: EdgeValue,
    ) -> EdgeValue {
        let bias = self.bias.map(|bias| pass.parameter(bias));
        message.linear(x, pass.parameter(self.weight), bias, self.activation)
    }
}

/// A sequence of linear layers.
#[derive(Debug, Clone)]
pub struct Perceptron {
    layers: Vec<Linear>,
}

impl Perceptron {
    /// Layers without bias named `<name>.0`, `<name>.1`, ... with the given widths, the first being
    /// that of the input; `inner` is applied after every layer but the last, `last` after the last.
    pub fn new(
        parameters: &mut ParameterBuilder,
        name: &str,
        widths: &[usize],
        inner: Activation,
        last: Activation,
    ) -> Self {
        let n = widths.len().saturating_sub(1);
        let layers = (0..n).map(|i| {
            let activation = if i + 1 == n { last } else { inner };
            let name = format!("{name}.{i}");
            Linear::new(parameters, &name, widths[i], widths[i + 1], activation)
        });
        Self { layers: layers.collect() }
    }

    /// Adds a bias to every layer, initially 0.
    #[must_use]
    pub fn with_bias(self, parameters: &mut ParameterBuilder) -> Self {
        let layers = self.layers.into_iter().map(|layer| layer.with_bias(parameters));
        Self { layers: layers.collect() }
    }

    /// `[n_row, first width]` to `[n_row, last width]`.
    pub fn forward<D: Backend>(
        &self,
        pass: &mut Pass<'_, D>,
        x: &Matrix<D>,
    ) -> Result<Matrix<D>, ModelError> {
        self.layers.iter().try_fold(x.clone(), |x, layer| layer.forward(pass, &x))
    }

    /// The same for a value per edge.
    pub fn on_edges<D: Backend>(
        &self,
        pass: &Pass<'_, D>,
        message: &mut Message<D>,
        x: EdgeValue,
    ) -> EdgeValue {
        self.layers.iter().fold(x, |x, layer| layer.on_edges(pass, message, x))
    }
}

/// Norm, activation and dropout after a convolution, in one pass over the rows.
#[derive(Debug, Clone)]
pub struct NormalisedRows {
    /// Scale and offset.
    pub norm: Option<[Parameter; 2]>,
    activation: Activation,
    dropout: f32,
}

impl NormalisedRows {
    /// A norm with `<name>.scale` and `<name>.offset` `[width]`, initially 1 and 0, or no norm.
    pub fn new(
        parameters: &mut ParameterBuilder,
        name: &str,
        width: usize,
        norm: Norm,
        activation: Activation,
        dropout: DropoutRate,
    ) -> Self {
        let norm = match norm {
            Norm::None => None,
            Norm::Layer => Some([
                parameters.scale(&format!("{name}.scale"), width),
                parameters.bias(&format!("{name}.offset"), width),
            ]),
        };
        Self { norm, activation, dropout: dropout.get() as f32 }
    }

    /// `[n_row, width]` to the same. `node` maps rows to nodes, unless they are all nodes in order.
    pub fn forward<D: Backend>(
        &self,
        pass: &mut Pass<'_, D>,
        x: &Matrix<D>,
        node: Option<&Rc<Segments<D>>>,
    ) -> Result<Matrix<D>, ModelError> {
        let norm = self.norm.map(|norm| norm.map(|parameter| pass.parameter(parameter)));
        let (activation, dropout) = (self.activation, self.dropout);
        pass.normalise(x, &Normalise { norm, activation, dropout, node })
    }
}
