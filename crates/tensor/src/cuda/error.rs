//! Errors of a GPU, with messages for the bare codes passed on by dfdx.

use std::cell::RefCell;
use std::sync::OnceLock;

use batchlab_core::ModelError;
use cudarc::cublas::result::CublasError;
use cudarc::driver::DriverError;
use cudarc::driver::sys::{self, CUresult};
use dfdx::tensor::CudaError;

use super::libraries;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}")]
    Libraries(String),
    #[error("CUDA could not {what}: {}{}", name(*.source), remedy(*.source))]
    Driver { what: String, source: DriverError },
    #[error("cuBLAS could not {what}: {}", name_of_status(*.status))]
    Blas { what: &'static str, status: CublasError },
    /// A kernel does not compile: a bug in this program, or an NVRTC that is too old for the GPU.
    #[error("NVRTC could not compile kernels for {arch}: {reason}")]
    Compile { arch: String, reason: String },
    #[error("{0}")]
    Engine(String),
    #[error(
        "this machine has {n_device} GPUs that CUDA can use, counted from 0; choose one of them"
    )]
    NoSuchDevice { n_device: i32 },
    /// dfdx has an unexpected tensor layout.
    #[error(
        "dfdx keeps tensors in another way than this program expects ({0}); build it with the dfdx \
         version of its Cargo.lock"
    )]
    Layout(&'static str),
    #[error("{n} {what} are more than kernels can count (2^31 - 1); use smaller batches")]
    TooLarge { what: &'static str, n: usize },
}

impl Error {
    /// For `map_err`: what was attempted when the driver failed.
    pub(crate) fn driver(what: impl Into<String>) -> impl FnOnce(DriverError) -> Self {
        let what = what.into();
        move |source| {
            let error = Self::Driver { what, source };
            if is_final(source) {
                // Only the first one names what went wrong.
                let _ = LOSS.set(error.to_string());
            }
            error
        }
    }

    /// For `map_err`: what was attempted when cuBLAS failed. It has no code for an earlier kernel
    /// that went wrong, so the driver is asked.
    #[allow(unsafe_code, reason = "calls of the driver that cudarc does not wrap")]
    pub(crate) fn blas(what: &'static str) -> impl FnOnce(CublasError) -> Self {
        // SAFETY: it takes no arguments.
        move |status| match unsafe { sys::cuCtxSynchronize() }.result() {
            Err(source) if is_final(source) => Self::driver(what)(source),
            _ => Self::Blas { what, status },
        }
    }

    /// For `map_err`: what was attempted when dfdx failed.
    pub(crate) fn dfdx(what: impl Into<String>) -> impl FnOnce(CudaError) -> Self {
        let what = what.into();
        move |error| match error {
            CudaError::Driver(source) => Self::driver(what)(source),
            other => Self::Engine(format!("could not {what}: {other}")),
        }
    }

    fn code(&self) -> CUresult {
        match self {
            Self::Driver { source, .. } => source.0,
            Self::NoSuchDevice { .. } => CUresult::CUDA_ERROR_INVALID_DEVICE,
            Self::Compile { .. } => CUresult::CUDA_ERROR_INVALID_PTX,
            Self::TooLarge { .. } => CUresult::CUDA_ERROR_INVALID_VALUE,
            _ => CUresult::CUDA_ERROR_UNKNOWN,
        }
    }
}

/// The first error after which every call of the process fails.
static LOSS: OnceLock<String> = OnceLock::new();

/// Errors after which every call of the process fails, according to the driver's documentation.
const LOST: [&str; 11] = [
    "CUDA_ERROR_ILLEGAL_ADDRESS",
    "CUDA_ERROR_LAUNCH_FAILED",
    "CUDA_ERROR_LAUNCH_TIMEOUT",
    "CUDA_ERROR_HARDWARE_STACK_ERROR",
    "CUDA_ERROR_ILLEGAL_INSTRUCTION",
    "CUDA_ERROR_MISALIGNED_ADDRESS",
    "CUDA_ERROR_INVALID_ADDRESS_SPACE",
    "CUDA_ERROR_INVALID_PC",
    "CUDA_ERROR_ASSERT",
    "CUDA_ERROR_ECC_UNCORRECTABLE",
    // Not documented as such: also stands for codes that cudarc does not know, some of which are.
    "CUDA_ERROR_UNKNOWN",
];

fn is_final(error: DriverError) -> bool {
    LOST.contains(&format!("{:?}", error.0).as_str())
}

/// Why the GPU was lost, if this is the message of the panic that cudarc answers with when memory
/// cannot be freed any more.
pub(crate) fn loss_behind(panic: &str) -> Option<String> {
    let code = LOST.iter().find(|code| panic.contains(*code))?;
    let found_by_chance = || {
        let code = if *code == "CUDA_ERROR_UNKNOWN" {
            name(DriverError(CUresult::CUDA_ERROR_UNKNOWN))
        } else {
            (*code).to_owned()
        };
        format!(
            "CUDA could not free memory: {code}; an earlier kernel or copy went wrong: set \
             CUDA_LAUNCH_BLOCKING=1 to learn which"
        )
    };
    Some(LOSS.get().cloned().unwrap_or_else(found_by_chance))
}

/// Reconstructs an engine error from its message, since dfdx passes on nothing else.
pub(crate) fn of_model(message: String) -> ModelError {
    if LOST.iter().any(|name| message.contains(name)) {
        ModelError::DeviceLost(message)
    } else {
        ModelError::Engine(message)
    }
}

thread_local! {
    /// Message of the last error on this thread: dfdx's error only holds a code.
    static EXPLANATION: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Takes the message of this thread's last error.
pub(crate) fn take_explanation() -> Option<String> {
    EXPLANATION.take()
}

impl From<Error> for CudaError {
    fn from(error: Error) -> Self {
        EXPLANATION.set(Some(error.to_string()));
        Self::Driver(DriverError(error.code()))
    }
}

/// As in NVIDIA's documentation.
fn name(error: DriverError) -> String {
    let name = format!("{:?}", error.0);
    let Some(code) = libraries::driver_code(error.0) else { return name };
    let own = libraries::name_of_error(code).unwrap_or_else(|| "without a name".into());
    format!("{name} (the driver's error {code}, {own})")
}

fn name_of_status(error: CublasError) -> String {
    let name = format!("{:?}", error.0);
    match libraries::blas_status(error.0) {
        Some(status) => format!("{name} (its status {status})"),
        None => name,
    }
}

fn remedy(error: DriverError) -> &'static str {
    match error.0 {
        CUresult::CUDA_ERROR_OUT_OF_MEMORY => {
            "; the GPU's memory is full: use smaller batches or a smaller model, and see with \
             nvidia-smi what else runs there"
        }
        CUresult::CUDA_ERROR_NO_DEVICE => {
            "; no GPU is visible: see nvidia-smi and CUDA_VISIBLE_DEVICES, or use device = \"cpu\""
        }
        CUresult::CUDA_ERROR_STUB_LIBRARY => {
            "; a stand-in for the driver was loaded: install NVIDIA's driver, and remove stubs from \
             LD_LIBRARY_PATH"
        }
        CUresult::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH
        | CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION => {
            "; NVRTC is newer than the driver: update the driver, or use an NVRTC of the driver's CUDA \
             version"
        }
        CUresult::CUDA_ERROR_ILLEGAL_ADDRESS | CUresult::CUDA_ERROR_LAUNCH_FAILED => {
            "; a kernel went wrong: please report it with the configuration"
        }
        _ => "",
    }
}
