//! A batch on its way to the device: page-locked host memory, one array on the device, one copy
//! between them, on a separate stream.
//!
//! Four orderings must hold, whatever the trainer calls when. The host may only fill or free its
//! memory after the copy from it is done. The copy may only begin when no work uses the array any
//! more. Work on a batch may only begin after the copy. And the array may only be freed after both.
//! The first and third follow from the event `copied`, the second from `released`; the array is
//! freed in stream order on dfdx's stream, after its arena was refilled or dropped, which waits for
//! `copied`.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use cudarc::driver::{CudaSlice, DevicePtr, DeviceSlice, result, sys};
use dfdx::prelude::*;

use super::Dense;
use super::device::{self, Gpu};
use super::error::Error;
use super::event::Event;
use super::pinned::Pinned;
use super::raw;
use super::words::Words;
use crate::backend::ALIGNMENT;

type Result<T> = std::result::Result<T, Error>;

const WORD: usize = size_of::<u32>();

/// What the host waits for.
const FINISH: &str = "finish a copy to the GPU";

/// Maximum memory of matrices kept for later batches of their shape.
const MOST_SPARE_BYTES: usize = 256 << 20;

/// Memory for the arrays of a batch. Views of it are [`Words`].
#[derive(Default)]
pub struct Arena {
    filled: Option<Filled>,
    spare: Spare,
}

/// Matrices of earlier batches by shape. A batch of a shape that has occurred before has its
/// matrices where they were, so that a recorded step can be repeated.
#[derive(Default)]
struct Spare {
    by_shape: HashMap<(usize, usize), VecDeque<Dense>>,
    n_byte: usize,
}

impl Spare {
    fn keep(&mut self, matrix: Dense) {
        let &shape = matrix.shape();
        let n_byte = shape.0 * shape.1 * WORD;
        if self.n_byte + n_byte <= MOST_SPARE_BYTES {
            self.n_byte += n_byte;
            self.by_shape.entry(shape).or_default().push_back(matrix);
        }
    }

    /// The first that was kept: a batch asks for its matrices in the order in which it gives them
    /// back.
    fn take(&mut self, shape: (usize, usize)) -> Option<Dense> {
        let matrix = self.by_shape.get_mut(&shape)?.pop_front()?;
        self.n_byte -= shape.0 * shape.1 * WORD;
        Some(matrix)
    }
}

struct Filled {
    gpu: &'static Gpu,
    staging: Pinned,
    memory: Rc<Memory>,
    /// Recorded after each copy.
    copied: Event,
    /// Number of allocated words.
    n: usize,
    /// dfdx matrices, which have their own memory, and the positions of their numbers.
    matrices: RefCell<Vec<(Dense, usize)>>,
    use_: Cell<Use>,
    released: Event,
}

/// Work queued on dfdx's stream since the last copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// Nothing reads the array.
    None,
    /// Some work reads it, and there may be more.
    Begun,
    /// Work up to the event `released` reads it.
    Ended,
}

/// The array on the device.
pub(super) struct Memory(CudaSlice<u32>);

impl Memory {
    pub(super) fn address(&self, word: usize) -> sys::CUdeviceptr {
        *self.0.device_ptr() + (word * WORD) as u64
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        // The staging memory is freed now, and the array with its last view. If the device fails
        // there is nothing left to protect.
        let _ = self.copied.wait(FINISH);
    }
}

impl Arena {
    /// See [`DeviceMemory::begin_upload`](crate::DeviceMemory::begin_upload).
    pub(super) fn begin_upload(&mut self, cuda: &Cuda, n_word: usize) -> Result<()> {
        let gpu = device::of(cuda)?;
        gpu.bind()?;
        let n_word = n_word.max(1);
        let fits = |filled: &Filled| {
            filled.memory.0.len() >= n_word && Rc::strong_count(&filled.memory) == 1
        };
        if let Some(filled) = self.filled.as_mut().filter(|filled| fits(filled)) {
            filled.copied.wait(FINISH)?;
            filled.n = 0;
            filled.matrices.get_mut().clear();
            return Ok(());
        }
        // With some headroom: the next batch may be slightly larger.
        self.filled = None;
        let room = n_word + n_word / 4;
        self.filled = Some(Filled {
            gpu,
            staging: Pinned::new(room * WORD)?,
            memory: Rc::new(Memory(allocate(gpu, room)?)),
            copied: Event::new()?,
            n: 0,
            matrices: RefCell::default(),
            // The memory is available when dfdx's stream has reached this point.
            use_: Cell::new(Use::Begun),
            released: Event::new()?,
        });
        Ok(())
    }

    fn filled(&mut self) -> Result<&mut Filled> {
        self.filled.as_mut().ok_or_else(|| Error::Engine("nothing was begun to upload".into()))
    }

    /// A view of the array into which `host` will be copied.
    pub(super) fn put(&mut self, host: &[u32]) -> Result<Words> {
        let filled = self.filled()?;
        let first = filled.take(host)?;
        Ok(Words::view(Rc::clone(&filled.memory), first, host.len()))
    }

    /// A matrix into which `host` will be copied.
    pub(super) fn put_matrix(
        &mut self,
        cuda: &Cuda,
        reclaimed: Option<Dense>,
        host: &[f32],
        [n_row, n_column]: [usize; 2],
    ) -> Result<Dense> {
        assert_eq!(host.len(), n_row * n_column, "as many numbers as the matrix has");
        if let Some(matrix) = reclaimed {
            self.spare.keep(matrix);
        }
        let spare = self.spare.take((n_row, n_column));
        let filled = self.filled()?;
        let matrix = match spare {
            Some(matrix) => matrix,
            None => cuda
                .try_zeros_like(&(n_row, n_column))
                .map_err(Error::dfdx("allocate a matrix of a batch"))?,
        };
        let first = filled.take(bytemuck::cast_slice(host))?;
        if !host.is_empty() {
            filled.matrices.get_mut().push((matrix.clone(), first));
        }
        Ok(matrix)
    }

    /// The address of the array, 0 if nothing has been put yet.
    pub(super) fn address(&self) -> sys::CUdeviceptr {
        self.filled.as_ref().map_or(0, |filled| filled.memory.address(0))
    }

    /// See [`DeviceMemory::finish_upload`](crate::DeviceMemory::finish_upload).
    #[allow(unsafe_code, reason = "copies take addresses")]
    pub(super) fn finish_upload(&mut self) -> Result<()> {
        let filled = self.filled()?;
        let gpu = filled.gpu;
        gpu.bind()?;
        if filled.use_.get() == Use::Begun {
            filled.released.record(gpu.stream())?;
        }
        if filled.use_.get() != Use::None {
            filled.released.hold_back(gpu.copies())?;
        }
        let bytes = &filled.staging.bytes()[..filled.n * WORD];
        // SAFETY: the array is as long as the staging memory, which is neither written nor freed
        // before the event `copied`; the array is not read before it either.
        unsafe { result::memcpy_htod_async(filled.memory.address(0), bytes, gpu.copies()) }
            .map_err(Error::driver("copy a batch to the GPU"))?;
        filled.copied.record(gpu.copies())?;
        filled.use_.set(Use::None);
        Ok(())
    }

    /// See [`DeviceMemory::begin_use`](crate::DeviceMemory::begin_use).
    #[allow(unsafe_code, reason = "copies take addresses")]
    pub(super) fn begin_use(&self) -> Result<()> {
        let Some(filled) = &self.filled else { return Ok(()) };
        if filled.use_.replace(Use::Begun) == Use::None {
            filled.gpu.bind()?;
            filled.copied.hold_back(filled.gpu.stream())?;
        }
        for (matrix, first) in filled.matrices.borrow_mut().drain(..) {
            let n_byte = matrix.shape().0 * matrix.shape().1 * WORD;
            // SAFETY: the matrix has this many bytes, and as many were allocated from `first` on.
            unsafe {
                let (to, from) = (raw::of_tensor(&matrix), filled.memory.address(first));
                result::memcpy_dtod_async(to, from, n_byte, filled.gpu.stream())
            }
            .map_err(Error::driver("copy a matrix on the GPU"))?;
        }
        Ok(())
    }

    /// See [`DeviceMemory::end_use`](crate::DeviceMemory::end_use).
    pub(super) fn end_use(&self) -> Result<()> {
        let Some(filled) = &self.filled else { return Ok(()) };
        if filled.use_.get() == Use::Begun {
            filled.gpu.bind()?;
            filled.released.record(filled.gpu.stream())?;
            filled.use_.set(Use::Ended);
        }
        Ok(())
    }
}

impl Filled {
    /// Copies to the staging memory, and returns the index of the first word.
    fn take(&mut self, host: &[u32]) -> Result<usize> {
        let first = self.n;
        let end = first + host.len();
        let room = self.memory.0.len();
        let Some(place) = self.staging.bytes_mut().get_mut(first * WORD..end * WORD) else {
            return Err(Error::Engine(format!("{end} words are put into an arena of {room}")));
        };
        place.copy_from_slice(bytemuck::cast_slice(host));
        self.n = end.next_multiple_of(ALIGNMENT).min(room);
        Ok(first)
    }
}

#[allow(unsafe_code, reason = "memory that has no values yet")]
fn allocate(gpu: &Gpu, n_word: usize) -> Result<CudaSlice<u32>> {
    // SAFETY: any bit pattern is a valid word, and whatever is read later is written before.
    unsafe { gpu.device.alloc(n_word) }
        .map_err(Error::driver(format!("allocate memory for a batch of {n_word} words")))
}
