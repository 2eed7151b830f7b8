//! The emulated GPU of the feature `cuda-check`, for tests: call counts, and execution order of its
//! work.

#![allow(unsafe_code, reason = "calls of the emulated driver")]

use std::ffi::{CStr, c_char, c_void};
use std::mem::MaybeUninit;

use crate::cuda::libraries;

/// Call counts since the program started.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is what its name says")]
pub struct Counts {
    pub launches: u64,
    /// Matrix products by cuBLAS.
    pub products: u64,
    pub allocations: u64,
    /// Allocations of 0 bytes.
    pub empty_allocations: u64,
    pub frees: u64,
    pub allocated_bytes: u64,
    pub pinned_allocations: u64,
    /// Memory fills with zeros, by the driver or by a kernel.
    pub fills: u64,
    /// Bytes of all fills, including those within launched recordings.
    pub filled_bytes: u64,
    pub copies_to_device: u64,
    pub copies_to_host: u64,
    pub copies_on_device: u64,
    /// Copies from or to memory that is not page-locked.
    pub pageable_copies: u64,
    pub bytes_to_device: u64,
    pub bytes_to_host: u64,
    /// Number of times the host waited for a stream or for the whole device.
    pub synchronisations: u64,
    /// Number of times the host waited for an event.
    pub event_synchronisations: u64,
    pub event_records: u64,
    pub event_waits: u64,
    /// Launches of recorded work.
    pub graph_launches: u64,
    /// Kernel launches and products within launched recordings.
    pub repeated_kernels: u64,
    /// Fills within launched recordings.
    pub repeated_fills: u64,
}

/// A function of the emulated driver, which is loaded if it is not.
///
/// # Safety
/// `F` is its type.
unsafe fn function<F: Copy>(name: &CStr) -> F {
    libraries::load().expect("the emulated GPU was built along with this program");
    // SAFETY: as above.
    unsafe { libraries::driver_function(name) }.expect("only the emulated driver was built")
}

/// When a stream executes work whose result has not been waited for. A real GPU may do any of
/// these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Streams {
    /// Immediately.
    Eager,
    /// Never.
    Lazy,
    /// Immediately or later, at random.
    Random,
    /// Immediately on all streams but dfdx's, never on that one.
    OthersFirst,
}

/// Sets when work is executed, for the whole process.
pub fn set_streams(streams: Streams) {
    let name: &CStr = match streams {
        Streams::Eager => c"eager",
        Streams::Lazy => c"lazy",
        Streams::Random => c"random",
        Streams::OthersFirst => c"others-first",
    };
    // SAFETY: the function is declared like this (`emulation/driver.cpp`), and reads the name before
    // it returns.
    unsafe {
        function::<unsafe extern "C" fn(*const c_char)>(c"emulated_cuda_streams")(name.as_ptr());
    }
}

/// From now on, the emulated GPU counts calls and does not execute kernels and products: memory keeps
/// its content, and new memory is 0. For the whole process.
pub fn only_count() {
    // SAFETY: the function is declared like this (`emulation/driver.cpp`).
    unsafe { function::<unsafe extern "C" fn()>(c"emulated_cuda_only_count")() };
}

/// Calls to the emulated GPU so far, by all threads.
#[must_use]
pub fn counts() -> Counts {
    let mut counts = MaybeUninit::uninit();
    // SAFETY: the emulated driver fills in all numbers; its structure has the same fields in the
    // same order, all of 64 bits (`emulation/driver.h`).
    unsafe {
        let count = function::<unsafe extern "C" fn(*mut Counts)>(c"emulated_cuda_counts");
        count(counts.as_mut_ptr());
        counts.assume_init()
    }
}

/// Runs `work` without counting its calls.
pub(crate) fn uncounted<R>(work: impl FnOnce() -> R) -> R {
    let before = counts();
    let result = work();
    // SAFETY: the function is declared like this (`emulation/driver.cpp`), and reads all numbers.
    unsafe {
        function::<unsafe extern "C" fn(*const Counts)>(c"emulated_cuda_set_counts")(
            &raw const before,
        );
    }
    result
}

/// The first difference between two recordings, by their handles.
pub(crate) fn difference(one: *mut c_void, other: *mut c_void) -> Option<String> {
    type Difference = unsafe extern "C" fn(*mut c_void, *mut c_void) -> *const c_char;
    // SAFETY: the function is declared like this (`emulation/driver.cpp`). Its text stays until the next
    // call, and only one thread at a time has recordings.
    unsafe {
        let text = function::<Difference>(c"emulated_cuda_difference")(one, other);
        (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned())
    }
}

/// The difference of two counts.
impl std::ops::Sub for Counts {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        let Self {
            launches,
            products,
            allocations,
            empty_allocations,
            frees,
            allocated_bytes,
            pinned_allocations,
            fills,
            filled_bytes,
            copies_to_device,
            copies_to_host,
            copies_on_device,
            pageable_copies,
            bytes_to_device,
            bytes_to_host,
            synchronisations,
            event_synchronisations,
            event_records,
            event_waits,
            graph_launches,
            repeated_kernels,
            repeated_fills,
        } = self;
        Self {
            launches: launches - before.launches,
            products: products - before.products,
            allocations: allocations - before.allocations,
            empty_allocations: empty_allocations - before.empty_allocations,
            frees: frees - before.frees,
            allocated_bytes: allocated_bytes - before.allocated_bytes,
            pinned_allocations: pinned_allocations - before.pinned_allocations,
            fills: fills - before.fills,
            filled_bytes: filled_bytes - before.filled_bytes,
            copies_to_device: copies_to_device - before.copies_to_device,
            copies_to_host: copies_to_host - before.copies_to_host,
            copies_on_device: copies_on_device - before.copies_on_device,
            pageable_copies: pageable_copies - before.pageable_copies,
            bytes_to_device: bytes_to_device - before.bytes_to_device,
            bytes_to_host: bytes_to_host - before.bytes_to_host,
            synchronisations: synchronisations - before.synchronisations,
            event_synchronisations: event_synchronisations - before.event_synchronisations,
            event_records: event_records - before.event_records,
            event_waits: event_waits - before.event_waits,
            graph_launches: graph_launches - before.graph_launches,
            repeated_kernels: repeated_kernels - before.repeated_kernels,
            repeated_fills: repeated_fills - before.repeated_fills,
        }
    }
}
