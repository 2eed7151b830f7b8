//! Answers of CUDA's libraries, as codes that cudarc knows: its enumerations are those of an older
//! CUDA, and any other number in one of them would be undefined behaviour.

#![allow(unsafe_code, reason = "numbers as enumerations")]

use std::mem::transmute;
use std::sync::atomic::{AtomicU32, Ordering};

use cudarc::cublas::sys::cublasStatus_t;
use cudarc::driver::sys::CUresult;
use cudarc::nvrtc::sys::nvrtcResult;

const DRIVER: [u32; 90] = [
    0, 1, 2, 3, 4, 5, 6, 7, 8, 34, 46, 100, 101, 102, 200, 201, 202, 205, 206, 207, 208, 209, 210,
    211, 212, 213, 214, 215, 216, 217, 218, 219, 220, 221, 222, 223, 224, 300, 301, 302, 303, 304,
    400, 401, 500, 600, 700, 701, 702, 703, 704, 705, 708, 709, 710, 711, 712, 713, 714, 715, 716,
    717, 718, 719, 720, 800, 801, 802, 803, 804, 805, 806, 807, 808, 809, 810, 900, 901, 902, 903,
    904, 905, 906, 907, 908, 909, 910, 911, 912, 999,
];
const BLAS: [u32; 10] = [0, 1, 3, 7, 8, 11, 13, 14, 15, 16];
const COMPILER: [u32; 12] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];

// The compiler checks the values of constants: these compile only if cudarc has all of the codes.
const _: [CUresult; DRIVER.len()] = {
    // SAFETY: the enumeration is 32 bits wide; for the values, see above. So are those below.
    unsafe { transmute::<[u32; DRIVER.len()], [CUresult; DRIVER.len()]>(DRIVER) }
};
const _: [cublasStatus_t; BLAS.len()] = {
    // SAFETY: as above.
    unsafe { transmute::<[u32; BLAS.len()], [cublasStatus_t; BLAS.len()]>(BLAS) }
};
const _: [nvrtcResult; COMPILER.len()] = {
    // SAFETY: as above.
    unsafe { transmute::<[u32; COMPILER.len()], [nvrtcResult; COMPILER.len()]>(COMPILER) }
};

/// The code of the driver, unknown to cudarc, behind its last `CUDA_ERROR_UNKNOWN`; 0 for none.
static UNLISTED_CODE: AtomicU32 = AtomicU32::new(0);
/// The same for cuBLAS and `CUBLAS_STATUS_INTERNAL_ERROR`.
static UNLISTED_STATUS: AtomicU32 = AtomicU32::new(0);

pub(super) fn driver(code: u32) -> u32 {
    known_or_kept(code, &DRIVER, CUresult::CUDA_ERROR_UNKNOWN as u32, &UNLISTED_CODE)
}

pub(super) fn cublas(status: u32) -> u32 {
    let other = cublasStatus_t::CUBLAS_STATUS_INTERNAL_ERROR as u32;
    known_or_kept(status, &BLAS, other, &UNLISTED_STATUS)
}

pub(super) fn nvrtc(result: u32) -> u32 {
    known(result, &COMPILER).unwrap_or(nvrtcResult::NVRTC_ERROR_INTERNAL_ERROR as u32)
}

/// `code`, or `other` if it is not among `codes`: then it is kept, until there is a real `other`.
fn known_or_kept(code: u32, codes: &[u32], other: u32, kept: &AtomicU32) -> u32 {
    let known = known(code, codes);
    if known.is_none_or(|code| code == other) {
        kept.store(if known.is_none() { code } else { 0 }, Ordering::Relaxed);
    }
    known.unwrap_or(other)
}

fn known(code: u32, codes: &[u32]) -> Option<u32> {
    codes.binary_search(&code).is_ok().then_some(code)
}

/// The driver's own code, if cudarc does not know it.
pub(in crate::cuda) fn driver_code(code: CUresult) -> Option<u32> {
    let unlisted = UNLISTED_CODE.load(Ordering::Relaxed);
    (code == CUresult::CUDA_ERROR_UNKNOWN && unlisted != 0).then_some(unlisted)
}

/// The same for cuBLAS.
pub(in crate::cuda) fn blas_status(status: cublasStatus_t) -> Option<u32> {
    let unlisted = UNLISTED_STATUS.load(Ordering::Relaxed);
    (status == cublasStatus_t::CUBLAS_STATUS_INTERNAL_ERROR && unlisted != 0).then_some(unlisted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_that_cudarc_knows_is_not_taken_for_an_earlier_one_that_it_does_not() {
        let other = CUresult::CUDA_ERROR_UNKNOWN as u32;
        let kept = AtomicU32::new(0);
        let answers = |code| {
            let answer = known_or_kept(code, &DRIVER, other, &kept);
            (answer, kept.load(Ordering::Relaxed))
        };
        assert_eq!(answers(0), (0, 0));
        assert_eq!(answers(721), (other, 721));
        assert_eq!(answers(700), (700, 721));
        assert_eq!(answers(other), (other, 0));
    }
}
