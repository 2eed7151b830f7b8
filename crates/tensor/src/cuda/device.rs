//! GPUs by index, opened once per process.
//!
//! dfdx creates a separate device for every `Cuda` and runs it on the legacy default stream of the
//! GPU's primary context. Everything here shares that context and stream, so pointers are valid on
//! both sides and work is done in the order in which it was queued, even by several threads.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::mem::ManuallyDrop;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use cudarc::driver::sys::{self, CUdevice_attribute_enum as Attribute};
use cudarc::driver::{CudaDevice, result};
use dfdx::tensor::Cuda;

use super::blas::Blas;
use super::error::Error;
use super::module::Module;
use super::pool::Pool;
use super::{kernels, libraries, raw, recording};

/// A module, once compiled.
pub(super) type Compilation = Mutex<Option<Arc<Module>>>;

/// State of this crate for a GPU, for the lifetime of the process.
pub(super) struct Gpu {
    /// Keeps the primary context, and with it modules and memory, alive.
    pub(super) device: Arc<CudaDevice>,
    /// The target architecture of NVRTC, such as `sm_90`.
    pub(super) arch: &'static str,
    /// Tensor cores with TF32 and bf16, from compute capability 8.0 on.
    pub(super) has_tensor_cores: bool,
    /// Maximum shared memory per block, in bytes.
    pub(super) shared_limit: u32,
    /// Compiled kernels by source. Each has its own lock, held while it is compiled.
    pub(super) modules: Mutex<HashMap<String, Arc<Compilation>>>,
    /// Our own handle, locked while in use.
    pub(super) blas: Mutex<Blas>,
    /// The source of all memory, for dfdx and everyone else.
    pub(super) pool: Pool,
    plain: OnceLock<Arc<Module>>,
    copies: Stream,
    recorder: Stream,
}

/// A stream in addition to dfdx's, without implicit synchronisation. It is never destroyed.
struct Stream(sys::CUstream);

// SAFETY: a stream is a handle that any thread may use.
#[allow(unsafe_code, reason = "handles of the driver are pointers")]
unsafe impl Send for Stream {}
// SAFETY: as above.
#[allow(unsafe_code, reason = "handles of the driver are pointers")]
unsafe impl Sync for Stream {}

static OPENED: Mutex<BTreeMap<usize, &'static Gpu>> = Mutex::new(BTreeMap::new());

thread_local! {
    /// dfdx's devices, which stay on the thread that created them. They are never dropped: that
    /// would call a driver that may have shut down before the thread, or lost its context, and
    /// abort.
    static DEVICES: RefCell<BTreeMap<usize, ManuallyDrop<Cuda>>> =
        const { RefCell::new(BTreeMap::new()) };
}

/// Opens a GPU: checks its presence, compiles the kernels, and checks the assumptions about dfdx.
/// Cheap if it is already open.
///
/// # Errors
/// If there is no driver, no such GPU, or no memory, or kernels do not compile for it.
pub(crate) fn open(ordinal: usize) -> Result<Cuda, Error> {
    if let Some(cuda) = DEVICES.with_borrow(|devices| devices.get(&ordinal).cloned()) {
        return Ok(ManuallyDrop::into_inner(cuda));
    }
    // First, because dfdx panics if there is no GPU.
    let gpu = gpu(ordinal)?;
    let cuda = Cuda::try_build(ordinal, 0).map_err(Error::dfdx("open the GPU"))?;
    raw::check(&cuda)?;
    if raw::ordinal(&cuda) != Some(ordinal) {
        return Err(Error::Layout("a device does not show its number"));
    }
    gpu.plain()?;
    DEVICES.with_borrow_mut(|devices| devices.insert(ordinal, ManuallyDrop::new(cuda.clone())));
    Ok(cuda)
}

/// Whether it supports TF32 and bf16 products.
///
/// # Errors
/// As for [`open`], if it has not been opened before.
pub(crate) fn has_tensor_cores(cuda: &Cuda) -> Result<bool, Error> {
    Ok(of(cuda)?.has_tensor_cores)
}

/// The state for the GPU of `cuda`.
///
/// # Errors
/// As for [`open`], if it has not been opened before.
pub(super) fn of(cuda: &Cuda) -> Result<&'static Gpu, Error> {
    gpu(raw::ordinal(cuda).ok_or(Error::Layout("a device does not show its number"))?)
}

fn gpu(ordinal: usize) -> Result<&'static Gpu, Error> {
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(gpu) = opened.get(&ordinal) {
        return Ok(gpu);
    }
    let gpu: &'static Gpu = Box::leak(Box::new(Gpu::new(ordinal)?));
    opened.insert(ordinal, gpu);
    Ok(gpu)
}

impl Gpu {
    #[allow(unsafe_code, reason = "calls of the driver that cudarc does not wrap")]
    fn new(ordinal: usize) -> Result<Self, Error> {
        libraries::load()?;
        // `CudaDevice::new` would panic if these fail.
        result::init().map_err(Error::driver("start"))?;
        let n_device = result::device::get_count().map_err(Error::driver("count the GPUs"))?;
        if i32::try_from(ordinal).is_err() || ordinal as i32 >= n_device {
            return Err(Error::NoSuchDevice { n_device });
        }
        let device =
            CudaDevice::new(ordinal).map_err(Error::driver(format!("open GPU {ordinal}")))?;
        let attribute = |attribute| {
            device.attribute(attribute).map_err(Error::driver("query the GPU's properties"))
        };
        let major = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
        let minor = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
        let shared = attribute(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?;
        let blas = Blas::new(&device)?;
        let stream = || {
            result::stream::create(result::stream::StreamKind::NonBlocking)
                .map(Stream)
                .map_err(Error::driver("make a stream"))
        };
        let pool = Pool::of(&device)?;
        Ok(Self {
            device,
            has_tensor_cores: major >= 8,
            arch: Box::leak(format!("sm_{major}{minor}").into_boxed_str()),
            shared_limit: shared.max(0).cast_unsigned(),
            modules: Mutex::default(),
            blas: Mutex::new(blas),
            plain: OnceLock::new(),
            pool,
            copies: stream()?,
            recorder: stream()?,
        })
    }

    /// The kernels that do not depend on the model.
    pub(super) fn plain(&self) -> Result<Arc<Module>, Error> {
        if let Some(module) = self.plain.get() {
            return Ok(Arc::clone(module));
        }
        let module = self.module(kernels::SOURCE)?;
        Ok(Arc::clone(self.plain.get_or_init(|| module)))
    }

    /// Makes this GPU current for the calling thread.
    pub(super) fn bind(&self) -> Result<(), Error> {
        self.device.bind_to_thread().map_err(Error::driver("bind the GPU to a thread"))
    }

    /// The stream for copies of batches.
    pub(super) fn copies(&self) -> sys::CUstream {
        self.copies.0
    }

    /// Waits for all work queued on the GPU, on any stream.
    #[allow(unsafe_code, reason = "calls of the driver that cudarc does not wrap")]
    pub(super) fn wait(&self) -> Result<(), Error> {
        self.bind()?;
        // SAFETY: it takes no arguments.
        unsafe { sys::cuCtxSynchronize() }.result().map_err(Error::driver("finish its work"))
    }

    /// The stream used for recording.
    pub(super) fn recorder(&self) -> sys::CUstream {
        self.recorder.0
    }

    /// The stream for kernels: dfdx's, or the one on which this thread records.
    pub(super) fn stream(&self) -> sys::CUstream {
        recording::stream().unwrap_or(*self.device.cu_stream())
    }
}
