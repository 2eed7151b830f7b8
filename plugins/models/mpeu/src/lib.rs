//! Model `mpeu`: message passing with edge states.

mod network;

use std::num::NonZeroU32;

use batchlab_core::model::ModelSize;
use batchlab_core::{BatchFields, Model, ModelContext, ModelError, Trainer};
pub use batchlab_tensor::options::{Aggregation, GaussianSpacing};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use network::Network;

/// Message passing with edge updates, on molecules and crystals. Each step first updates the state
/// of every edge from its old state and its two ends; a gate computed from the new state modulates
/// the sender's features.
///
/// Jørgensen, Jacobsen and Schmidt, "Neural message passing with edge updates for predicting
/// properties of molecules and materials", 2018, arXiv 1806.03146. The defaults are the variant
/// trained in arXiv 2502.00944: no biases, messages and nodes averaged instead of summed, edges
/// that start as 150 Gaussians of their length, from 0 to 14.9 angstrom; 173,152 parameters for
/// five elements.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Mpeu {
    /// Features per node, and per edge after the first step.
    pub latent_size: NonZeroU32,
    /// Number of steps, each with its own weights.
    pub n_interaction: NonZeroU32,
    /// Number of Gaussians in the expansion of a distance; the first is centred at 0.
    pub n_gaussian: NonZeroU32,
    /// Distance between the centres of two Gaussians. Their variance is half of it, in square
    /// angstrom.
    pub gaussian_spacing_angstrom: GaussianSpacing,
    /// Features per edge in the hidden layer of an edge update; defaults to twice `latent_size`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edge_hidden_size: Option<NonZeroU32>,
    /// Features per node in the hidden layer of the readout; defaults to half of `latent_size`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readout_size: Option<NonZeroU32>,
    /// How to aggregate the messages that a node receives.
    pub aggregation: Aggregation,
    /// How to aggregate the nodes' values to the graph's.
    pub readout: Aggregation,
}

impl Default for Mpeu {
    fn default() -> Self {
        Self {
            latent_size: NonZeroU32::new(64).expect("64 is not 0"),
            n_interaction: NonZeroU32::new(3).expect("3 is not 0"),
            n_gaussian: NonZeroU32::new(150).expect("150 is not 0"),
            gaussian_spacing_angstrom: GaussianSpacing::default(),
            edge_hidden_size: None,
            readout_size: None,
            aggregation: Aggregation::default(),
            readout: Aggregation::default(),
        }
    }
}

impl Mpeu {
    /// Features per edge in the hidden layer of an edge update.
    fn edge_hidden_size(&self) -> usize {
        self.edge_hidden_size.map_or(2 * self.latent_size.get() as usize, |n| n.get() as usize)
    }

    /// Features per node in the hidden layer of the readout.
    fn readout_size(&self) -> usize {
        let half = NonZeroU32::new(self.latent_size.get() / 2).unwrap_or(NonZeroU32::MIN);
        self.readout_size.unwrap_or(half).get() as usize
    }
}

#[typetag::serde(name = "mpeu")]
impl Model for Mpeu {
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
        let (n_kept_node, n_kept_edge) = (width.saturating_mul(9), width.saturating_mul(11));
        Some(ModelSize { n_parameter, n_kept_node, n_kept_edge })
    }

    fn open(&self, ctx: &ModelContext) -> Result<Box<dyn Trainer>, ModelError> {
        batchlab_tensor::require_node_classes(ctx, "MPEU")?;
        batchlab_tensor::open(ctx, self.needs(), |parameters| Network::new(self, parameters, ctx))
    }
}

batchlab_core::register!(Model, Mpeu, example = Mpeu::default());
