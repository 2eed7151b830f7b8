//! The interface between operations and the kernels of a device.
//!
//! Operations ([`crate::ops`]) record what backward needs and are written once; the kernels behind
//! this trait are written once per device. All matrices are row-major and contiguous. Functions
//! whose name ends in `_backward` **add** to the gradients that they are given; to one that comes from
//! [`Backend::new_gradient`] they write the first part. Only `add_row_backward` and `block_backward` want
//! numbers that are there.

use std::ops::Range;

use batchlab_core::ModelError;
use batchlab_core::model::{Loss, Precision};
use dfdx::tensor::{Storage, Tensor};
use dfdx::tensor_ops::Device;

use crate::dropout::Dropout;
use crate::{Activation, Aggregate, GaussianBasis, Message, Outputs, Segments};

/// A dfdx matrix without a tape, `[rows, columns]`, both known at run time only.
pub type Dense<D> = Tensor<(usize, usize), f32, D>;

/// Arrays in an arena begin at multiples of this many words.
pub(crate) const ALIGNMENT: usize = 64;

/// Plain device memory for numbers, as dfdx keeps it for gradients.
pub type Buffer<D> = <D as Storage<f32>>::Vec;

/// A linear layer with what its gradient needs.
pub struct LinearLayer<'a, D: Backend> {
    /// `[n_row, n_in]`.
    pub input: &'a Dense<D>,
    /// `[n_in, n_out]`.
    pub weight: &'a Dense<D>,
    /// `[1, n_out]`.
    pub bias: Option<&'a Dense<D>>,
    /// Applied to the sum.
    pub activation: Activation,
    /// Of the products with the weight, forward and backward. Processors have single precision alone.
    pub precision: Precision,
}

/// The output of a linear layer, and the sum before the activation where it is kept.
pub type LinearOutput<D> = (Dense<D>, Option<Dense<D>>);

/// What attention along edges is computed from.
pub struct Attention<'a, D: Backend> {
    /// `[n_from, n_head * width]`.
    pub x: &'a Dense<D>,
    /// Of senders `[n_from, n_head]`, of receivers `[n_to, n_head]`.
    pub scores: [&'a Dense<D>; 2],
    /// Edges by their sender.
    pub from: &'a Segments<D>,
    /// Edges by their receiver, in whose order they lie.
    pub to: &'a Segments<D>,
    /// Heads, which lie side by side in `x`.
    pub n_head: usize,
}

/// Rows with what is done to each of them.
pub struct RowsToNormalise<'a, D: Backend> {
    /// `[n_row, width]`.
    pub x: &'a Dense<D>,
    /// Scale and offset of a layer norm, `[1, width]`.
    pub norm: Option<[&'a Dense<D>; 2]>,
    /// Applied to each number after the norm.
    pub activation: Activation,
    /// Applied after the activation.
    pub dropout: Option<Dropout>,
    /// Rows are items, their nodes are segments; dropout counts rows by their nodes.
    pub node: Option<&'a Segments<D>>,
}

/// Which values of a message's steps are results.
#[derive(Debug, Clone, Copy)]
pub struct MessageResult {
    /// The step that the nodes receive.
    pub message: usize,
    /// How they receive it.
    pub aggregate: Aggregate,
    /// The step that is given out edge by edge.
    pub edge: Option<usize>,
}

/// What the nodes receive, values of the edges, and what backward needs; the latter two where they
/// are wanted.
pub type MessageOutput<D> = (Dense<D>, Option<Dense<D>>, Option<<D as Backend>::Kept>);

/// One step of Adam (Kingma and Ba 2015, arXiv 1412.6980, algorithm 1).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adam {
    /// Size of the step, corrected for the start of the moments: lr / (1 - beta1^t).
    pub learning_rate: f32,
    /// 1 / (1 - beta2^t).
    pub second_correction: f32,
}

impl Adam {
    /// Decay of the mean of the gradients.
    pub const BETA1: f64 = 0.9;
    /// Decay of the mean of their squares.
    pub const BETA2: f64 = 0.999;
    /// Added to the root, against division by zero.
    pub const EPSILON: f64 = 1e-8;

    /// The `n_update`-th step, counted from 1.
    #[must_use]
    pub fn step(learning_rate: f64, n_update: u64) -> Self {
        let power = |beta: f64| beta.powf(n_update as f64);
        Self {
            learning_rate: (learning_rate / (1.0 - power(Self::BETA1))) as f32,
            second_correction: (1.0 / (1.0 - power(Self::BETA2))) as f32,
        }
    }
}

mod sealed {
    /// Keeps [`Backend`](super::Backend) to this crate's devices.
    pub trait Sealed {}

    impl Sealed for dfdx::tensor::Cpu {}
    #[cfg(feature = "cuda")]
    impl Sealed for dfdx::tensor::Cuda {}
}

/// A dfdx device with the kernels of this crate: the processor, or a GPU. It is
/// sealed: what its functions ask of their caller, such as the order of an upload's calls, only this
/// crate keeps.
#[allow(clippy::too_many_arguments, reason = "kernels take arrays, not objects")]
pub trait Backend: Device<f32> + sealed::Sealed {
    /// Device memory for indices.
    type Words: 'static;
    /// Device memory for numbers from the host.
    type Numbers: 'static;
    /// Where all arrays of a batch lie, if they lie together.
    type Arena: Default + 'static;
    /// How the edges of a batch are divided among tasks.
    type EdgePlan: 'static;
    /// What messages keep for their gradients.
    type Kept: 'static;
    /// A loss that the device may still be computing.
    type PendingLoss: 'static;
    /// Work that the device can be told to do again with one call.
    type Recording: 'static;
    /// Memory that recordings share.
    type RecordingMemory: Default + 'static;

    /// Zeros, `shape` rows and columns.
    fn zero_matrix(&self, shape: [usize; 2]) -> Result<Dense<Self>, Self::Err>;
    /// Whether [`Backend::record`] can be called now.
    fn records(&self) -> bool {
        false
    }
    /// Records what `work` asks of the device, without doing it: [`Backend::start`] does, as often as it
    /// is called. Nothing may be read from the device in `work`.
    ///
    /// # Errors
    /// Those of `work`, and those of a device that cannot record.
    fn record(
        &self,
        memory: &mut Self::RecordingMemory,
        work: &mut dyn FnMut() -> Result<(), ModelError>,
    ) -> Result<Self::Recording, ModelError>;
    /// Starts recorded work after all that was queued before.
    fn start(&self, recording: &Self::Recording) -> Result<(), Self::Err>;
    /// Where a matrix lies on the device, where recordings rely on it.
    fn address(_matrix: &Dense<Self>) -> u64 {
        0
    }
    /// Where an arena lies on the device, where recordings rely on it.
    fn address_of_arena(_arena: &Self::Arena) -> u64 {
        0
    }

    /// `n` zeros. With `n` = 0 this is the placeholder for a buffer that was moved out.
    fn zeros_buffer(&self, n: usize) -> Result<Buffer<Self>, Self::Err> {
        Storage::<f32>::try_alloc_len(self, n)
    }
    /// A gradient of `n` numbers that nothing was added to yet: a buffer of another length, which stands
    /// for zeros.
    fn new_gradient(&self, n: usize) -> Result<Buffer<Self>, Self::Err>;
    /// Begins to fill an arena with arrays of at most `n_word` words of 32 bits, each rounded up to
    /// a multiple of 64 words. Its last content may still be in use by queued work; views of it
    /// stay valid.
    fn begin_upload(&self, arena: &mut Self::Arena, n_word: usize) -> Result<(), Self::Err>;
    /// Puts indices into the arena, or into memory of their own on a device without.
    fn put_words(&self, arena: &mut Self::Arena, host: &[u32]) -> Result<Self::Words, Self::Err>;
    /// The same for numbers.
    fn put_numbers(
        &self,
        arena: &mut Self::Arena,
        host: &[f32],
    ) -> Result<Self::Numbers, Self::Err>;
    /// The same for a matrix, `shape` rows and columns, in the memory of `reclaimed` where it has that
    /// shape. Nobody else may hold that one.
    fn put_matrix(
        &self,
        arena: &mut Self::Arena,
        reclaimed: Option<Dense<Self>>,
        host: &[f32],
        shape: [usize; 2],
    ) -> Result<Dense<Self>, Self::Err>;
    /// Starts copying the arena's content to the device, as one copy, while the device goes on with
    /// its work.
    fn finish_upload(&self, arena: &mut Self::Arena) -> Result<(), Self::Err>;
    /// Makes later work wait for the arena's content. Called before any use of it.
    fn begin_use(&self, arena: &Self::Arena) -> Result<(), Self::Err>;
    /// Declares that no work uses the arena before the next `begin_use`: filling it again waits
    /// only for the work queued so far.
    fn end_use(&self, arena: &Self::Arena) -> Result<(), Self::Err>;
    /// Replaces the content of `buffer`, and its length, keeping the memory where possible.
    fn write(&self, buffer: &mut Buffer<Self>, host: &[f32]) -> Result<(), Self::Err>;
    /// A copy on the host.
    fn read(&self, buffer: &Buffer<Self>) -> Result<Vec<f32>, Self::Err>;
    /// Whether the elements lie row by row without gaps.
    fn is_contiguous(tensor: &Dense<Self>) -> bool;
    /// Waits until the device has finished all queued work.
    fn wait(&self) -> Result<(), Self::Err>;
    /// What the last bits of sums depend on, see
    /// [`Trainer::arithmetic`](batchlab_core::model::Trainer::arithmetic).
    fn arithmetic() -> &'static str;
    /// Largest memory in use at once since the last call, in bytes; `None` for memory of the host.
    fn take_peak_bytes(&self) -> Result<Option<u64>, Self::Err>;

    /// Row `segments.of[i]` of `x` for each item i, `[n_item, width]`.
    fn gather(&self, x: &Dense<Self>, segments: &Segments<Self>) -> Result<Dense<Self>, Self::Err>;
    /// The transpose of `gather`.
    fn gather_backward(
        &self,
        dx: &mut Buffer<Self>,
        dy: &Buffer<Self>,
        segments: &Segments<Self>,
        width: usize,
    ) -> Result<(), Self::Err>;

    /// Sum or mean of the rows of `x` over each segment, `[n_segment, width]`.
    fn segment(
        &self,
        x: &Dense<Self>,
        segments: &Segments<Self>,
        aggregate: Aggregate,
    ) -> Result<Dense<Self>, Self::Err>;
    /// The transpose of `segment`.
    fn segment_backward(
        &self,
        dx: &mut Buffer<Self>,
        dy: &Buffer<Self>,
        segments: &Segments<Self>,
        aggregate: Aggregate,
        width: usize,
    ) -> Result<(), Self::Err>;

    /// The largest row of each segment, column by column, `[n_segment, width]`; 0 without items.
    fn segment_max(
        &self,
        x: &Dense<Self>,
        segments: &Segments<Self>,
    ) -> Result<Dense<Self>, Self::Err>;
    /// The gradient of `segment_max`, shared by items that are equally large.
    fn segment_max_backward(
        &self,
        dx: &mut Buffer<Self>,
        dy: &Buffer<Self>,
        x: &Dense<Self>,
        largest: &Dense<Self>,
        segments: &Segments<Self>,
    ) -> Result<(), Self::Err>;
    /// Each item's share of the sum of e^x over its segment, column by column, `[n_item, width]`.
    fn segment_softmax(
        &self,
        x: &Dense<Self>,
        segments: &Segments<Self>,
    ) -> Result<Dense<Self>, Self::Err>;
    /// The gradient of `segment_softmax`.
    fn segment_softmax_backward(
        &self,
        dx: &mut Buffer<Self>,
        dy: &Buffer<Self>,
        output: &Dense<Self>,
        segments: &Segments<Self>,
    ) -> Result<(), Self::Err>;

    /// Divides the edges of a batch, whose messages go from the one end to the other, among tasks.
    /// Those from `n_real` on are padding, on which the division of the others does not depend.
    fn edge_plan(
        &self,
        from: &Segments<Self>,
        to: &Segments<Self>,
        n_real: usize,
    ) -> Result<Self::EdgePlan, Self::Err>;
    /// Bytes that such a division takes.
    fn edge_plan_bytes(_plan: &Self::EdgePlan) -> u64 {
        0
    }
    /// What the nodes receive, `[n_node, width]`; values of the edges, `[n_edge, width]`, where they
    /// are wanted; and, if `keep`, what backward needs.
    fn message(
        &self,
        message: &Message<Self>,
        result: MessageResult,
        keep: bool,
    ) -> Result<MessageOutput<Self>, Self::Err>;
    /// The gradients of `message` by each of its matrices that wants one, in their order. `dy` is
    /// overwritten.
    fn message_backward(
        &self,
        gradients: &mut [Option<Buffer<Self>>],
        dy: &mut Buffer<Self>,
        dedge: Option<&Buffer<Self>>,
        message: &Message<Self>,
        result: MessageResult,
        kept: Self::Kept,
    ) -> Result<(), Self::Err>;

    /// Sum or mean over the items e of each segment of `to` of `weight[e] * x[from.of[e]]`,
    /// `[n_to, width]`; `weight` `[n_item, 1]` or none for 1.
    fn propagate(
        &self,
        x: &Dense<Self>,
        weight: Option<&Dense<Self>>,
        from: &Segments<Self>,
        to: &Segments<Self>,
        aggregate: Aggregate,
    ) -> Result<Dense<Self>, Self::Err>;
    /// The transpose of `propagate`. `dy` is overwritten.
    fn propagate_backward(
        &self,
        dx: &mut Buffer<Self>,
        dy: &mut Buffer<Self>,
        weight: Option<&Dense<Self>>,
        from: &Segments<Self>,
        to: &Segments<Self>,
        aggregate: Aggregate,
        width: usize,
    ) -> Result<(), Self::Err>;

    /// The weighted sums `[n_to, n_head * width]`, and the share of each edge `[n_edge, n_head]`.
    fn attend(&self, attention: &Attention<'_, Self>) -> Result<[Dense<Self>; 2], Self::Err>;
    /// The gradients of `attend`, whose results these were, by rows and scores.
    fn attend_backward(
        &self,
        dx: &mut Buffer<Self>,
        dscores: &mut [Buffer<Self>; 2],
        dy: &Buffer<Self>,
        attention: &Attention<'_, Self>,
        results: [&Dense<Self>; 2],
    ) -> Result<(), Self::Err>;
    /// Scalar products of `x` `[n_row, n_head * width]` with `weight` `[n_head, width]`, head by head,
    /// `[n_row, n_head]`.
    fn head_scores(&self, x: &Dense<Self>, weight: &Dense<Self>) -> Result<Dense<Self>, Self::Err>;
    /// The gradients of `head_scores`.
    fn head_scores_backward(
        &self,
        dx: &mut Buffer<Self>,
        dweight: &mut Buffer<Self>,
        dy: &Buffer<Self>,
        x: &Dense<Self>,
        weight: &Dense<Self>,
    ) -> Result<(), Self::Err>;
    /// The mean over the heads of each row, `[n_row, width]`.
    fn mean_of_heads(&self, x: &Dense<Self>, n_head: usize) -> Result<Dense<Self>, Self::Err>;
    /// The gradient of `mean_of_heads`.
    fn mean_of_heads_backward(
        &self,
        dx: &mut Buffer<Self>,
        dy: &Buffer<Self>,
        n_head: usize,
        width: usize,
    ) -> Result<(), Self::Err>;

    /// Layer norm, activation and dropout of each row, and the mean and the inverse deviation of each
    /// row, `[n_row, 2]`, or nothing without norm.
    fn normalise(&self, rows: &RowsToNormalise<'_, Self>) -> Result<[Dense<Self>; 2], Self::Err>;
    /// The gradients of `normalise`, by the rows where it is wanted, and by scale and offset. `dy` is
    /// overwritten.
    fn normalise_backward(
        &self,
        dx: Option<&mut Buffer<Self>>,
        dnorm: &mut [Buffer<Self>; 2],
        dy: &mut Buffer<Self>,
        rows: &RowsToNormalise<'_, Self>,
        statistics: &Dense<Self>,
    ) -> Result<(), Self::Err>;

    /// `row` `[1, width]` added to each row of `x`.
    fn add_row(&self, x: &Dense<Self>, row: &Dense<Self>) -> Result<Dense<Self>, Self::Err>;
    /// The gradient of `add_row` by the row: the sums of the columns of `dy`.
    fn add_row_backward(&self, drow: &mut Buffer<Self>, dy: &Buffer<Self>)
    -> Result<(), Self::Err>;

    /// `activation(input weight + bias)`, and the sum before the activation where `keep_sum`.
    fn linear(
        &self,
        layer: &LinearLayer<'_, Self>,
        keep_sum: bool,
    ) -> Result<LinearOutput<Self>, Self::Err>;
    /// The gradients of `linear`. `dy` is overwritten.
    fn linear_backward(
        &self,
        dx: Option<&mut Buffer<Self>>,
        dweight: &mut Buffer<Self>,
        dbias: Option<&mut Buffer<Self>>,
        dy: &mut Buffer<Self>,
        layer: &LinearLayer<'_, Self>,
        output: &Dense<Self>,
        sum: Option<&Dense<Self>>,
    ) -> Result<(), Self::Err>;

    /// Sum of two matrices.
    fn add(&self, a: &Dense<Self>, b: &Dense<Self>) -> Result<Dense<Self>, Self::Err>;
    /// Elementwise product of two matrices.
    fn multiply(&self, a: &Dense<Self>, b: &Dense<Self>) -> Result<Dense<Self>, Self::Err>;
    /// `da += dy`.
    fn accumulate(&self, da: &mut Buffer<Self>, dy: &Buffer<Self>) -> Result<(), Self::Err>;
    /// `da += dy * b`.
    fn accumulate_product(
        &self,
        da: &mut Buffer<Self>,
        dy: &Buffer<Self>,
        b: &Dense<Self>,
    ) -> Result<(), Self::Err>;

    /// Row i of `x` times `factor[i]`; `factor` `[n_row, 1]`.
    fn scale_rows(&self, x: &Dense<Self>, factor: &Dense<Self>) -> Result<Dense<Self>, Self::Err>;
    /// The gradients of `scale_rows`, each where it is wanted.
    fn scale_rows_backward(
        &self,
        dx: Option<&mut Buffer<Self>>,
        dfactor: Option<&mut Buffer<Self>>,
        dy: &Buffer<Self>,
        x: &Dense<Self>,
        factor: &Dense<Self>,
    ) -> Result<(), Self::Err>;

    /// A copy of some columns of some rows, as a matrix of `shape` with as many numbers.
    fn block(
        &self,
        x: &Dense<Self>,
        rows: &Range<usize>,
        columns: &Range<usize>,
        shape: [usize; 2],
    ) -> Result<Dense<Self>, Self::Err>;
    /// The gradient of `block`, for a matrix of `n_column` columns.
    fn block_backward(
        &self,
        dx: &mut Buffer<Self>,
        dy: &Buffer<Self>,
        n_column: usize,
        rows: &Range<usize>,
        columns: &Range<usize>,
    ) -> Result<(), Self::Err>;

    /// Displacements d `[n_edge, 3]` to distances `r = sqrt(|d|^2 + epsilon)` `[n_edge, 1]` and
    /// directions `d / (r + epsilon)` `[n_edge, 3]`.
    fn edge_geometry(
        &self,
        displacement: &Dense<Self>,
        epsilon: f32,
    ) -> Result<[Dense<Self>; 2], Self::Err>;
    /// `(cos(pi d / cutoff) + 1) / 2` below the cutoff, else 0, of distances d `[n_edge, 1]`.
    fn cosine_cutoff(&self, distance: &Dense<Self>, cutoff: f32) -> Result<Dense<Self>, Self::Err>;

    /// Scalars `[n_node, width]` beside the lengths of the second vectors of `mixed`
    /// `[3 n_node, 2 width]`.
    fn norms_beside(
        &self,
        s: &Dense<Self>,
        mixed: &Dense<Self>,
        epsilon: f32,
    ) -> Result<Dense<Self>, Self::Err>;
    /// The gradients of `norms_beside`, each where it is wanted.
    fn norms_beside_backward(
        &self,
        ds: Option<&mut Buffer<Self>>,
        dmixed: Option<&mut Buffer<Self>>,
        dy: &Buffer<Self>,
        mixed: &Dense<Self>,
        output: &Dense<Self>,
    ) -> Result<(), Self::Err>;

    /// Scalars `[n_node, width]` and vectors `[3 n_node, width]` plus `received` `[n_node, 4 width]`, the
    /// latter cut to between `-limit` and `limit`.
    fn add_received(
        &self,
        state: [&Dense<Self>; 2],
        received: &Dense<Self>,
        limit: f32,
    ) -> Result<[Dense<Self>; 2], Self::Err>;
    /// The gradient of `add_received` by what was received.
    fn add_received_backward(
        &self,
        dreceived: &mut Buffer<Self>,
        dy: [&Buffer<Self>; 2],
        received: &Dense<Self>,
        limit: f32,
    ) -> Result<(), Self::Err>;
    /// The same scalars and vectors plus what `gates` `[n_node, 3 width]` and `mixed`
    /// `[3 n_node, 2 width]` change them by, cut to between `-limit` and `limit`.
    fn equivariant_update(
        &self,
        state: [&Dense<Self>; 2],
        gates: &Dense<Self>,
        mixed: &Dense<Self>,
        limit: f32,
    ) -> Result<[Dense<Self>; 2], Self::Err>;
    /// The gradients of `equivariant_update`, each where it is wanted.
    fn equivariant_update_backward(
        &self,
        dgates: Option<&mut Buffer<Self>>,
        dmixed: Option<&mut Buffer<Self>>,
        dy: [&Buffer<Self>; 2],
        gates: &Dense<Self>,
        mixed: &Dense<Self>,
        limit: f32,
    ) -> Result<(), Self::Err>;

    /// Distances `[n_edge, 1]` to Gaussians `[n_edge, n]`.
    fn gaussians(
        &self,
        distance: &Dense<Self>,
        basis: &GaussianBasis,
    ) -> Result<Dense<Self>, Self::Err>;

    /// Loss of the outputs, and the gradient of its mean by `prediction` `[n_row, width]`.
    fn loss(
        &self,
        loss: Loss,
        prediction: &Dense<Self>,
        outputs: &Outputs<Self>,
    ) -> Result<(Self::PendingLoss, Buffer<Self>), Self::Err>;
    /// The sum of the losses of all outputs, times their weights. Waits for the device.
    fn read_loss(&self, loss: &Self::PendingLoss) -> Result<f64, Self::Err>;
    /// `dx += scale * unit`; `scale` is one number.
    fn accumulate_scaled(
        &self,
        dx: &mut Buffer<Self>,
        scale: &Buffer<Self>,
        unit: &Buffer<Self>,
    ) -> Result<(), Self::Err>;

    /// All parameters after one step, in their order; the moments are changed in place. A parameter's
    /// memory may be changed too: clones of it then show the new values. `decay` times the parameter is
    /// added to each gradient.
    fn adam(
        &self,
        step: Adam,
        decay: &[f32],
        parameters: &[&Dense<Self>],
        gradients: &[Buffer<Self>],
        moments: &mut [[Buffer<Self>; 2]],
    ) -> Result<Vec<Dense<Self>>, Self::Err>;
}
