//! Keeps freed memory in the process between steps, in huge pages.

/// Keeps freed memory in the process, so that the next step does not request it from the system
/// again. Process-wide and one-time; a no-op unless the C library is glibc. A program should call
/// it before starting threads; opening a device calls it as a fallback.
///
/// A step allocates and frees tens of megabytes, on a large graph gigabytes. By default glibc
/// returns blocks above a threshold to the system at once, and the threshold moves with the sizes
/// freed so far: measured on a SchNet step, 2,100 page faults and twice the time, or none,
/// depending on what the process did before. A comparison of batchers must not depend on that. Peak
/// memory use does not grow.
///
/// By default each thread has its own heaps of at most 64 MiB, and larger arrays come from the
/// system every time: measured on a GCN step of 169,343 nodes, 107,000 page faults, and none with a
/// single heap for all threads, which they get if started afterwards. The heaps of running threads
/// are kept by always leaving a larger piece at the end: measured on a PaiNN step of 40,000 edges,
/// 7,800 page faults and 4 % of the time.
///
/// On Linux the memory is in pages of 2 MiB, if the system grants them on request (madvise). What a
/// step keeps for its gradients is written and read row by row: with pages of 4 KiB an address is
/// translated every few rows, and the hardware prefetcher does not cross page boundaries. Measured:
/// 1 to 4 % of a step's time.
pub fn keep_freed() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(set_thresholds);
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(super) use glibc::ask_for_large_pages;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
use glibc::set_thresholds;

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "the allocator and its pages are set by C functions")]
mod glibc {
    use std::ffi::{c_int, c_void};
    use std::sync::atomic::{AtomicUsize, Ordering};

    // Constants from malloc.h and mman.h, which are part of the ABI.
    const M_TRIM_THRESHOLD: c_int = -1;
    const M_TOP_PAD: c_int = -2;
    const M_MMAP_THRESHOLD: c_int = -3;
    const M_ARENA_MAX: c_int = -8;
    const MADV_HUGEPAGE: c_int = 14;
    const NEVER: c_int = c_int::MAX;
    /// The maximum accepted by older versions, half of a thread's heap.
    const OLD_LIMIT: c_int = 32 << 20;
    /// More than a thread's heap. This only reserves addresses: untouched pages take no memory.
    const BEYOND_A_HEAP: c_int = 128 << 20;
    const LARGE_PAGE: usize = 2 << 20;

    // SAFETY: these are the declarations of mallopt(3), sbrk(2) and madvise(2). The first takes
    // numbers and may be called at any time.
    unsafe extern "C" {
        safe fn mallopt(parameter: c_int, value: c_int) -> c_int;
        fn sbrk(increment: isize) -> *mut c_void;
        fn madvise(start: *mut c_void, length: usize, advice: c_int) -> c_int;
    }

    pub(super) fn set_thresholds() {
        if mallopt(M_MMAP_THRESHOLD, NEVER) == 0 {
            mallopt(M_MMAP_THRESHOLD, OLD_LIMIT);
        }
        mallopt(M_ARENA_MAX, 1);
        mallopt(M_TRIM_THRESHOLD, NEVER);
        mallopt(M_TOP_PAD, BEYOND_A_HEAP);
        ASKED.store(end(), Ordering::Relaxed);
        // The heap grows far beyond what is in use.
        drop(std::hint::black_box(Vec::<u8>::with_capacity(LARGE_PAGE)));
        ask_for_large_pages();
    }

    /// Address up to which huge pages were requested; 0 if nothing was set.
    static ASKED: AtomicUsize = AtomicUsize::new(0);

    /// Requests huge pages where the heap has grown since.
    pub(in crate::cpu) fn ask_for_large_pages() {
        let (asked, end) = (ASKED.load(Ordering::Relaxed), end());
        if asked == 0 || end <= asked {
            return;
        }
        let start = asked / LARGE_PAGE * LARGE_PAGE;
        // SAFETY: this changes no content, only the size of pages that are first touched later. The
        // addresses are those of the heap, shortly before it, or unmapped.
        unsafe { madvise(std::ptr::without_provenance_mut(start), end - start, MADV_HUGEPAGE) };
        ASKED.store(end, Ordering::Relaxed);
    }

    /// The end of the heap.
    fn end() -> usize {
        // SAFETY: without an increment it only returns the current end.
        unsafe { sbrk(0) }.addr()
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn set_thresholds() {}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn ask_for_large_pages() {}
