//! Tensors, layers, graph operations and the only trainer; the only crate that names dfdx.
//!
//! Data flow: a [`PaddedBatch`](batchlab_core::PaddedBatch) is copied to the device
//! ([`DeviceBatch`]), a [`Network`] turns it into predictions with the operations of [`Pass`], and
//! [`NetworkTrainer`] adds loss, gradients, optimiser and state.
//!
//! * Parameters and activations are dfdx tensors, gradients run on dfdx's tape, and memory belongs
//!   to its device. dfdx is slow at composing graph operations, so every edge-sized operation is a
//!   single fused operation here, with its own backward pass ([`ops`]).
//! * An operation is written once for all devices (`ops`), its kernels once per device (`cpu`,
//!   behind the trait [`Backend`]).
//! * Work is partitioned based on the batch alone, never on the number of threads: results are
//!   bit-identical for any number of threads.
//! * Padding rows go through the same kernels as real rows and cost the same. They come after the
//!   real ones, and sums over rows are split at positions counted from the first row: on a CPU,
//!   padding does not change a bit of real predictions, losses, gradients and updates.
//!
//! A model is a struct of parameter handles and one function:
//!
//! ```
//! use batchlab_core::{BatchFields, ModelContext, ModelError};
//! use batchlab_tensor::{
//!     Activation, Backend, DeviceBatch, Linear, Matrix, Network, ParameterBuilder, Pass,
//! };
//!
//! /// Two layers on the features of the nodes, then the mean over each graph.
//! struct Perceptron {
//!     hidden: Linear,
//!     output: Linear,
//! }
//!
//! impl Network for Perceptron {
//!     fn forward<D: Backend>(
//!         &self,
//!         pass: &mut Pass<'_, D>,
//!         batch: &DeviceBatch<D>,
//!     ) -> Result<Matrix<D>, ModelError> {
//!         let hidden = self.hidden.forward(pass, batch.node_feature()?)?;
//!         let output = self.output.forward(pass, &hidden)?;
//!         pass.segment_mean(&output, batch.graph())
//!     }
//! }
//!
//! let ctx = ModelContext { node_feature_width: 8, ..ModelContext::default() };
//! let needs = BatchFields { node_feature: true, ..BatchFields::default() };
//! let trainer = batchlab_tensor::open(&ctx, needs, |parameters: &mut ParameterBuilder| Perceptron {
//!     hidden: Linear::new(parameters, "hidden", 8, 16, Activation::Relu).with_bias(parameters),
//!     output: Linear::new(parameters, "output", 16, 1, Activation::Identity),
//! })?;
//! assert_eq!(trainer.n_parameter(), 8 * 16 + 16 + 16);
//! # Ok::<(), ModelError>(())
//! ```

#![warn(missing_docs)]

mod activation;
mod backend;
mod batch;
mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
pub mod device;
mod dropout;
#[cfg(feature = "cuda-check")]
pub mod emulation;
mod gradient;
mod layers;
mod matrix;
pub mod measure;
mod message;
mod network;
pub mod ops;
pub mod options;
mod parameters;
mod pass;
mod raw;
mod segments;
mod trainer;

pub use activation::Activation;
pub use backend::{
    Attention, Backend, Buffer, Dense, DeviceMemory, LinearLayer, LinearOutput, MessageOutput,
    MessageResult, RowsToNormalise,
};
pub use batch::{DeviceBatch, Features, NodeEdges, Outputs, SparseFeatures};
pub use cpu::memory::keep_freed;
pub use dropout::Dropout;
pub use layers::{Linear, NormalisedRows, Perceptron};
pub use matrix::Matrix;
pub use message::{DirectedEdges, Direction, EdgeValue, Message};
pub use network::{Network, open, require_node_classes, require_node_features};
pub use ops::adam::Adam;
pub use ops::geometry::{EdgeGeometry, GaussianBasis};
pub use ops::normalise::Normalise;
pub use parameters::{Initial, Parameter, ParameterBuilder, Parameters, n_parameter};
pub use pass::{Pass, Traced};
pub use segments::{Aggregate, Segments};
pub use trainer::NetworkTrainer;

/// Re-export of the engine, for models that use its operations through [`Pass::dfdx`].
pub use dfdx;
