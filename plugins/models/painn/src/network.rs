//! The network: an embedding, message and update blocks, a readout.

use batchlab_core::{ModelContext, ModelError};
use batchlab_tensor::Activation::{self, Identity, Silu};
use batchlab_tensor::{
    Aggregate, Backend, DeviceBatch, Direction, EdgeGeometry, GaussianBasis, Initial, Linear,
    Matrix, Message, Parameter, ParameterBuilder, Pass,
};

use crate::{Messages, Painn};

/// Keeps lengths away from 0, where the square root has no derivative.
const EPSILON: f32 = 1e-8;

/// Figure 2 of Schütt et al. 2021.
pub(crate) struct Network {
    /// `[n_node_class, latent]`: the initial scalars. Vectors start at 0.
    embedding: Parameter,
    gaussians: GaussianBasis,
    /// In angstrom.
    cutoff: f32,
    /// From the Gaussians of a distance to the concatenated filters of all interactions, three of
    /// width `latent` each.
    filter: Linear,
    interactions: Vec<Interaction>,
    readout: [Linear; 2],
    direction: Direction,
    pooling: Aggregate,
    latent: usize,
    clip: f32,
}

struct Interaction {
    /// From scalars to the features that a node sends.
    sender: [Linear; 2],
    /// From vectors to two concatenated mixtures of them.
    mixing: Linear,
    /// From scalars and lengths to the factors of the update.
    gates: [Linear; 2],
}

impl Network {
    pub(crate) fn new(
        model: &Painn,
        parameters: &mut ParameterBuilder,
        ctx: &ModelContext,
    ) -> Self {
        let latent = model.latent_size.get() as usize;
        let n_interaction = model.n_interaction.get() as usize;
        let n_gaussian = model.n_gaussian.get() as usize;
        let shape = [ctx.n_node_class, latent];
        let embedding = parameters.matrix("embedding.weight", shape, Initial::XavierUniform);
        let widths = [n_gaussian, 3 * latent * n_interaction];
        let filter = linear(parameters, "filter", widths, Identity).with_bias(parameters);
        let interactions = (0..n_interaction).map(|i| {
            let name = |part: &str| format!("interaction.{i}.{part}");
            let widths = [latent, 2 * latent];
            Interaction {
                sender: two_layers(parameters, &name("sender"), [latent, latent, 3 * latent]),
                mixing: linear(parameters, &name("mixing"), widths, Identity),
                gates: two_layers(parameters, &name("gates"), [2 * latent, latent, 3 * latent]),
            }
        });
        let interactions = interactions.collect();
        let hidden = model.readout_size.map_or(latent, |size| size.get() as usize);
        Self {
            embedding,
            gaussians: gaussians(n_gaussian, model.cutoff_angstrom.get()),
            cutoff: model.cutoff_angstrom.get() as f32,
            filter,
            interactions,
            readout: two_layers(parameters, "readout", [latent, hidden, ctx.output_width]),
            direction: match model.messages {
                Messages::Study => Direction::ToSender,
                Messages::Published => Direction::ToReceiver,
            },
            pooling: model.readout.into(),
            latent,
            clip: model.clip.get() as f32,
        }
    }

    /// Messages received by nodes in an interaction: scalars and vectors, concatenated.
    fn receive<D: Backend>(
        &self,
        pass: &mut Pass<'_, D>,
        batch: &DeviceBatch<D>,
        geometry: &EdgeGeometry<D>,
        [scalars, vectors]: [&Matrix<D>; 2],
        sender: &[Linear; 2],
        (weight, bias): (&Matrix<D>, Option<&Matrix<D>>),
    ) -> Result<Matrix<D>, ModelError> {
        let sent = through(sender, pass, scalars)?;

        let mut edge = Message::new(batch, self.direction)?;
        let gaussians = edge.gaussians(&geometry.distance, &self.gaussians);
        let filter = edge.linear(gaussians, weight, bias, self.filter.activation);
        let filter = edge.scale(filter, &geometry.cutoff);
        let sent = edge.from(&sent);
        let value = edge.product(filter, sent);
        let vectors = edge.vectors_from(vectors);
        let message = edge.equivariant(value, vectors, &geometry.direction);
        pass.message(edge, message, Aggregate::Sum)
    }
}

/// Gaussians with centres from 0 to the cutoff and a standard deviation of cutoff / `n`.
fn gaussians(n: usize, cutoff: f64) -> GaussianBasis {
    let deviation = cutoff / n as f64;
    GaussianBasis {
        n,
        first: 0.0,
        spacing: (cutoff / (n.max(2) - 1) as f64) as f32,
        coefficient: (0.5 / (deviation * deviation)) as f32,
    }
}

fn linear(
    parameters: &mut ParameterBuilder,
    name: &str,
    widths: [usize; 2],
    activation: Activation,
) -> Linear {
    Linear::with_initial(parameters, name, widths, activation, Initial::XavierUniform)
}

/// Two layers with biases, the first with an activation.
fn two_layers(
    parameters: &mut ParameterBuilder,
    name: &str,
    [n_in, n_hidden, n_out]: [usize; 3],
) -> [Linear; 2] {
    let mut layer = |number: u32, widths, activation| {
        linear(parameters, &format!("{name}.{number}"), widths, activation).with_bias(parameters)
    };
    [layer(0, [n_in, n_hidden], Silu), layer(1, [n_hidden, n_out], Identity)]
}

fn through<D: Backend>(
    layers: &[Linear; 2],
    pass: &mut Pass<'_, D>,
    x: &Matrix<D>,
) -> Result<Matrix<D>, ModelError> {
    let hidden = layers[0].forward(pass, x)?;
    layers[1].forward(pass, &hidden)
}

impl batchlab_tensor::Network for Network {
    fn forward<D: Backend>(
        &self,
        pass: &mut Pass<'_, D>,
        batch: &DeviceBatch<D>,
    ) -> Result<Matrix<D>, ModelError> {
        let geometry = pass.edge_geometry(batch.displacement()?, EPSILON, self.cutoff)?;
        let mut scalars = pass.gather(pass.parameter(self.embedding), batch.node_class()?)?;
        // Rows x, y and z of each node.
        let shape = [3 * scalars.n_row(), self.latent];
        let mut vectors = Matrix::zeros(pass.device(), shape)?;
        // The filters of all interactions are concatenated.
        let width = 3 * self.latent;
        let columns: Vec<_> =
            (0..self.interactions.len()).map(|i| width * i..width * (i + 1)).collect();
        let biases = self
            .filter
            .bias
            .map(|bias| pass.blocks_of_columns(pass.parameter(bias), columns.clone()));
        let biases = biases.transpose()?;
        let weights = pass.blocks_of_columns(pass.parameter(self.filter.weight), columns)?;
        for (i, interaction) in self.interactions.iter().enumerate() {
            let state = [&scalars, &vectors];
            let filter = (&weights[i], biases.as_ref().map(|biases| &biases[i]));
            let received =
                self.receive(pass, batch, &geometry, state, &interaction.sender, filter)?;
            [scalars, vectors] = pass.add_received(state, &received, self.clip)?;

            let mixed = interaction.mixing.forward(pass, &vectors)?;
            let lengths = pass.norms_beside(&scalars, &mixed, EPSILON)?;
            let gates = through(&interaction.gates, pass, &lengths)?;
            let state = [&scalars, &vectors];
            [scalars, vectors] = pass.equivariant_update(state, &gates, &mixed, self.clip)?;
        }
        let value = through(&self.readout, pass, &scalars)?;
        pass.segment(&value, batch.graph(), self.pooling)
    }
}
