//! Keeps freed memory in the process between steps.

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
pub fn keep_freed() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(set_thresholds);
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "the allocator is set by a C function")]
fn set_thresholds() {
    use std::ffi::c_int;
    // Numbers from malloc.h, part of the binary interface.
    const M_TRIM_THRESHOLD: c_int = -1;
    const M_TOP_PAD: c_int = -2;
    const M_MMAP_THRESHOLD: c_int = -3;
    const M_ARENA_MAX: c_int = -8;
    const NEVER: c_int = c_int::MAX;
    /// The largest that older versions accept, half of a thread's heap.
    const OLD_LIMIT: c_int = 32 << 20;
    /// More than a thread's heap. Only addresses are reserved: pages that nobody writes take no memory.
    const BEYOND_A_HEAP: c_int = 128 << 20;

    // SAFETY: this is the declaration of mallopt(3) in malloc.h; it takes numbers and may be called
    // at any time.
    unsafe extern "C" {
        safe fn mallopt(parameter: c_int, value: c_int) -> c_int;
    }
    if mallopt(M_MMAP_THRESHOLD, NEVER) == 0 {
        mallopt(M_MMAP_THRESHOLD, OLD_LIMIT);
    }
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_TRIM_THRESHOLD, NEVER);
    mallopt(M_TOP_PAD, BEYOND_A_HEAP);
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn set_thresholds() {}
