//! From source text to running kernels: compilation, lookup, launch.

use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::{CudaSlice, DevicePtr, result, sys};

use super::compile;
use super::device::Gpu;
use super::error::Error;
use super::raw;
use super::words::Words;
use super::{Buffer, Dense};

/// Shared memory that a block may use on any GPU without opting in, in bytes: dynamic and static
/// together.
const SHARED_WITHOUT_ASKING: u32 = 48 * 1024;
/// Maximum static shared memory of a kernel that also has dynamic shared memory, in bytes.
pub(super) const MOST_OWN_SHARED: u32 = 2048;

/// Compiled kernels on one GPU. They stay loaded for the lifetime of the process.
pub(super) struct Module {
    handle: sys::CUmodule,
    functions: Mutex<HashMap<String, Function>>,
}

// SAFETY: a module is a handle that any thread may use.
#[allow(unsafe_code, reason = "handles of the driver are pointers")]
unsafe impl Send for Module {}
// SAFETY: as above; the table of functions has a lock.
#[allow(unsafe_code, reason = "handles of the driver are pointers")]
unsafe impl Sync for Module {}

/// A kernel. It lives as long as the process: programs are never unloaded.
#[derive(Clone, Copy)]
pub(super) struct Function {
    handle: sys::CUfunction,
    /// Allowed dynamic shared memory per block, in bytes.
    shared: u32,
}

// SAFETY: a function is a handle that any thread may use.
#[allow(unsafe_code, reason = "handles of the driver are pointers")]
unsafe impl Send for Function {}

/// The launch configuration of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Launch {
    /// Blocks along x and y. Nothing is launched if one of them is 0.
    pub(super) blocks: [u32; 2],
    /// Threads per block, along x.
    pub(super) threads: u32,
    /// Dynamic shared memory per block, in bytes. Opts in automatically to more than the default,
    /// up to [`Gpu::shared_limit`] minus [`MOST_OWN_SHARED`].
    pub(super) shared: u32,
}

impl Launch {
    /// At least one thread for each of `n` elements, in blocks of 256.
    ///
    /// # Errors
    /// If there are more elements than a kernel can count.
    pub(super) fn each(n: usize) -> Result<Self, Error> {
        let blocks = count("elements", n)?.div_ceil(256);
        Ok(Self { blocks: [blocks, 1], threads: 256, shared: 0 })
    }
}

/// A length as passed to kernels.
///
/// # Errors
/// For 2^31 and above.
pub(super) fn count(what: &'static str, n: usize) -> Result<u32, Error> {
    i32::try_from(n).map(i32::cast_unsigned).map_err(|_| Error::TooLarge { what, n })
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Argument {
    /// A device address, 0 for none.
    Pointer(sys::CUdeviceptr),
    U32(u32),
    I32(i32),
    F32(f32),
    F64(f64),
}

impl Argument {
    /// The address, or 0 for a number.
    pub(super) fn address(self) -> sys::CUdeviceptr {
        if let Self::Pointer(address) = self { address } else { 0 }
    }

    /// Its bytes, at the start of a word: machines with CUDA are little-endian.
    fn word(self) -> u64 {
        match self {
            Self::Pointer(address) => address,
            Self::U32(value) => value.into(),
            Self::I32(value) => value.cast_unsigned().into(),
            Self::F32(value) => value.to_bits().into(),
            Self::F64(value) => value.to_bits(),
        }
    }
}

impl From<&Dense> for Argument {
    fn from(tensor: &Dense) -> Self {
        Self::Pointer(raw::of_tensor(tensor))
    }
}

impl From<Option<&Dense>> for Argument {
    fn from(tensor: Option<&Dense>) -> Self {
        tensor.map_or(Self::Pointer(0), Self::from)
    }
}

impl<T> From<&CudaSlice<T>> for Argument {
    fn from(slice: &CudaSlice<T>) -> Self {
        Self::Pointer(*slice.device_ptr())
    }
}

impl From<&Words> for Argument {
    fn from(words: &Words) -> Self {
        Self::Pointer(words.address())
    }
}

impl From<Option<&Words>> for Argument {
    fn from(words: Option<&Words>) -> Self {
        words.map_or(Self::Pointer(0), Self::from)
    }
}

impl From<u32> for Argument {
    fn from(value: u32) -> Self {
        Self::U32(value)
    }
}

impl From<i32> for Argument {
    fn from(value: i32) -> Self {
        Self::I32(value)
    }
}

impl From<f64> for Argument {
    fn from(value: f64) -> Self {
        Self::F64(value)
    }
}

impl From<f32> for Argument {
    fn from(value: f32) -> Self {
        Self::F32(value)
    }
}

/// A buffer as an argument. (Not a `From`, as Rust cannot tell its type apart from a tensor's.)
pub(super) fn memory(buffer: &Buffer) -> Argument {
    Argument::Pointer(raw::of_buffer(buffer))
}

/// The arguments of a kernel, in order: tensors, buffers, words, numbers.
macro_rules! arguments {
    ($($value:expr),* $(,)?) => {
        &[$($crate::cuda::module::Argument::from($value)),*]
    };
}
pub(super) use arguments;

impl Module {
    /// Looks up a kernel and allows it `shared` bytes of dynamic shared memory.
    #[allow(unsafe_code, reason = "the driver takes the program by its handle")]
    fn function(&self, name: &str, shared: u32) -> Result<Function, Error> {
        let mut functions = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(function) = functions.get(name).filter(|known| shared <= known.shared) {
            return Ok(*function);
        }
        let c_name = CString::new(name).map_err(|_| Error::Engine(format!("kernel {name:?}")))?;
        // SAFETY: the module is loaded and stays so.
        let handle = unsafe { result::module::get_function(self.handle, c_name) }
            .map_err(Error::driver(format!("find the kernel {name}")))?;
        let without_asking = SHARED_WITHOUT_ASKING - MOST_OWN_SHARED;
        if shared > without_asking {
            let attribute =
                sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            // SAFETY: the handle was just returned by the driver.
            unsafe { sys::cuFuncSetAttribute(handle, attribute, shared.cast_signed()) }
                .result()
                .map_err(Error::driver(format!(
                    "give the kernel {name} {shared} bytes of shared memory per block"
                )))?;
        }
        let function = Function { handle, shared: shared.max(without_asking) };
        functions.insert(name.to_owned(), function);
        Ok(function)
    }
}

impl Gpu {
    /// Compiles a source, or looks up the result of an earlier compilation of the same text. It
    /// cannot use headers; kernels must be `extern "C" __global__`.
    ///
    /// # Errors
    /// If the source does not compile, with the compiler's log.
    pub(super) fn module(&self, source: &str) -> Result<Arc<Module>, Error> {
        let place = {
            let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(modules.entry(source.to_owned()).or_default())
        };
        // Only threads with the same source wait here.
        let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = &*place {
            return Ok(Arc::clone(module));
        }
        let module = Arc::new(self.load(&compile::compile(self.arch, source)?)?);
        *place = Some(Arc::clone(&module));
        Ok(module)
    }

    #[allow(unsafe_code, reason = "the driver takes the program by its address")]
    fn load(&self, image: &[u8]) -> Result<Module, Error> {
        self.bind()?;
        // SAFETY: the image is the complete output of NVRTC; the driver copies what it needs.
        let handle = unsafe { result::module::load_data(image.as_ptr().cast()) }
            .map_err(Error::driver("load compiled kernels"))?;
        Ok(Module { handle, functions: Mutex::default() })
    }

    /// Launches a kernel on dfdx's stream, after all work queued before. The memory in the
    /// arguments must be as large as the kernel assumes; it may be freed right after the call,
    /// because freeing is stream-ordered, too.
    ///
    /// # Errors
    /// If the kernel does not exist, or for any previous error on the device.
    pub(super) fn launch(
        &self,
        module: &Module,
        name: &str,
        launch: Launch,
        arguments: &[Argument],
    ) -> Result<(), Error> {
        self.launch_with(module, name, launch, None, arguments)
    }

    /// The same for a kernel whose first argument may be a structure, passed by value.
    #[allow(unsafe_code, reason = "kernels take addresses")]
    pub(super) fn launch_with(
        &self,
        module: &Module,
        name: &str,
        launch: Launch,
        structure: Option<&mut [u8]>,
        arguments: &[Argument],
    ) -> Result<(), Error> {
        let Launch { blocks: [x, y], threads, shared } = launch;
        if x == 0 || y == 0 {
            return Ok(());
        }
        self.bind()?;
        let function = module.function(name, shared)?;
        let mut words: Vec<u64> = arguments.iter().map(|argument| argument.word()).collect();
        let numbers = words.iter_mut().map(|word| std::ptr::from_mut(word).cast());
        let structure = structure.map(|bytes| bytes.as_mut_ptr().cast());
        let mut places: Vec<*mut c_void> = structure.into_iter().chain(numbers).collect();
        // SAFETY: all kernels are this crate's own. Each caller passes the arguments of the kernel
        // in its order, and arrays whose size matches the numbers among them; tests run all kernels
        // on an emulation where any out-of-bounds access ends the program. The driver copies the
        // arguments before it returns.
        unsafe {
            result::launch_kernel(
                function.handle,
                (x, y, 1),
                (threads, 1, 1),
                shared,
                self.stream(),
                &mut places,
            )
        }
        .map_err(Error::driver(format!("start the kernel {name} in {x} x {y} blocks")))
    }
}
