//! Model `gcn`: graph convolutions on the nodes of a single graph.

mod network;

use std::num::NonZeroU32;

use batchlab_core::model::ModelSize;
use batchlab_core::{BatchFields, Level, Model, ModelContext, ModelError, Trainer};
pub use batchlab_tensor::options::{DropoutRate, Norm};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use network::Network;

/// GCN, graph convolutions on the nodes of a single graph. A node receives its neighbours'
/// features, multiplied by a weight matrix and the edge weight.
///
/// Kipf and Welling, "Semi-supervised classification with graph convolutional networks", ICLR 2017,
/// arXiv 1609.02907. The defaults are the variant trained in arXiv 2212.09083: three convolutions
/// of 256 features without bias, each followed by layer norm, `ReLU` and dropout, and a final
/// linear layer, which is exempt from weight decay. Edge weights and self-loops are options of the
/// data set: `edge_weight = "symmetric"` or `"row"`, `self_loops = true`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Gcn {
    /// Number of convolutions.
    pub layers: NonZeroU32,
    /// Features per node after each convolution.
    pub hidden: NonZeroU32,
    /// Normalisation after each convolution.
    pub norm: Norm,
    /// Dropout probability after each convolution.
    pub dropout: DropoutRate,
    /// Whether to compute the last convolution for output nodes only. This does not change any
    /// prediction, loss or gradient, but saves the time for the other nodes.
    pub only_outputs: bool,
}

impl Default for Gcn {
    fn default() -> Self {
        Self {
            layers: NonZeroU32::new(3).expect("3 is not 0"),
            hidden: NonZeroU32::new(256).expect("256 is not 0"),
            norm: Norm::default(),
            dropout: DropoutRate::default(),
            only_outputs: true,
        }
    }
}

#[typetag::serde(name = "gcn")]
impl Model for Gcn {
    fn needs(&self) -> BatchFields {
        BatchFields {
            node_feature: true,
            sparse_feature: true,
            edge_weight: true,
            sender_order: true,
            ..BatchFields::default()
        }
    }

    fn accepts(&self, level: Level) -> bool {
        level == Level::Nodes
    }

    fn check_device(&self, device: &str) -> Result<(), ModelError> {
        device.parse::<batchlab_tensor::device::Device>().map(drop)
    }

    fn size(&self, ctx: &ModelContext) -> Option<ModelSize> {
        let n_parameter = batchlab_tensor::n_parameter(self.layers, |layers, parameters| {
            Network::new(&Self { layers, ..self.clone() }, parameters, ctx);
        });
        let [depth, hidden] = [self.layers, self.hidden].map(|n| u64::from(n.get()));
        let width = depth.saturating_mul(hidden);
        // Fitted to the peak memory of the process on a full graph, with widths and depths halved
        // and doubled.
        let (n_kept_node, n_kept_edge) = (width.saturating_mul(7) / 2, 0);
        Some(ModelSize { n_parameter, n_kept_node, n_kept_edge })
    }

    fn open(&self, ctx: &ModelContext) -> Result<Box<dyn Trainer>, ModelError> {
        batchlab_tensor::require_node_features(ctx, "GCN")?;
        batchlab_tensor::open(ctx, self.needs(), |parameters| Network::new(self, parameters, ctx))
    }
}

batchlab_core::register!(Model, Gcn, example = Gcn::default());
