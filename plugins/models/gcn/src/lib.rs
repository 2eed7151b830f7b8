//! Model `gcn`: graph convolutions on the nodes of one graph.

mod network;

use std::num::NonZeroU32;

use batchlab_core::model::ModelSize;
use batchlab_core::{BatchFields, Level, Model, ModelContext, ModelError, Trainer};
pub use batchlab_tensor::options::{DropoutRate, Norm};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// GCN, graph convolutions on the nodes of one graph. A node receives the features of its neighbours,
/// times a weight matrix and the weight of the edge.
///
/// Kipf and Welling, "Semi-supervised classification with graph convolutional networks", ICLR 2017,
/// arXiv 1609.02907. The defaults are the variant that arXiv 2212.09083 trains: three convolutions of
/// 256 features without bias, each followed by layer norm, `ReLU` and dropout, and a linear layer at
/// the end, which weight decay leaves alone. The weights of the edges come with the data set, which
/// also adds self loops: `edge_weight = "symmetric"` or `"row"`, `self_loops = true`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gcn {
    /// Number of convolutions.
    #[serde(default = "layers")]
    pub layers: NonZeroU32,
    /// Features per node after each of them.
    #[serde(default = "hidden")]
    pub hidden: NonZeroU32,
    /// What follows each convolution.
    #[serde(default)]
    pub norm: Norm,
    /// Probability with which a feature becomes 0 in training, after each convolution.
    #[serde(default)]
    pub dropout: DropoutRate,
    /// Whether the last convolution is computed for outputs alone. It changes no prediction, loss or
    /// gradient, but saves the time of the other nodes.
    #[serde(default = "only_outputs")]
    pub only_outputs: bool,
}

const fn layers() -> NonZeroU32 {
    NonZeroU32::new(3).expect("3 is not 0")
}

const fn hidden() -> NonZeroU32 {
    NonZeroU32::new(256).expect("256 is not 0")
}

const fn only_outputs() -> bool {
    true
}

impl Default for Gcn {
    fn default() -> Self {
        Self {
            layers: layers(),
            hidden: hidden(),
            norm: Norm::default(),
            dropout: DropoutRate::default(),
            only_outputs: only_outputs(),
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
        let n_parameter = batchlab_tensor::n_parameter(self.layers.get(), |depth, builder| {
            let layers = NonZeroU32::new(depth).unwrap_or(NonZeroU32::MIN);
            let model = Self { layers, ..self.clone() };
            network::Network::new(&model, builder, ctx.node_feature_width, ctx.output_width);
        });
        let [depth, hidden] = [self.layers, self.hidden].map(|n| u64::from(n.get()));
        let width = depth.saturating_mul(hidden);
        // By the peak of the process on the whole of a graph, with widths and depths halved and doubled.
        let (n_kept_node, n_kept_edge) = (width.saturating_mul(7) / 2, 0);
        Some(ModelSize { n_parameter, n_kept_node, n_kept_edge })
    }

    fn open(&self, ctx: &ModelContext) -> Result<Box<dyn Trainer>, ModelError> {
        batchlab_tensor::require_node_features(ctx, "GCN")?;
        batchlab_tensor::open(ctx, self.needs(), |parameters| {
            network::Network::new(self, parameters, ctx.node_feature_width, ctx.output_width)
        })
    }
}

batchlab_core::register!(Model, Gcn, example = Gcn::default());
