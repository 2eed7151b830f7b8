//! Compiling a kernel for the vector units that the machine turns out to have.

#![allow(unsafe_code, reason = "calling a function that needs a processor feature")]

/// Wraps a function over slices so that it is compiled three times, for AVX-512, for AVX2 and for
/// the plain target, and the best version is chosen when it runs. In the body the constant `FUSED`
/// says whether `f32::mul_add` is one instruction there; without, it is a call of a slow function.
macro_rules! wide {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $body:block) => {
        $(#[$meta])*
        #[allow(unsafe_code, reason = "calling a function that needs a processor feature")]
        #[allow(clippy::too_many_arguments, reason = "kernels take arrays, not objects")]
        $vis fn $name($($arg: $type),*) {
            #[inline(always)]
            #[allow(clippy::inline_always, reason = "it takes on the features of its caller")]
            #[allow(clippy::extra_unused_type_parameters, reason = "not every body multiplies")]
            fn body<const FUSED: bool>($($arg: $type),*) $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
                fn avx512($($arg: $type),*) {
                    body::<true>($($arg),*);
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $type),*) {
                    body::<true>($($arg),*);
                }
                match $crate::cpu::wide::vectors() {
                    // SAFETY: the processor was found to have these features.
                    $crate::cpu::wide::Vectors::Avx512 => return unsafe { avx512($($arg),*) },
                    // SAFETY: the processor was found to have these features.
                    $crate::cpu::wide::Vectors::Avx2 => return unsafe { avx2($($arg),*) },
                    $crate::cpu::wide::Vectors::Plain => {}
                }
            }
            body::<false>($($arg),*);
        }
    };
}
pub(super) use wide;

/// The widest vectors of this machine.
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vectors {
    /// 512 bits.
    Avx512,
    /// 256 bits.
    Avx2,
    /// Those that every machine of this kind has.
    Plain,
}

/// Looked up in memory after the first call.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) fn vectors() -> Vectors {
    let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    let avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq");
    match (avx512 && avx2, avx2) {
        (true, _) => Vectors::Avx512,
        (false, true) => Vectors::Avx2,
        (false, false) => Vectors::Plain,
    }
}
