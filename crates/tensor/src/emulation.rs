//! What the emulated GPU of the feature `cuda-check` has been asked for, for tests.

#![allow(unsafe_code, reason = "the counts come from the emulated driver")]

use std::mem::MaybeUninit;

/// Calls since the program started.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is what its name says")]
pub struct Counts {
    pub launches: u64,
    /// Matrix products of cuBLAS.
    pub products: u64,
    pub allocations: u64,
    /// Allocations of 0 bytes.
    pub empty_allocations: u64,
    pub frees: u64,
    pub allocated_bytes: u64,
    pub pinned_allocations: u64,
    /// Memory set to one value.
    pub fills: u64,
    pub copies_to_device: u64,
    pub copies_to_host: u64,
    pub copies_on_device: u64,
    /// Copies of memory that is not page-locked, of either direction.
    pub pageable_copies: u64,
    pub bytes_to_device: u64,
    pub bytes_to_host: u64,
    /// Times that the host waited for a stream or for the whole device.
    pub synchronisations: u64,
    /// Times that the host waited for an event.
    pub event_synchronisations: u64,
    pub event_records: u64,
    pub event_waits: u64,
}

unsafe extern "C" {
    fn emulated_cuda_counts(out: *mut Counts);
}

/// What the emulated GPU has been asked for so far, by all threads.
#[must_use]
pub fn counts() -> Counts {
    let mut counts = MaybeUninit::uninit();
    // SAFETY: the emulated driver fills in all numbers; its structure has the same ones in the same
    // order, all of 64 bits (`emulation/driver.h`).
    unsafe {
        emulated_cuda_counts(counts.as_mut_ptr());
        counts.assume_init()
    }
}

/// What happened between two counts.
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
        }
    }
}
