//! The network: an embedding, message and update blocks, a readout.

use std::rc::Rc;

use batchlab_core::ModelError;
use batchlab_tensor::Activation::{self, Identity, Silu};
use batchlab_tensor::{
    Aggregate, Backend, DeviceBatch, GaussianBasis, Initial, Linear, Matrix, Parameter,
    ParameterBuilder, Pass, Segments,
};

use crate::{Messages, Painn};

/// Keeps lengths away from 0, where a root has no derivative.
const EPSILON: f32 = 1e-8;

/// Figure 2 of Schütt et al. 2021.
pub(crate) struct Network {
    /// `[n_node_class, latent]`: the scalars that a node starts with. Vectors start at 0.
    embedding: Parameter,
    gaussians: GaussianBasis,
    /// In angstrom.
    cutoff: f32,
    /// From the Gaussians of a distance to the filters of all interactions side by side, three of
    /// width `latent` each.
    filter: Linear,
    interactions: Vec<Interaction>,
    readout: [Linear; 2],
    messages: Messages,
    pooling: Aggregate,
    latent: usize,
    clip: f32,
}

/// A message block and an update block.
struct Interaction {
    /// From scalars to what a node sends.
    sender: [Linear; 2],
    /// From vectors to two mixtures of them, side by side.
    mixing: Linear,
    /// From scalars and lengths to what the update multiplies.
    gates: [Linear; 2],
}

/// What nodes have.
struct State<D: Backend> {
    /// `[n_node, latent]`.
    scalars: Matrix<D>,
    /// Rows x, y and z of each node, `[3 n_node, latent]`.
    vectors: Matrix<D>,
}

impl Network {
    pub(crate) fn new(
        model: &Painn,
        parameters: &mut ParameterBuilder,
        n_node_class: usize,
        output_width: usize,
    ) -> Self {
        let latent = model.latent_size.get() as usize;
        let n_interaction = model.n_interaction.get() as usize;
        let n_gaussian = model.n_gaussian.get() as usize;
        let shape = [n_node_class, latent];
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
            readout: two_layers(parameters, "readout", [latent, hidden, output_width]),
            messages: model.messages,
            pooling: model.readout.into(),
            latent,
            clip: model.clip.get() as f32,
        }
    }

    /// The filters of the i-th interaction, `[n_edge, 3 latent]`.
    fn filter<D: Backend>(
        &self,
        pass: &mut Pass<'_, D>,
        gaussians: &Matrix<D>,
        i: usize,
    ) -> Result<Matrix<D>, ModelError> {
        let columns = 3 * self.latent * i..3 * self.latent * (i + 1);
        let weight = pass.columns(pass.parameter(self.filter.weight), columns.clone())?;
        let bias = self.filter.bias.map(|bias| pass.columns(pass.parameter(bias), columns));
        pass.linear(gaussians, &weight, bias.transpose()?.as_ref(), self.filter.activation)
    }

    /// Where messages start and where they end.
    fn ends<'b, D: Backend>(
        &self,
        batch: &'b DeviceBatch<D>,
    ) -> Result<[&'b Rc<Segments<D>>; 2], ModelError> {
        Ok(match self.messages {
            Messages::Study => [batch.receiver(), batch.sender()?],
            Messages::Published => [batch.sender()?, batch.receiver()],
        })
    }
}

/// Gaussians with centres from 0 to the cutoff, of a deviation that is the `n`-th part of it.
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

impl<D: Backend> State<D> {
    fn add(
        &mut self,
        pass: &mut Pass<'_, D>,
        [of_scalars, of_vectors]: [Matrix<D>; 2],
        clip: f32,
    ) -> Result<(), ModelError> {
        self.scalars = pass.add_clipped(&self.scalars, &of_scalars, clip)?;
        self.vectors = pass.add_clipped(&self.vectors, &of_vectors, clip)?;
        Ok(())
    }
}

impl batchlab_tensor::Network for Network {
    fn forward<D: Backend>(
        &self,
        pass: &mut Pass<'_, D>,
        batch: &DeviceBatch<D>,
    ) -> Result<Matrix<D>, ModelError> {
        let geometry = pass.edge_geometry(batch.displacement()?, EPSILON, self.cutoff)?;
        let gaussians = pass.gaussians(&geometry.distance, &self.gaussians)?;
        let [from, to] = self.ends(batch)?;
        let scalars = pass.gather(pass.parameter(self.embedding), batch.node_class()?)?;
        let shape = [3 * scalars.n_row(), self.latent];
        let vectors = Matrix::constant(pass.device(), vec![0.0; shape[0] * shape[1]], shape)?;
        let mut state = State { scalars, vectors };
        for (i, interaction) in self.interactions.iter().enumerate() {
            let filter = self.filter(pass, &gaussians, i)?;
            let sent = through(&interaction.sender, pass, &state.scalars)?;
            let received =
                pass.equivariant_message(&filter, &sent, &state.vectors, &geometry, from, to)?;
            state.add(pass, received, self.clip)?;

            let mixed = interaction.mixing.forward(pass, &state.vectors)?;
            let lengths = pass.norms_beside(&state.scalars, &mixed, EPSILON)?;
            let gates = through(&interaction.gates, pass, &lengths)?;
            let change = pass.equivariant_update(&gates, &mixed)?;
            state.add(pass, change, self.clip)?;
        }
        let value = through(&self.readout, pass, &state.scalars)?;
        pass.segment(&value, batch.graph(), self.pooling)
    }
}
