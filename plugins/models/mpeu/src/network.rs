//! The network: an embedding, steps that update edges and nodes, a readout.

use batchlab_core::{ModelContext, ModelError};
use batchlab_tensor::Activation::{Identity, ShiftedSoftplus};
use batchlab_tensor::{
    Aggregate, Backend, DeviceBatch, Direction, EdgeValue, GaussianBasis, Initial, Linear, Matrix,
    Message, Parameter, ParameterBuilder, Pass, Perceptron,
};

use crate::Mpeu;

pub(crate) struct Network {
    /// `[n_node_class, latent]`: the initial node features.
    embedding: Parameter,
    gaussians: GaussianBasis,
    steps: Vec<Step>,
    readout: Perceptron,
    aggregate: Aggregate,
    pooling: Aggregate,
}

/// Updates edges, then nodes.
struct Step {
    edge_update: EdgeUpdate,
    /// From the state of an edge to the factors of its sender's features.
    gate: Perceptron,
    sender: Linear,
    update: Perceptron,
}

/// Two layers on the concatenation of sender, receiver and edge state.
struct EdgeUpdate {
    /// `[2 latent + width of the edges, hidden]`, rows in this order.
    hidden: Linear,
    output: Linear,
    latent: usize,
}

impl Network {
    pub(crate) fn new(model: &Mpeu, parameters: &mut ParameterBuilder, ctx: &ModelContext) -> Self {
        let latent = model.latent_size.get() as usize;
        let n_gaussian = model.n_gaussian.get() as usize;
        let shape = [ctx.n_node_class, latent];
        let embedding = parameters.matrix("embedding.weight", shape, Initial::TruncatedNormal);
        let steps = (0..model.n_interaction.get()).map(|i| {
            let edge_width = if i == 0 { n_gaussian } else { latent };
            Step::new(model, parameters, i, edge_width)
        });
        let steps = steps.collect();
        let widths = [latent, model.readout_size(), ctx.output_width];
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
    /// The new state of every edge, from its old state and those of its two ends. The rows of the
    /// first weight that belong to nodes are multiplied once per node, not once per edge.
    fn forward<D: Backend>(
        &self,
        pass: &mut Pass<'_, D>,
        node: &Matrix<D>,
        message: &mut Message<D>,
        edge: EdgeValue,
    ) -> Result<EdgeValue, ModelError> {
        let (weight, latent) = (pass.parameter(self.hidden.weight), self.latent);
        let rows = vec![0..latent, latent..2 * latent, 2 * latent..weight.n_row()];
        let weights = pass.blocks_of_rows(weight, rows)?;
        let of_sender = pass.linear(node, &weights[0], None, Identity)?;
        let of_receiver = pass.linear(node, &weights[1], None, Identity)?;
        let of_edge = message.linear(edge, &weights[2], None, Identity);
        let terms = [of_edge, message.from(&of_sender), message.to(&of_receiver)];
        let hidden = message.sum(&terms, self.hidden.activation);
        Ok(self.output.on_edges(pass, message, hidden))
    }
}

impl batchlab_tensor::Network for Network {
    fn forward<D: Backend>(
        &self,
        pass: &mut Pass<'_, D>,
        batch: &DeviceBatch<D>,
    ) -> Result<Matrix<D>, ModelError> {
        let mut node = pass.gather(pass.parameter(self.embedding), batch.node_class()?)?;
        let mut edge_state = None;
        for (i, step) in self.steps.iter().enumerate() {
            let mut message = Message::new(batch, Direction::ToReceiver)?;
            let edge = match &edge_state {
                None => message.gaussians(batch.distance()?, &self.gaussians),
                Some(state) => message.stored(state),
            };
            let edge = step.edge_update.forward(pass, &node, &mut message, edge)?;
            let gate = step.gate.on_edges(pass, &mut message, edge);
            let sent = message.from(&step.sender.forward(pass, &node)?);
            let value = message.product(gate, sent);
            let received = if i + 1 < self.steps.len() {
                let (received, state) =
                    pass.message_and_edges(message, value, self.aggregate, edge)?;
                edge_state = Some(state);
                received
            } else {
                pass.message(message, value, self.aggregate)?
            };
            let change = step.update.forward(pass, &received)?;
            node = pass.add(&node, &change)?;
        }
        let value = self.readout.forward(pass, &node)?;
        pass.segment(&value, batch.graph(), self.pooling)
    }
}
