//! Model `painn`: equivariant message passing with scalar and vector features.

mod clip;
mod network;

use std::num::NonZeroU32;

use batchlab_core::edge_rule::Radius;
use batchlab_core::model::ModelSize;
use batchlab_core::{BatchFields, Model, ModelContext, ModelError, Trainer};
pub use batchlab_tensor::options::Aggregation;
pub use clip::Clip;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use network::Network;

/// Polarizable atom interaction network, whose nodes have scalar and vector features. Vectors
/// rotate with the molecule while their lengths and products are invariant, which lets nodes learn
/// about directions.
///
/// PaiNN: Schütt, Unke and Gastegger, "Equivariant message passing for the prediction of tensorial
/// properties and molecular spectra", ICML 2021, arXiv 2102.03150. The defaults are the variant
/// trained in arXiv 2502.00944: Gaussians instead of sine waves, nodes averaged instead of summed,
/// changes clipped, and messages that run against the edges; 2,284,545 parameters for five
/// elements. The readout uses only the scalars.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Painn {
    /// Scalars per node, and vectors per node.
    pub latent_size: NonZeroU32,
    /// Number of interactions, each with its own weights.
    pub n_interaction: NonZeroU32,
    /// Number of Gaussians in the expansion of a distance, with centres from 0 to the cutoff. Their
    /// standard deviation is the cutoff divided by this number.
    pub n_gaussian: NonZeroU32,
    /// Edges of this length or longer are ignored, in angstrom: filters are multiplied by `(cos(pi
    /// d / cutoff) + 1) / 2`.
    pub cutoff_angstrom: Radius,
    /// Direction of messages.
    pub messages: Messages,
    /// How to aggregate the nodes' values to the graph's.
    pub readout: Aggregation,
    /// Features per node in the hidden layer of the readout; defaults to `latent_size`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readout_size: Option<NonZeroU32>,
    /// Maximum change of a scalar or of a vector component in one block; larger changes are
    /// clipped, and no gradient flows through them. A large number, such as 1e30, disables
    /// clipping.
    pub clip: Clip,
}

/// Direction of messages. If every edge has a reverse edge, as in fully connected molecules and
/// within a radius, both give the same result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Messages {
    /// From the receiver of an edge to its sender, as in the program of arXiv 2502.00944: with
    /// nearest neighbours a node receives messages from the nodes that have it as a neighbour.
    #[default]
    Study,
    /// From the sender to the receiver, as in all other models.
    Published,
}

impl Default for Painn {
    fn default() -> Self {
        Self {
            latent_size: NonZeroU32::new(256).expect("256 is not 0"),
            n_interaction: NonZeroU32::new(3).expect("3 is not 0"),
            n_gaussian: NonZeroU32::new(20).expect("20 is not 0"),
            cutoff_angstrom: Radius::try_from(6.0).expect("6 is above 0"),
            messages: Messages::default(),
            readout: Aggregation::default(),
            readout_size: None,
            clip: Clip::default(),
        }
    }
}

#[typetag::serde(name = "painn")]
impl Model for Painn {
    fn needs(&self) -> BatchFields {
        BatchFields {
            node_class: true,
            displacement: true,
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
        let (n_kept_node, n_kept_edge) = (width.saturating_mul(40), width.saturating_mul(2));
        Some(ModelSize { n_parameter, n_kept_node, n_kept_edge })
    }

    fn open(&self, ctx: &ModelContext) -> Result<Box<dyn Trainer>, ModelError> {
        batchlab_tensor::require_node_classes(ctx, "PaiNN")?;
        batchlab_tensor::open(ctx, self.needs(), |parameters| Network::new(self, parameters, ctx))
    }
}

batchlab_core::register!(Model, Painn, example = Painn::default());
