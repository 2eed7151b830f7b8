//! The network: convolutions, each with norm, activation and dropout, and a linear layer.

use batchlab_core::{ModelContext, ModelError};
use batchlab_tensor::{
    Activation, Aggregate, Backend, DeviceBatch, Features, Initial, Linear, Matrix, NodeEdges,
    NormalisedRows, Parameter, ParameterBuilder, Pass,
};

use crate::Gcn;

pub(crate) struct Network {
    convolutions: Vec<Convolution>,
    head: Linear,
    only_outputs: bool,
}

struct Convolution {
    /// `[n_in, n_out]`.
    weight: Parameter,
    after: NormalisedRows,
}

impl Network {
    pub(crate) fn new(model: &Gcn, parameters: &mut ParameterBuilder, ctx: &ModelContext) -> Self {
        let hidden = model.hidden.get() as usize;
        let convolutions = (0..model.layers.get()).map(|l| {
            let n_in = if l == 0 { ctx.node_feature_width } else { hidden };
            let name = format!("convolution.{l}.weight");
            let weight = parameters.matrix(&name, [n_in, hidden], Initial::XavierUniform);
            let (norm, activation) = (format!("norm.{l}"), Activation::Relu);
            let dropout = model.dropout;
            let after =
                NormalisedRows::new(parameters, &norm, hidden, model.norm, activation, dropout);
            Convolution { weight, after }
        });
        let convolutions = convolutions.collect();
        let shape = [hidden, ctx.output_width];
        let (identity, xavier) = (Activation::Identity, Initial::XavierUniform);
        let head =
            Linear::with_initial(parameters, "head", shape, identity, xavier).with_bias(parameters);
        for parameter in [Some(head.weight), head.bias].into_iter().flatten() {
            parameters.exempt_from_decay(parameter);
        }
        Self { convolutions, head, only_outputs: model.only_outputs }
    }
}

/// Sum over the edges of `weight * x`, times the parameters, in the order that moves fewer numbers
/// along the edges.
fn convolve<D: Backend>(
    pass: &mut Pass<'_, D>,
    x: &Matrix<D>,
    parameters: &Matrix<D>,
    edges: &NodeEdges<'_, D>,
) -> Result<Matrix<D>, ModelError> {
    let identity = Activation::Identity;
    if parameters.n_row() < parameters.n_column() {
        let sums = pass.propagate(x, edges.weight, edges.from, edges.to, Aggregate::Sum)?;
        return pass.linear(&sums, parameters, None, identity);
    }
    let sent = pass.linear(x, parameters, None, identity)?;
    pass.propagate(&sent, edges.weight, edges.from, edges.to, Aggregate::Sum)
}

impl batchlab_tensor::Network for Network {
    fn forward<D: Backend>(
        &self,
        pass: &mut Pass<'_, D>,
        batch: &DeviceBatch<D>,
    ) -> Result<Matrix<D>, ModelError> {
        let mut node: Option<Matrix<D>> = None;
        for (l, convolution) in self.convolutions.iter().enumerate() {
            let edges = batch.node_edges(l + 1 == self.convolutions.len())?;
            let parameters = pass.parameter(convolution.weight);
            let sum = match (&node, batch.features()?) {
                (Some(x), _) | (None, Features::Dense(x)) => convolve(pass, x, parameters, &edges)?,
                (None, features @ Features::Sparse(_)) => {
                    let sent = pass.project(features, parameters, None)?;
                    pass.propagate(&sent, edges.weight, edges.from, edges.to, Aggregate::Sum)?
                }
            };
            node = Some(convolution.after.forward(pass, &sum, edges.node)?);
        }
        let node = node.ok_or_else(|| ModelError::Engine("a network without layers".into()))?;
        self.head.forward(pass, &node)
    }

    fn only_outputs(&self) -> bool {
        self.only_outputs
    }
}
