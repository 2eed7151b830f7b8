//! Model `schnet`: continuous-filter convolutions on molecules and crystals.

mod network;

use std::num::NonZeroU32;

use batchlab_core::edge_rule::Radius;
use batchlab_core::model::ModelSize;
use batchlab_core::{BatchFields, Model, ModelContext, ModelError, Trainer};
pub use batchlab_tensor::options::{Aggregation, GaussianSpacing};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use network::Network;

/// SchNet, continuous-filter convolutions on molecules and crystals. The filter of an edge is a
/// small network of its length; nodes send their features through the filters of their edges.
///
/// Schütt et al., "SchNet: a continuous-filter convolutional neural network for modeling quantum
/// interactions", NIPS 2017, arXiv 1706.08566. The defaults are the variant trained in arXiv
/// 2502.00944: no biases, no cutoff, messages and nodes averaged instead of summed, 150 Gaussians
/// from 0 to 14.9 angstrom with `exp(-(d - mu)^2 / spacing)`; 80,352 parameters for five elements.
/// It was published with `n_gaussian = 300`, `aggregation = "sum"`, `readout = "sum"` and `bias =
/// true`; the cutoff came with the program `SchNetPack` (Schütt et al. 2019).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Schnet {
    /// Features per node.
    pub latent_size: NonZeroU32,
    /// Number of interactions, each with its own weights.
    pub n_interaction: NonZeroU32,
    /// Number of Gaussians in the expansion of a distance; the first is centred at 0.
    pub n_gaussian: NonZeroU32,
    /// Distance between the centres of two Gaussians. Their variance is half of it, in square
    /// angstrom.
    pub gaussian_spacing_angstrom: GaussianSpacing,
    /// Edges of this length or longer are ignored, in angstrom: filters are multiplied by `(cos(pi
    /// d / cutoff) + 1) / 2`. If omitted, edges of any length count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cutoff_angstrom: Option<Radius>,
    /// Features per node in the hidden layer of the readout; defaults to half of `latent_size`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readout_size: Option<NonZeroU32>,
    /// How to aggregate the messages that a node receives.
    pub aggregation: Aggregation,
    /// How to aggregate the nodes' values to the graph's.
    pub readout: Aggregation,
    /// Whether every layer adds a bias, initially 0.
    pub bias: bool,
}

impl Default for Schnet {
    fn default() -> Self {
        Self {
            latent_size: NonZeroU32::new(64).expect("64 is not 0"),
            n_interaction: NonZeroU32::new(3).expect("3 is not 0"),
            n_gaussian: NonZeroU32::new(150).expect("150 is not 0"),
            gaussian_spacing_angstrom: GaussianSpacing::default(),
            cutoff_angstrom: None,
            readout_size: None,
            aggregation: Aggregation::default(),
            readout: Aggregation::default(),
            bias: false,
        }
    }
}

impl Schnet {
    fn readout_size(&self) -> usize {
        let half = NonZeroU32::new(self.latent_size.get() / 2).unwrap_or(NonZeroU32::MIN);
        self.readout_size.unwrap_or(half).get() as usize
    }
}

#[typetag::serde(name = "schnet")]
impl Model for Schnet {
    fn needs(&self) -> BatchFields {
        BatchFields {
            node_class: true,
            distance: true,
            sender_order: true,
            ..BatchFields::default()
        }
    }

    fn check_device(&self, device: &str) -> Result<(), ModelError> {
        device.parse::<batchlab_tensor::device::Device>().map(drop)
    }

    fn size(&self, ctx: &ModelContext) -> Option<ModelSize> {
        let n_parameter =
            batchlab_tensor::n_parameter(self.n_interaction, |n_interaction, parameters| {
                Network::new(&Self { n_interaction, ..self.clone() }, parameters, ctx);
            });
        let [depth, latent] = [self.n_interaction, self.latent_size].map(|n| u64::from(n.get()));
        let width = depth.saturating_mul(latent);
        // Fitted to the peak memory of the process on batches of QM9, with widths and depths halved
        // and doubled.
        let (n_kept_node, n_kept_edge) = (width.saturating_mul(8), width.saturating_mul(4));
        Some(ModelSize { n_parameter, n_kept_node, n_kept_edge })
    }

    fn open(&self, ctx: &ModelContext) -> Result<Box<dyn Trainer>, ModelError> {
        batchlab_tensor::require_node_classes(ctx, "SchNet")?;
        batchlab_tensor::open(ctx, self.needs(), |parameters| Network::new(self, parameters, ctx))
    }
}

batchlab_core::register!(Model, Schnet, example = Schnet::default());
