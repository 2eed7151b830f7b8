//! The network: convolutions with attention, each but the last with norm, activation and dropout.

use batchlab_core::{ModelContext, ModelError};
use batchlab_tensor::{
    Activation, Backend, DeviceBatch, Initial, Matrix, NodeEdges, NormalisedRows, Parameter,
    ParameterBuilder, Pass,
};

use crate::Gat;

pub(crate) struct Network {
    hidden: Vec<(Convolution, NormalisedRows)>,
    last: Convolution,
    only_outputs: bool,
}

struct Convolution {
    /// `[n_in, n_head * width]`, grouped by head.
    weight: Parameter,
    /// Contributions of senders and receivers to a score, `[n_head, width]`.
    attention: [Parameter; 2],
    bias: Parameter,
    n_head: usize,
    /// Whether heads are averaged instead of concatenated.
    averages: bool,
}

impl Network {
    pub(crate) fn new(model: &Gat, parameters: &mut ParameterBuilder, ctx: &ModelContext) -> Self {
        let (n_head, width) = (model.heads.get() as usize, model.hidden.get() as usize);
        let n_layer = model.layers.get();
        let n_in = |l: u32| if l == 0 { ctx.node_feature_width } else { n_head * width };
        let hidden = (0..n_layer - 1).map(|l| {
            let shape = [n_in(l), n_head, width];
            let convolution = Convolution::new(parameters, l, shape, false);
            let (name, activation) = (format!("norm.{l}"), Activation::Elu);
            let (columns, dropout) = (n_head * width, model.dropout);
            let after =
                NormalisedRows::new(parameters, &name, columns, model.norm, activation, dropout);
            after.norm.iter().flatten().for_each(|&norm| parameters.exempt_from_decay(norm));
            (convolution, after)
        });
        let hidden = hidden.collect();
        let shape = [n_in(n_layer - 1), n_head, ctx.output_width];
        let last = Convolution::new(parameters, n_layer - 1, shape, true);
        let Convolution { weight, attention: [sender, receiver], bias, .. } = last;
        for parameter in [weight, sender, receiver, bias] {
            parameters.exempt_from_decay(parameter);
        }
        Self { hidden, last, only_outputs: model.only_outputs }
    }
}

impl Convolution {
    fn new(
        parameters: &mut ParameterBuilder,
        l: u32,
        [n_in, n_head, width]: [usize; 3],
        averages: bool,
    ) -> Self {
        let mut matrix = |part: &str, shape| {
            parameters.matrix(&format!("convolution.{l}.{part}"), shape, Initial::XavierUniform)
        };
        let weight = matrix("weight", [n_in, n_head * width]);
        let attention = ["att_sender", "att_receiver"].map(|part| matrix(part, [n_head, width]));
        let n_bias = if averages { width } else { n_head * width };
        let bias = parameters.bias(&format!("convolution.{l}.bias"), n_bias);
        Self { weight, attention, bias, n_head, averages }
    }

    /// From the product of all node features and the weight.
    fn forward<D: Backend>(
        &self,
        pass: &mut Pass<'_, D>,
        sent: &Matrix<D>,
        edges: &NodeEdges<'_, D>,
    ) -> Result<Matrix<D>, ModelError> {
        let [theirs, own] = self.attention.map(|parameter| pass.parameter(parameter));
        let theirs = pass.head_scores(sent, theirs)?;
        let receivers = edges.receivers(pass, sent)?;
        let own = pass.head_scores(&receivers, own)?;
        let mut sum = pass.attend(sent, [&theirs, &own], edges.from, edges.to)?;
        if self.averages {
            sum = pass.mean_of_heads(&sum, self.n_head)?;
        }
        pass.add_row(&sum, pass.parameter(self.bias))
    }
}

/// Input features or hidden features of the nodes, times a weight.
fn times<D: Backend>(
    pass: &mut Pass<'_, D>,
    batch: &DeviceBatch<D>,
    node: Option<&Matrix<D>>,
    weight: Parameter,
) -> Result<Matrix<D>, ModelError> {
    let weight = pass.parameter(weight);
    match node {
        None => pass.project(batch.features()?, weight, None),
        Some(x) => pass.linear(x, weight, None, Activation::Identity),
    }
}

impl batchlab_tensor::Network for Network {
    fn forward<D: Backend>(
        &self,
        pass: &mut Pass<'_, D>,
        batch: &DeviceBatch<D>,
    ) -> Result<Matrix<D>, ModelError> {
        let mut node: Option<Matrix<D>> = None;
        for (convolution, after) in &self.hidden {
            let edges = batch.node_edges(false)?;
            let sent = times(pass, batch, node.as_ref(), convolution.weight)?;
            let sum = convolution.forward(pass, &sent, &edges)?;
            node = Some(after.forward(pass, &sum, None)?);
        }
        let edges = batch.node_edges(true)?;
        let sent = times(pass, batch, node.as_ref(), self.last.weight)?;
        self.last.forward(pass, &sent, &edges)
    }

    fn only_outputs(&self) -> bool {
        self.only_outputs
    }
}
