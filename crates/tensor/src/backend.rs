//! The interface between operations and the kernels of a device.
//!
//! Operations ([`crate::ops`]) record what backward needs and are written once; the kernels behind
//! this trait are written once per device. All matrices are row-major and contiguous. Functions
//! whose name ends in `_backward` **add** to the gradients passed in; for a gradient that comes
//! from [`DeviceMemory::new_gradient`], they overwrite it with the first contribution. Only
//! `add_row_backward` requires an initialised gradient.

use std::ops::Range;

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

/// A dfdx matrix without a tape, `[rows, columns]`, with both sizes known only at run time.
pub type Dense<D> = Tensor<(usize, usize), f32, D>;

/// Alignment of arrays in an arena, in words.
pub(crate) const ALIGNMENT: usize = 64;

/// Plain device memory for numbers, as used by dfdx for gradients.
pub type Buffer<D> = <D as Storage<f32>>::Vec;

/// A linear layer, with everything its gradient needs.
pub struct LinearLayer<'a, D: DeviceMemory> {
    /// `[n_row, n_in]`.
    pub input: &'a Dense<D>,
    /// `[n_in, n_out]`.
    pub weight: &'a Dense<D>,
    /// `[1, n_out]`.
    pub bias: Option<&'a Dense<D>>,
    /// Applied to the sum.
    pub activation: Activation,
    /// Precision of the products with the weight, forward and backward. CPUs only support single
    /// precision.
    pub precision: Precision,
}

/// The output of a linear layer, and the sum before the activation if it is kept.
pub type LinearOutput<D> = (Dense<D>, Option<Dense<D>>);

/// The inputs of attention along edges.
pub struct Attention<'a, D: DeviceMemory> {
    /// `[n_from, n_head * width]`.
    pub x: &'a Dense<D>,
    /// Scores of senders `[n_from, n_head]` and of receivers `[n_to, n_head]`.
    pub scores: [&'a Dense<D>; 2],
    /// Edges grouped by sender.
    pub from: &'a Segments<D>,
    /// Edges grouped by receiver, which is their order in memory.
    pub to: &'a Segments<D>,
    /// Number of heads, which are concatenated in `x`.
    pub n_head: usize,
}

/// Rows, and what to apply to each of them.
pub struct RowsToNormalise<'a, D: DeviceMemory> {
    /// `[n_row, width]`.
    pub x: &'a Dense<D>,
    /// Scale and offset of a layer norm, `[1, width]`.
    pub norm: Option<[&'a Dense<D>; 2]>,
    /// Applied elementwise after the norm.
    pub activation: Activation,
    /// Applied after the activation.
    pub dropout: Option<Dropout>,
    /// Maps rows (items) to nodes (segments); dropout then counts rows by node.
    pub node: Option<&'a Segments<D>>,
}

/// Ranges of rows, or of columns, of a matrix.
pub struct Blocks {
    /// Rows or columns.
    pub of_rows: bool,
    /// At least one of them.
    pub ranges: Vec<Range<usize>>,
}

impl Blocks {
    /// Rows and columns of each block of a matrix of the shape `[n_row, n_column]`.
    pub(crate) fn each(
        &self,
        [n_row, n_column]: [usize; 2],
    ) -> impl Iterator<Item = [Range<usize>; 2]> {
        self.ranges
            .iter()
            .cloned()
            .map(move |range| if self.of_rows { [range, 0..n_column] } else { [0..n_row, range] })
    }
}

/// The steps of a message whose values are results.
#[derive(Debug, Clone, Copy)]
pub struct MessageResult {
    /// The step that the nodes receive.
    pub message: usize,
    /// How the nodes aggregate it.
    pub aggregate: Aggregate,
    /// The step whose values are returned per edge.
    pub edge: Option<usize>,
}

/// The aggregated values at nodes, values per edge, and what backward needs; the latter two only if
/// requested.
pub type MessageOutput<D> = (Dense<D>, Option<Dense<D>>, Option<<D as DeviceMemory>::Kept>);

mod sealed {
    /// Seals [`DeviceMemory`](super::DeviceMemory) to the devices of this crate.
    pub trait Sealed {}

    impl Sealed for dfdx::tensor::Cpu {}
    #[cfg(feature = "cuda")]
    impl Sealed for dfdx::tensor::Cuda {}
}

/// Declares the kernels of a family of operations. The CPU implements them next to their loops, in
/// `cpu`; on a GPU each is the method of `cuda::Kernels` with the same name.
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

/// A dfdx device with the kernels of this crate: the CPU, or a GPU.
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

/// The memory of a dfdx device, and what its kernels store there. Sealed, because only this crate
/// upholds the requirements of its functions, such as the call order of an upload.
pub trait DeviceMemory: Device<f32> + sealed::Sealed {
    /// Device memory for indices.
    type Words: 'static;
    /// Device memory for numbers from the host.
    type Numbers: 'static;
    /// Contiguous memory for all arrays of a batch, if the device uses that.
    type Arena: Default + 'static;
    /// The partition of a batch's edges into tasks.
    type EdgePlan: 'static;
    /// Values that messages keep for their gradients.
    type Kept: 'static;
    /// A loss that the device may still be computing.
    type PendingLoss: 'static;
    /// The host's copy of one, possibly still on its way.
    type FetchedLoss: Default + 'static;
    /// Recorded work that can be launched repeatedly with a single call.
    type Recording: 'static;
    /// Memory shared by recordings.
    type RecordingMemory: Default + 'static;

    /// Whether dfdx has kernels of its own for its operations.
    const HAS_DFDX_KERNELS: bool = true;

    /// A matrix of zeros, `shape` rows and columns.
    fn zero_matrix(&self, shape: [usize; 2]) -> Result<Dense<Self>, Self::Err>;
    /// Whether [`DeviceMemory::record`] is currently possible.
    fn records(&self) -> bool {
        false
    }
    /// Records the device work requested by `work` without executing it; [`DeviceMemory::start`]
    /// executes it, any number of times. `work` must not read anything from the device.
    ///
    /// # Errors
    /// Any error of `work`, or if the device cannot record.
    fn record(
        &self,
        memory: &mut Self::RecordingMemory,
        work: &mut dyn FnMut() -> Result<(), ModelError>,
    ) -> Result<Self::Recording, ModelError>;
    /// The first difference between two recordings of the same work. Known to the emulated GPU.
    #[cfg(feature = "cuda-check")]
    fn difference(_one: &Self::Recording, _other: &Self::Recording) -> Option<String> {
        None
    }
    /// Launches recorded work after everything queued before.
    fn start(&self, recording: &Self::Recording) -> Result<(), Self::Err>;
    /// The device address of a matrix, if recordings depend on it.
    fn address(_matrix: &Dense<Self>) -> u64 {
        0
    }
    /// The device address of an arena, if recordings depend on it.
    fn address_of_arena(_arena: &Self::Arena) -> u64 {
        0
    }

    /// `n` zeros. With `n` = 0 this is the placeholder for a buffer that was moved out.
    fn zeros_buffer(&self, n: usize) -> Result<Buffer<Self>, Self::Err> {
        Storage::<f32>::try_alloc_len(self, n)
    }
    /// A buffer of these numbers.
    fn buffer_of(&self, numbers: &[f32]) -> Result<Buffer<Self>, Self::Err> {
        let mut buffer = self.zeros_buffer(0)?;
        self.write(&mut buffer, numbers)?;
        Ok(buffer)
    }
    /// A gradient of `n` numbers without any contribution yet: a buffer of another length, which
    /// stands for zeros.
    fn new_gradient(&self, n: usize) -> Result<Buffer<Self>, Self::Err>;
    /// Starts filling an arena with arrays of at most `n_word` 32-bit words in total, each rounded
    /// up to a multiple of 64 words. Queued work may still be using its previous content; views of
    /// it stay valid.
    fn begin_upload(&self, arena: &mut Self::Arena, n_word: usize) -> Result<(), Self::Err>;
    /// Puts indices into the arena, or into separate memory on a device without arenas.
    fn put_words(&self, arena: &mut Self::Arena, host: &[u32]) -> Result<Self::Words, Self::Err>;
    /// The same for numbers.
    fn put_numbers(
        &self,
        arena: &mut Self::Arena,
        host: &[f32],
    ) -> Result<Self::Numbers, Self::Err>;
    /// The same for a matrix, `shape` rows and columns, reusing the memory of `reclaimed` if it has
    /// that shape. `reclaimed` must not be shared.
    fn put_matrix(
        &self,
        arena: &mut Self::Arena,
        reclaimed: Option<Dense<Self>>,
        host: &[f32],
        shape: [usize; 2],
    ) -> Result<Dense<Self>, Self::Err>;
    /// Starts copying the arena's content to the device in a single copy, while the device
    /// continues its work.
    fn finish_upload(&self, arena: &mut Self::Arena) -> Result<(), Self::Err>;
    /// Makes later work wait for the arena's content. Must be called before any use of it.
    fn begin_use(&self, arena: &Self::Arena) -> Result<(), Self::Err>;
    /// Declares that no work uses the arena before the next `begin_use`, so refilling it only has
    /// to wait for the work queued so far.
    fn end_use(&self, arena: &Self::Arena) -> Result<(), Self::Err>;
    /// Replaces the content and length of `buffer`, reusing the memory if possible.
    fn write(&self, buffer: &mut Buffer<Self>, host: &[f32]) -> Result<(), Self::Err>;
    /// A copy on the host.
    fn read(&self, buffer: &Buffer<Self>) -> Result<Vec<f32>, Self::Err>;
    /// Whether the elements are contiguous in row-major order.
    fn is_contiguous(tensor: &Dense<Self>) -> bool;
    /// Waits until the device has finished all queued work.
    fn wait(&self) -> Result<(), Self::Err>;
    /// What the last bits of sums depend on, see
    /// [`Trainer::arithmetic`](batchlab_core::model::Trainer::arithmetic).
    fn arithmetic() -> &'static str;
    /// Peak memory use since the last call, in bytes; `None` for host memory.
    /// `recordings` have memory of their own.
    fn take_peak_bytes(&self, recordings: &Self::RecordingMemory)
    -> Result<Option<u64>, Self::Err>;

    /// Partitions the edges of a batch, whose messages go from one end to the other, into tasks.
    /// Edges from `n_real` on are padding, which does not affect the partition of the real ones.
    fn edge_plan(
        &self,
        from: &Segments<Self>,
        to: &Segments<Self>,
        n_real: usize,
    ) -> Result<Self::EdgePlan, Self::Err>;
    /// Size of such a partition in bytes.
    fn edge_plan_bytes(_plan: &Self::EdgePlan) -> u64 {
        0
    }
}
