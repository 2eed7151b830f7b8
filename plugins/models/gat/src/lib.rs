//! Model `gat`: graph attention on a single graph.

mod network;

use std::num::NonZeroU32;

use batchlab_core::model::ModelSize;
use batchlab_core::{BatchFields, Level, Model, ModelContext, ModelError, Trainer};
pub use batchlab_tensor::options::{DropoutRate, Norm};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use network::Network;

/// GAT, graph attention on a single graph. A node receives a weighted mean of its senders'
/// features, per head; the weights are learned.
///
/// Veličković et al., "Graph attention networks", ICLR 2018, arXiv 1710.10903. The defaults are the
/// variant trained in arXiv 2212.09083: three convolutions of four heads with 128 features each,
/// concatenated, each followed by layer norm, `ELU` and dropout; the heads of the last one give the
/// classes and are averaged. There is no dropout on attention. Weight decay exempts the norms and
/// the last convolution. Add self-loops with `self_loops = true` in the data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Gat {
    /// Number of convolutions.
    pub layers: NonZeroU32,
    /// Features per node and head after each convolution but the last.
    pub hidden: NonZeroU32,
    /// Heads of each convolution.
    pub heads: NonZeroU32,
    /// Normalisation after each convolution but the last.
    pub norm: Norm,
    /// Dropout probability after each convolution but the last.
    pub dropout: DropoutRate,
    /// Whether to compute the last convolution for output nodes only. This does not change any
    /// prediction, loss or gradient, but saves the time for the other nodes.
    pub only_outputs: bool,
}

impl Default for Gat {
    fn default() -> Self {
        Self {
            layers: NonZeroU32::new(3).expect("3 is not 0"),
            hidden: NonZeroU32::new(128).expect("128 is not 0"),
            heads: NonZeroU32::new(4).expect("4 is not 0"),
            norm: Norm::default(),
            dropout: DropoutRate::default(),
            only_outputs: true,
        }
    }
}

#[typetag::serde(name = "gat")]
impl Model for Gat {
    fn needs(&self) -> BatchFields {
        BatchFields {
            node_feature: true,
            sparse_feature: true,
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
        let [depth, hidden, n_head] =
            [self.layers, self.hidden, self.heads].map(|n| u64::from(n.get()));
        // The last convolution has as many features per head as there are classes.
        let columns = (depth - 1).saturating_mul(hidden).saturating_add(ctx.output_width as u64);
        let width = columns.saturating_mul(n_head);
        // Fitted to the peak memory of the process on a full graph, with widths and depths halved
        // and doubled.
        let (n_kept_node, n_kept_edge) =
            (width.saturating_mul(9) / 2, depth.saturating_mul(n_head));
        Some(ModelSize { n_parameter, n_kept_node, n_kept_edge })
    }

    fn open(&self, ctx: &ModelContext) -> Result<Box<dyn Trainer>, ModelError> {
        batchlab_tensor::require_node_features(ctx, "GAT")?;
        batchlab_tensor::open(ctx, self.needs(), |parameters| Network::new(self, parameters, ctx))
    }
}

batchlab_core::register!(Model, Gat, example = Gat::default());
