//! The interface between operations and the kernels of a device.
//!
//! Operations ([`crate::ops`]) record what backward needs and are written once; the kernels behind
//! this trait are written once per device. All matrices are row-major and contiguous. Functions
//! whose name ends in `_backward` **add** to the gradients that they are given; to one that comes from
//! [`DeviceMemory::new_gradient`] they write the first part. Only `add_row_backward` and `block_backward` want
//! numbers that are there.

use batchlab_core::ModelError;
use batchlab_core::model::Precision;
use dfdx::tensor::{Storage, Tensor};
use dfdx::tensor_ops::Device;

use crate::dropout::Dropout;
use crate::ops::{
    AdamKernels, AttentionKernels, BlockKernels, ElementwiseKernels, EquivariantKernels,
    GeometryKernels, LinearKernels, LossKernels, MessageKernels, NormaliseKernels,
    PropagateKernels, SegmentKernels,
};
use crate::{Activation, Aggregate, Segments};

/// A dfdx matrix without a tape, `[rows, columns]`, both known at run time only.
pub type Dense<D> = Tensor<(usize, usize), f32, D>;

/// Arrays in an arena begin at multiples of this many words.
pub(crate) const ALIGNMENT: usize = 64;

/// Plain device memory for numbers, as dfdx keeps it for gradients.
pub type Buffer<D> = <D as Storage<f32>>::Vec;

/// A linear layer with what its gradient needs.
pub struct LinearLayer<'a, D: DeviceMemory> {
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
pub struct Attention<'a, D: DeviceMemory> {
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
pub struct RowsToNormalise<'a, D: DeviceMemory> {
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
pub type MessageOutput<D> = (Dense<D>, Option<Dense<D>>, Option<<D as DeviceMemory>::Kept>);

mod sealed {
    /// Keeps [`DeviceMemory`](super::DeviceMemory) to this crate's devices.
    pub trait Sealed {}

    impl Sealed for dfdx::tensor::Cpu {}
    #[cfg(feature = "cuda")]
    impl Sealed for dfdx::tensor::Cuda {}
}

/// Declares the kernels of a family of operations. A processor implements them beside their loops, in `cpu`; on
/// a GPU each is the function of `cuda::Kernels` of the same name.
macro_rules! kernels {
    (
        $(#[$about:meta])*
        pub trait $family:ident;
        $($(#[$doc:meta])* fn $name:ident($($argument:ident: $type:ty),*) -> $output:ty;)*
    ) => {
        $(#[$about])*
        #[allow(clippy::too_many_arguments, reason = "kernels take arrays, not objects")]
        pub trait $family: $crate::backend::DeviceMemory {
            $($(#[$doc])* fn $name(&self, $($argument: $type),*) -> Result<$output, Self::Err>;)*
        }

        #[cfg(feature = "cuda")]
        impl $family for dfdx::tensor::Cuda {
            $(fn $name(&self, $($argument: $type),*) -> Result<$output, Self::Err> {
                Ok($crate::cuda::Kernels::of(self)?.$name($($argument),*)?)
            })*
        }
    };
}
pub(crate) use kernels;

/// A dfdx device with the kernels of this crate: the processor, or a GPU.
pub trait Backend:
    SegmentKernels
    + MessageKernels
    + PropagateKernels
    + AttentionKernels
    + NormaliseKernels
    + LinearKernels
    + ElementwiseKernels
    + BlockKernels
    + GeometryKernels
    + EquivariantKernels
    + LossKernels
    + AdamKernels
{
}

impl Backend for dfdx::tensor::Cpu {}
#[cfg(feature = "cuda")]
impl Backend for dfdx::tensor::Cuda {}

/// The memory of a dfdx device, and what its kernels keep there. It is sealed: what its functions ask of their
/// caller, such as the order of an upload's calls, only this crate keeps.
pub trait DeviceMemory: Device<f32> + sealed::Sealed {
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
    /// Whether [`DeviceMemory::record`] can be called now.
    fn records(&self) -> bool {
        false
    }
    /// Records what `work` asks of the device, without doing it: [`DeviceMemory::start`] does, as often as it
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
}
