//! The network: an embedding, interactions, a readout.

use batchlab_core::ModelError;
use batchlab_tensor::Activation::{Identity, ShiftedSoftplus};
use batchlab_tensor::{
    Aggregate, Backend, DeviceBatch, GaussianBasis, Initial, Linear, Matrix, Parameter,
    ParameterBuilder, Pass, Perceptron,
};

use crate::Schnet;

/// Figure 2 of Schütt et al. 2017.
pub(crate) struct Network {
    /// `[n_node_class, latent]`: the features that a node starts with.
    embedding: Parameter,
    gaussians: GaussianBasis,
    interactions: Vec<Interaction>,
    readout: Perceptron,
    pooling: Aggregate,
}

/// Messages between nodes, and what a node makes of them.
struct Interaction {
    /// From the distance to the filter of an edge.
    filter: Perceptron,
    /// What a node sends.
    sender: Linear,
    /// From what a node receives to the change of its features.
    update: Perceptron,
    aggregate: Aggregate,
}

impl Network {
    pub(crate) fn new(
        model: &Schnet,
        parameters: &mut ParameterBuilder,
        n_node_class: usize,
        output_width: usize,
    ) -> Self {
        let latent = model.latent_size.get() as usize;
        let n_gaussian = model.n_gaussian.get() as usize;
        let spacing = model.gaussian_spacing_angstrom.get();

        let shape = [n_node_class, latent];
        let embedding = parameters.matrix("embedding.weight", shape, Initial::TruncatedNormal);
        let interactions = (0..model.n_interaction.get()).map(|i| {
            let mut layers = |name: &str, widths: &[usize], last| {
                let name = format!("interaction.{i}.{name}");
                Perceptron::new(parameters, &name, widths, ShiftedSoftplus, last)
            };
            Interaction {
                filter: layers("filter", &[n_gaussian, latent, latent], ShiftedSoftplus),
                update: layers("update", &[latent, latent, latent], Identity),
                sender: Linear::new(
                    parameters,
                    &format!("interaction.{i}.sender"),
                    latent,
                    latent,
                    Identity,
                ),
                aggregate: model.aggregation.into(),
            }
        });
        Self {
            embedding,
            gaussians: GaussianBasis {
                n: n_gaussian,
                first: 0.0,
                spacing: spacing as f32,
                // The divisor is the spacing itself, as in the program of arXiv 2502.00944.
                coefficient: (1.0 / spacing) as f32,
            },
            interactions: interactions.collect(),
            readout: Perceptron::new(
                parameters,
                "readout",
                &[latent, model.readout_size(), output_width],
                ShiftedSoftplus,
                Identity,
            ),
            pooling: model.readout.into(),
        }
    }
}

impl batchlab_tensor::Network for Network {
    fn forward<D: Backend>(
        &self,
        pass: &mut Pass<'_, D>,
        batch: &DeviceBatch<D>,
    ) -> Result<Matrix<D>, ModelError> {
        let gaussians = pass.gaussians(batch.distance()?, &self.gaussians)?;
        let (sender, receiver) = (batch.sender()?, batch.receiver());
        let mut node = pass.gather(pass.parameter(self.embedding), batch.node_class()?)?;
        for interaction in &self.interactions {
            let filter = interaction.filter.forward(pass, &gaussians)?;
            let sent = interaction.sender.forward(pass, &node)?;
            let received =
                pass.convolve(&filter, &sent, sender, receiver, interaction.aggregate)?;
            let change = interaction.update.forward(pass, &received)?;
            node = pass.add(&node, &change)?;
        }
        let value = self.readout.forward(pass, &node)?;
        pass.segment(&value, batch.graph(), self.pooling)
    }
}
