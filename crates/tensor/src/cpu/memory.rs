//! Keeps freed memory in the process between steps, in large pages.

/// Keeps freed memory in the process, so that the next step does not ask the system for it again.
/// For the whole process, once; nothing happens where the C library is not glibc. A program calls it
/// before it starts threads; opening a device calls it too, for those that do not.
///
/// A step allocates and frees tens of megabytes, on a large graph gigabytes. By default glibc returns
/// blocks above a threshold to the system at once, and the threshold moves with the sizes freed so far:
/// measured on a SchNet step, 2,100 page faults and twice the time, or none, depending on what the
/// process did before. A comparison of batchers must not depend on that. The most memory that is ever
/// in use does not grow.
///
/// By default each thread has heaps of its own, of at most 64 MiB, and larger arrays come from the system
/// every time: measured on a GCN step of 169,343 nodes, 107,000 page faults, and none with one heap for
/// all threads, which they get if they are started afterwards. The heaps of threads that run already are
/// kept where a larger piece is always to be left at the end: measured on a PaiNN step of 40,000 edges,
/// 7,800 page faults and 4 % of the time.
///
/// On Linux the memory is in pages of 2 MiB, where the system gives them to who asks. What a step keeps for
/// its gradients is written and read row by row: with pages of 4 KiB an address is looked up every few
/// rows, and no processor reads ahead beyond one. Measured: 1 to 4 % of a step's time.
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

    // Numbers from malloc.h and mman.h, part of the binary interface.
    const M_TRIM_THRESHOLD: c_int = -1;
    const M_TOP_PAD: c_int = -2;
    const M_MMAP_THRESHOLD: c_int = -3;
    const M_ARENA_MAX: c_int = -8;
    const MADV_HUGEPAGE: c_int = 14;
    const NEVER: c_int = c_int::MAX;
    /// The largest that older versions accept, half of a thread's heap.
    const OLD_LIMIT: c_int = 32 << 20;
    /// More than a thread's heap. Only addresses are reserved: pages that nobody writes take no memory.
    const BEYOND_A_HEAP: c_int = 128 << 20;
    const LARGE_PAGE: usize = 2 << 20;

    // SAFETY: these are the declarations of mallopt(3), sbrk(2) and madvise(2). The first takes numbers and
    // may be called at any time.
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

    /// Up to which address large pages were asked for; 0 where nothing was set.
    static ASKED: AtomicUsize = AtomicUsize::new(0);

    /// Asks for large pages where the heap has grown since.
    pub(in crate::cpu) fn ask_for_large_pages() {
        let (asked, end) = (ASKED.load(Ordering::Relaxed), end());
        if asked == 0 || end <= asked {
            return;
        }
        let start = asked / LARGE_PAGE * LARGE_PAGE;
        // SAFETY: this changes no content, and nothing but the size of pages that are written for the first
        // time later. The addresses are those of the heap, of what lies shortly before it, or of nothing.
        unsafe { madvise(std::ptr::without_provenance_mut(start), end - start, MADV_HUGEPAGE) };
        ASKED.store(end, Ordering::Relaxed);
    }

    /// Where the heap ends.
    fn end() -> usize {
        // SAFETY: without increment it only says where that is.
        unsafe { sbrk(0) }.addr()
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn set_thresholds() {}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn ask_for_large_pages() {}
