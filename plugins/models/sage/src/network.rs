//! The network: convolutions, each with norm, activation and dropout, and a linear layer.

use batchlab_core::{ModelContext, ModelError};
use batchlab_tensor::{
    Activation, Aggregate, Backend, DeviceBatch, Features, Initial, Linear, Matrix, NodeEdges,
    NormalisedRows, Parameter, ParameterBuilder, Pass,
};

use crate::Sage;

pub(crate) struct Network {
    convolutions: Vec<Convolution>,
    head: Linear,
    only_outputs: bool,
}

struct Convolution {
    /// For received and for own features, `[n_in, n_out]` each.
    neighbour: Parameter,
    own: Parameter,
    /// `[n_out]`.
    bias: Parameter,
    after: NormalisedRows,
}

impl Network {
    pub(crate) fn new(model: &Sage, parameters: &mut ParameterBuilder, ctx: &ModelContext) -> Self {
        let hidden = model.hidden.get() as usize;
        let convolutions = (0..model.layers.get()).map(|l| {
            let n_in = if l == 0 { ctx.node_feature_width } else { hidden };
            let [neighbour, own] = ["neighbour", "own"].map(|which| {
                let name = format!("convolution.{l}.{which}");
                parameters.matrix(&name, [n_in, hidden], Initial::XavierUniform)
            });
            let bias = parameters.bias(&format!("convolution.{l}.bias"), hidden);
            let (norm, activation) = (format!("norm.{l}"), Activation::Relu);
            let dropout = model.dropout;
            let after =
                NormalisedRows::new(parameters, &norm, hidden, model.norm, activation, dropout);
            Convolution { neighbour, own, bias, after }
        });
        let convolutions = convolutions.collect();
        let shape = [hidden, ctx.output_width];
        let (identity, xavier) = (Activation::Identity, Initial::XavierUniform);
        let head =
            Linear::with_initial(parameters, "head", shape, identity, xavier).with_bias(parameters);
        Self { convolutions, head, only_outputs: model.only_outputs }
    }
}

impl Convolution {
    /// The mean of the neighbours times its weight, in the order that moves fewer numbers along the
    /// edges, plus own features times theirs.
    fn forward<D: Backend>(
        &self,
        pass: &mut Pass<'_, D>,
        x: &Matrix<D>,
        edges: &NodeEdges<'_, D>,
    ) -> Result<Matrix<D>, ModelError> {
        let [neighbour, own, bias] =
            [self.neighbour, self.own, self.bias].map(|parameter| pass.parameter(parameter));
        let (from, to, identity) = (edges.from, edges.to, Activation::Identity);
        let received = if neighbour.n_row() <= neighbour.n_column() {
            let mean = pass.propagate(x, None, from, to, Aggregate::Mean)?;
            pass.linear(&mean, neighbour, None, identity)?
        } else {
            let sent = pass.linear(x, neighbour, None, identity)?;
            pass.propagate(&sent, None, from, to, Aggregate::Mean)?
        };
        let receivers = edges.receivers(pass, x)?;
        let kept = pass.linear(&receivers, own, Some(bias), identity)?;
        pass.add(&received, &kept)
    }

    /// The same for sparse input features.
    fn first<D: Backend>(
        &self,
        pass: &mut Pass<'_, D>,
        features: &Features<D>,
        edges: &NodeEdges<'_, D>,
    ) -> Result<Matrix<D>, ModelError> {
        let [neighbour, own, bias] =
            [self.neighbour, self.own, self.bias].map(|parameter| pass.parameter(parameter));
        let sent = pass.project(features, neighbour, None)?;
        let received = pass.propagate(&sent, None, edges.from, edges.to, Aggregate::Mean)?;
        let kept = pass.project(features, own, Some(bias))?;
        let kept = edges.receivers(pass, &kept)?;
        pass.add(&received, &kept)
    }
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
            let sum = match (&node, batch.features()?) {
                (Some(x), _) | (None, Features::Dense(x)) => {
                    convolution.forward(pass, x, &edges)?
                }
                (None, features) => convolution.first(pass, features, &edges)?,
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
