//! The network: an embedding, interactions, a readout.

use batchlab_core::{ModelContext, ModelError};
use batchlab_tensor::Activation::{self, Identity, ShiftedSoftplus};
use batchlab_tensor::{
    Aggregate, Backend, DeviceBatch, Direction, GaussianBasis, Initial, Linear, Matrix, Message,
    Parameter, ParameterBuilder, Pass, Perceptron,
};

use crate::Schnet;

/// Figure 2 of Schütt et al. 2017.
pub(crate) struct Network {
    /// `[n_node_class, latent]`: the initial node features.
    embedding: Parameter,
    gaussians: GaussianBasis,
    /// In angstrom.
    cutoff: Option<f32>,
    interactions: Vec<Interaction>,
    readout: Perceptron,
    aggregate: Aggregate,
    pooling: Aggregate,
}

struct Interaction {
    /// From the distance to the filter of an edge.
    filter: Perceptron,
    sender: Linear,
    update: Perceptron,
}

impl Network {
    pub(crate) fn new(
        model: &Schnet,
        parameters: &mut ParameterBuilder,
        ctx: &ModelContext,
    ) -> Self {
        let latent = model.latent_size.get() as usize;
        let shape = [ctx.n_node_class, latent];
        let embedding = parameters.matrix("embedding.weight", shape, Initial::TruncatedNormal);
        let interactions = (0..model.n_interaction.get())
            .map(|i| Interaction::new(model, parameters, i))
            .collect();
        let widths = [latent, model.readout_size(), ctx.output_width];
        Self {
            embedding,
            gaussians: model.gaussian_spacing_angstrom.basis(model.n_gaussian.get() as usize),
            cutoff: model.cutoff_angstrom.map(|cutoff| cutoff.get() as f32),
            interactions,
            readout: layers(model, parameters, "readout", &widths, Identity),
            aggregate: model.aggregation.into(),
            pooling: model.readout.into(),
        }
    }
}

impl Interaction {
    fn new(model: &Schnet, parameters: &mut ParameterBuilder, i: u32) -> Self {
        let name = |part: &str| format!("interaction.{i}.{part}");
        let latent = model.latent_size.get() as usize;
        let widths = [model.n_gaussian.get() as usize, latent, latent];
        let filter = layers(model, parameters, &name("filter"), &widths, ShiftedSoftplus);
        let update = layers(model, parameters, &name("update"), &[latent; 3], Identity);
        let sender = Linear::new(parameters, &name("sender"), latent, latent, Identity);
        let sender = if model.bias { sender.with_bias(parameters) } else { sender };
        Self { filter, sender, update }
    }
}

/// Layers with or without biases.
fn layers(
    model: &Schnet,
    parameters: &mut ParameterBuilder,
    name: &str,
    widths: &[usize],
    last: Activation,
) -> Perceptron {
    let layers = Perceptron::new(parameters, name, widths, ShiftedSoftplus, last);
    if model.bias { layers.with_bias(parameters) } else { layers }
}

impl batchlab_tensor::Network for Network {
    fn forward<D: Backend>(
        &self,
        pass: &mut Pass<'_, D>,
        batch: &DeviceBatch<D>,
    ) -> Result<Matrix<D>, ModelError> {
        let distance = batch.distance()?;
        let cutoff = self.cutoff.map(|cutoff| pass.cosine_cutoff(distance, cutoff)).transpose()?;
        let mut node = pass.gather(pass.parameter(self.embedding), batch.node_class()?)?;
        for interaction in &self.interactions {
            let sent = interaction.sender.forward(pass, &node)?;
            let mut edge = Message::new(batch, Direction::ToReceiver)?;
            let gaussians = edge.gaussians(distance, &self.gaussians);
            let mut filter = interaction.filter.on_edges(pass, &mut edge, gaussians);
            if let Some(cutoff) = &cutoff {
                filter = edge.scale(filter, cutoff);
            }
            let sent = edge.from(&sent);
            let message = edge.product(filter, sent);
            let received = pass.message(edge, message, self.aggregate)?;
            let change = interaction.update.forward(pass, &received)?;
            node = pass.add(&node, &change)?;
        }
        let value = self.readout.forward(pass, &node)?;
        pass.segment(&value, batch.graph(), self.pooling)
    }
}
