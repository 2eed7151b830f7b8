//! Explicit vectors for inner loops that compilers do not vectorise well.
//!
//! The pulp crate compiles one source for AVX-512, AVX2, NEON and plain 128-bit vectors, with
//! run-time dispatch as in [`wide`](super::wide).

#![allow(unsafe_code, reason = "vectors are loaded and stored through pointers")]
#![allow(clippy::inline_always, reason = "these take on the processor features of the loop")]

use pulp::{Simd, WithSimd};

/// Rows of blocks and of their weights are padded to a multiple of this, the number of lanes of the
/// widest vector.
pub(super) const LANES: usize = 16;

/// `width` rounded up to a multiple of [`LANES`].
pub(super) const fn padded(width: usize) -> usize {
    width.div_ceil(LANES) * LANES
}

/// Runs `kernel` with the widest vectors of this machine.
pub(super) fn vectorised(kernel: impl WithSimd<Output = ()>) {
    #[cfg(target_arch = "x86_64")]
    {
        use super::wide::{Vectors, vectors};
        if vectors() >= Vectors::Avx512
            && let Some(simd) = pulp::x86::V4::try_new()
        {
            return Simd::vectorize(simd, kernel);
        }
        if vectors() >= Vectors::Avx2
            && let Some(simd) = pulp::x86::V3::try_new()
        {
            return Simd::vectorize(simd, kernel);
        }
    }
    #[cfg(target_arch = "aarch64")]
    {
        use super::wide::{Vectors, vectors};
        if vectors() >= Vectors::Neon
            && let Some(simd) = pulp::aarch64::Neon::try_new()
        {
            return Simd::vectorize(simd, kernel);
        }
    }
    Simd::vectorize(pulp::Scalar128b, kernel);
}

/// Lanes per vector.
#[inline(always)]
pub(super) const fn lanes<S: Simd>() -> usize {
    size_of::<S::f32s>() / size_of::<f32>()
}

/// Whether there is an instruction for `a b + c`. All vectors but the plain ones have it; among
/// 128-bit ones, NEON is recognised by its number of registers.
#[inline(always)]
pub(super) const fn is_fused<S: Simd>() -> bool {
    lanes::<S>() > 4 || S::REGISTER_COUNT > 16
}

/// # Safety
/// A whole vector must be readable at `from`; it need not be aligned.
#[inline(always)]
pub(super) unsafe fn load<S: Simd>(from: *const f32) -> S::f32s {
    // SAFETY: the caller guarantees it. A vector is plain numbers, for which any bits are valid.
    unsafe { from.cast::<S::f32s>().read_unaligned() }
}

/// # Safety
/// A whole vector must be writable at `to`; it need not be aligned.
#[inline(always)]
pub(super) unsafe fn store<S: Simd>(to: *mut f32, value: S::f32s) {
    // SAFETY: the caller guarantees it.
    unsafe { to.cast::<S::f32s>().write_unaligned(value) }
}

/// Prefetches numbers into the core's own cache, if there is an instruction for it.
#[inline(always)]
pub(super) fn fetch(values: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    for line in values.chunks(LANES) {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: a prefetch has no visible effect.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = values;
}

/// `a b + c`, in one instruction if available. Otherwise not fused, as that would be a slow
/// function call per number.
#[inline(always)]
pub(super) fn multiply_add<S: Simd>(simd: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
    if is_fused::<S>() {
        simd.mul_add_e_f32s(a, b, c)
    } else {
        simd.add_f32s(simd.mul_f32s(a, b), c)
    }
}

/// Iterates over `0..$n` (a multiple of [`LANES`]) in panels of `$N` vectors, as many as leave
/// registers for six rows of sums.
macro_rules! panels {
    ($S:ty, $n:expr, |$first:ident, $N:ident| $body:block) => {{
        let lanes = $crate::cpu::simd::lanes::<$S>();
        let mut $first = 0;
        if lanes == 16 {
            while $first + 64 <= $n {
                const $N: usize = 4;
                $body
                $first += 64;
            }
            while $first + 32 <= $n {
                const $N: usize = 2;
                $body
                $first += 32;
            }
            while $first < $n {
                const $N: usize = 1;
                $body
                $first += 16;
            }
        } else if lanes == 4 && $crate::cpu::simd::is_fused::<$S>() {
            // 32 registers, as with 16 lanes; row lengths are a multiple of 16.
            while $first < $n {
                const $N: usize = 4;
                $body
                $first += 4 * lanes;
            }
        } else {
            while $first < $n {
                const $N: usize = 2;
                $body
                $first += 2 * lanes;
            }
        }
    }};
}
pub(super) use panels;
