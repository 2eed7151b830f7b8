//! The network: an embedding, steps that update edges and nodes, a readout.

use batchlab_core::ModelError;
use batchlab_tensor::Activation::{Identity, ShiftedSoftplus};
use batchlab_tensor::{
    Aggregate, Backend, DeviceBatch, GaussianBasis, Initial, Linear, Matrix, Parameter,
    ParameterBuilder, Pass, Perceptron,
};

use crate::Mpeu;

pub(crate) struct Network {
    /// `[n_node_class, latent]`: the features that a node starts with.
    embedding: Parameter,
    gaussians: GaussianBasis,
    steps: Vec<Step>,
    readout: Perceptron,
    aggregate: Aggregate,
    pooling: Aggregate,
}

/// New states of edges, then of nodes.
struct Step {
    edge_update: EdgeUpdate,
    /// From the state of an edge to what its sender's features are multiplied by.
    gate: Perceptron,
    /// What a node sends.
    sender: Linear,
    /// From what a node receives to the change of its features.
    update: Perceptron,
}

/// Two layers on the sender, the receiver and the state of an edge, side by side.
struct EdgeUpdate {
    /// `[2 latent + width of the edges, hidden]`, rows in this order.
    hidden: Linear,
    output: Linear,
    latent: usize,
}

impl Network {
    pub(crate) fn new(
        model: &Mpeu,
        parameters: &mut ParameterBuilder,
        n_node_class: usize,
        output_width: usize,
    ) -> Self {
        let latent = model.latent_size.get() as usize;
        let n_gaussian = model.n_gaussian.get() as usize;
        let shape = [n_node_class, latent];
        let embedding = parameters.matrix("embedding.weight", shape, Initial::TruncatedNormal);
        let steps = (0..model.n_interaction.get()).map(|i| {
            let edge_width = if i == 0 { n_gaussian } else { latent };
            Step::new(model, parameters, i, edge_width)
        });
        let steps = steps.collect();
        let widths = [latent, model.readout_size(), output_width];
        Self {
            embedding,
            gaussians: model.gaussian_spacing_angstrom.basis(n_gaussian),
            steps,
            readout: Perceptron::new(parameters, "readout", &widths, ShiftedSoftplus, Identity),
            aggregate: model.aggregation.into(),
            pooling: model.readout.into(),
        }
    }
}

impl Step {
    fn new(model: &Mpeu, parameters: &mut ParameterBuilder, i: u32, edge_width: usize) -> Self {
        let name = |part: &str| format!("interaction.{i}.{part}");
        let latent = model.latent_size.get() as usize;
        let hidden = model.edge_hidden_size();
        let mut linear = |part: &str, n_in: usize, n_out: usize, activation| {
            Linear::new(parameters, &name(part), n_in, n_out, activation)
        };
        let edge_update = EdgeUpdate {
            hidden: linear("edge_update.0", 2 * latent + edge_width, hidden, ShiftedSoftplus),
            output: linear("edge_update.1", hidden, latent, Identity),
            latent,
        };
        let sender = linear("sender", latent, latent, Identity);
        let mut layers = |part: &str, last| {
            Perceptron::new(parameters, &name(part), &[latent; 3], ShiftedSoftplus, last)
        };
        let gate = layers("gate", ShiftedSoftplus);
        let update = layers("update", Identity);
        Self { edge_update, gate, sender, update }
    }
}

impl EdgeUpdate {
    /// The new state of every edge, `[n_edge, latent]`. The rows of the first weight that belong to
    /// nodes are multiplied once per node, not once per edge.
    fn forward<D: Backend>(
        &self,
        pass: &mut Pass<'_, D>,
        batch: &DeviceBatch<D>,
        node: &Matrix<D>,
        edge: &Matrix<D>,
    ) -> Result<Matrix<D>, ModelError> {
        let (weight, latent) = (pass.parameter(self.hidden.weight), self.latent);
        let mut part = |x: &Matrix<D>, first: usize| {
            let rows = pass.rows(weight, first..first + x.n_column())?;
            pass.linear(x, &rows, None, Identity)
        };
        let of_sender = part(node, 0)?;
        let of_receiver = part(node, latent)?;
        let of_edge = part(edge, 2 * latent)?;
        let (sender, receiver) = (batch.sender()?, batch.receiver());
        let sum = pass.add_ends(&of_edge, &of_sender, sender, &of_receiver, receiver)?;
        let hidden = pass.activate(&sum, self.hidden.activation)?;
        self.output.forward(pass, &hidden)
    }
}

impl batchlab_tensor::Network for Network {
    fn forward<D: Backend>(
        &self,
        pass: &mut Pass<'_, D>,
        batch: &DeviceBatch<D>,
    ) -> Result<Matrix<D>, ModelError> {
        let (sender, receiver) = (batch.sender()?, batch.receiver());
        let mut edge = pass.gaussians(batch.distance()?, &self.gaussians)?;
        let mut node = pass.gather(pass.parameter(self.embedding), batch.node_class()?)?;
        for step in &self.steps {
            edge = step.edge_update.forward(pass, batch, &node, &edge)?;
            let gate = step.gate.forward(pass, &edge)?;
            let sent = step.sender.forward(pass, &node)?;
            let received = pass.convolve(&gate, &sent, sender, receiver, self.aggregate)?;
            let change = step.update.forward(pass, &received)?;
            node = pass.add(&node, &change)?;
        }
        let value = self.readout.forward(pass, &node)?;
        pass.segment(&value, batch.graph(), self.pooling)
    }
}
