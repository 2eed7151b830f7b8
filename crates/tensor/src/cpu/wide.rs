//! Compiles kernels for the vector units of the running machine.

#![allow(unsafe_code, reason = "calling a function that needs a processor feature")]

use std::sync::OnceLock;

/// Compiles a function over slices three times, for AVX-512, for AVX2 and for the plain target, and
/// selects the best version at run time. In the body the constant `FUSED` says whether
/// `f32::mul_add` is a single instruction there; otherwise it is a slow function call.
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
                    // SAFETY: the CPU was found to have these features.
                    $crate::cpu::wide::Vectors::Avx512 => return unsafe { avx512($($arg),*) },
                    // SAFETY: the CPU was found to have these features.
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

/// Vectors for which kernels are compiled, narrowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Vectors {
    /// 128 bits, with products rounded before they are added.
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

/// Limits the vectors in use, by name. For comparisons.
const VARIABLE: &str = "BATCHLAB_VECTORS";

/// The widest vectors of this machine, or narrower ones if requested by [`VARIABLE`]. Cached after
/// the first call.
#[inline]
pub(crate) fn vectors() -> Vectors {
    static VECTORS: OnceLock<Vectors> = OnceLock::new();
    *VECTORS.get_or_init(|| limit().ok().flatten().map_or(detected(), |l| l.min(detected())))
}

/// The limit on vectors set by the environment.
///
/// # Errors
/// If the value is not the name of a kind of vector.
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
