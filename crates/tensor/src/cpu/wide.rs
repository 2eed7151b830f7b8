//! Compiling a kernel for the vector units of the machine that it runs on.

#![allow(unsafe_code, reason = "calling a function that needs a processor feature")]

use std::sync::OnceLock;

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
            #[cfg(target_arch = "aarch64")]
            if $crate::cpu::wide::vectors() >= $crate::cpu::wide::Vectors::Neon {
                // The plain target has these instructions.
                return body::<true>($($arg),*);
            }
            body::<false>($($arg),*);
        }
    };
}
pub(super) use wide;

/// Vectors that kernels are compiled for, the widest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Vectors {
    /// 128 bits, products rounded before they are added.
    Plain,
    /// 128 bits, of 64-bit ARM.
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// 256 bits.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 512 bits.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Vectors {
    #[cfg(target_arch = "x86_64")]
    const ALL: &[Self] = &[Self::Plain, Self::Avx2, Self::Avx512];
    #[cfg(target_arch = "aarch64")]
    const ALL: &[Self] = &[Self::Plain, Self::Neon];
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    const ALL: &[Self] = &[Self::Plain];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            #[cfg(target_arch = "aarch64")]
            Self::Neon => "neon",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "avx512",
        }
    }
}

/// Limits the vectors that are used, by their names. For comparisons.
const VARIABLE: &str = "BATCHLAB_VECTORS";

/// The widest vectors of this machine, or narrower ones if [`VARIABLE`] asks for them. Looked up in
/// memory after the first call.
#[inline]
pub(crate) fn vectors() -> Vectors {
    static VECTORS: OnceLock<Vectors> = OnceLock::new();
    *VECTORS.get_or_init(|| limit().ok().flatten().map_or(detected(), |l| l.min(detected())))
}

/// What the environment limits vectors to.
///
/// # Errors
/// A value that names no vectors.
pub(crate) fn limit() -> Result<Option<Vectors>, String> {
    let Some(value) = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let named = |vectors: &&Vectors| value.to_str() == Some(vectors.name());
    Vectors::ALL.iter().find(named).map(|&vectors| Some(vectors)).ok_or_else(|| {
        let names: Vec<&str> = Vectors::ALL.iter().map(|vectors| vectors.name()).collect();
        format!(
            "the environment variable {VARIABLE} is \"{}\"; set it to {}, or remove it",
            value.display(),
            names.join(" or ")
        )
    })
}

#[cfg(target_arch = "x86_64")]
fn detected() -> Vectors {
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

#[cfg(target_arch = "aarch64")]
fn detected() -> Vectors {
    if std::arch::is_aarch64_feature_detected!("neon") { Vectors::Neon } else { Vectors::Plain }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn detected() -> Vectors {
    Vectors::Plain
}
