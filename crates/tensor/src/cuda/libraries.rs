//! CUDA's libraries, loaded when a GPU is first opened: a program built with CUDA also starts where
//! there are none.
//!
//! cudarc and dfdx call them by names that the linker resolves to [`functions`], which pass each
//! call on.

mod codes;
mod functions;

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

use libloading::Library;

use super::error::Error;
pub(super) use codes::{blas_status, driver_code};

/// If set, the only folders searched for the libraries, separated by colons.
const FOLDERS: &str = "BATCHLAB_CUDA_LIBRARIES";

/// The functions of a library, with their addresses once it is loaded.
type Functions = &'static [(&'static str, &'static AtomicPtr<c_void>)];

struct Wanted {
    name: &'static str,
    /// Without the number at its end.
    file: &'static str,
    functions: Functions,
    remedy: &'static str,
}

const DRIVER: Wanted = Wanted {
    name: "NVIDIA's driver",
    file: "libcuda.so",
    functions: functions::driver::ALL,
    remedy: "install the driver, or use device = \"cpu\"",
};
const BLAS: Wanted = Wanted {
    name: "cuBLAS",
    file: "libcublas.so",
    functions: functions::cublas::ALL,
    remedy: PACKAGES,
};
const COMPILER: Wanted = Wanted {
    name: "NVRTC",
    file: "libnvrtc.so",
    functions: functions::nvrtc::ALL,
    remedy: PACKAGES,
};
const PACKAGES: &str = "`pip install nvidia-cublas nvidia-cuda-nvrtc` brings cuBLAS and NVRTC into a \
                        virtual environment of Python";

/// Loads the libraries; does nothing if they are loaded.
///
/// # Errors
/// If one is missing, lacks a function or is newer than the driver: which, where it was looked for, and
/// where it comes from.
pub(crate) fn load() -> Result<(), Error> {
    static LOADED: OnceLock<Result<(), String>> = OnceLock::new();
    LOADED.get_or_init(load_all).clone().map_err(Error::Libraries)
}

fn load_all() -> Result<(), String> {
    let (driver, _) = DRIVER.load(&[1])?;
    let supported = version_of(&driver);
    DRIVER_LIBRARY.get_or_init(|| driver);
    // Newer ones than the driver supports only if there are no others, to name them in the error.
    let (fitting, newer): (Vec<_>, Vec<_>) =
        NEWEST_FIRST.into_iter().partition(|&major| supported.is_none_or(|driver| major <= driver));
    let versions = [fitting, newer].concat();
    for wanted in [BLAS, COMPILER] {
        let (library, major) = wanted.load(&versions)?;
        std::mem::forget(library);
        if let Some(driver) = supported.filter(|&driver| driver < major) {
            return Err(older_driver(driver, wanted.name, major));
        }
    }
    Ok(())
}

/// Major versions of CUDA whose cuBLAS and NVRTC are looked for.
const NEWEST_FIRST: [i32; 2] = [13, 12];

/// Libraries that are newer than the driver would fail later, with codes that do not say so.
fn older_driver(driver: i32, name: &str, major: i32) -> String {
    let or_older = if NEWEST_FIRST.contains(&driver) {
        format!(", or install cuBLAS and NVRTC of CUDA {driver}, which are then preferred")
    } else {
        String::new()
    };
    format!(
        "this machine's driver supports CUDA {driver}, but {name} was found for CUDA {major} only; update \
         the driver (nvidia-smi shows its version){or_older}"
    )
}

static DRIVER_LIBRARY: OnceLock<Library> = OnceLock::new();

thread_local! {
    static FILLS_ARE_LEFT_OUT: Cell<bool> = const { Cell::new(false) };
}

fn fills_are_left_out() -> bool {
    FILLS_ARE_LEFT_OUT.get()
}

/// Keeps dfdx from filling the memory that it allocates with zeros: the driver's fill functions do
/// nothing while `allocate` runs.
pub(super) fn without_fills<R>(allocate: impl FnOnce() -> R) -> R {
    struct Before(bool);

    impl Drop for Before {
        fn drop(&mut self) {
            FILLS_ARE_LEFT_OUT.set(self.0);
        }
    }

    let _before = Before(FILLS_ARE_LEFT_OUT.replace(true));
    allocate()
}

/// A function of the driver that is not among those of [`functions`], if it is loaded and has it.
///
/// # Safety
/// `F` is the type of the function's address.
#[allow(unsafe_code, reason = "looks up an address")]
pub(crate) unsafe fn driver_function<F: Copy>(name: &CStr) -> Option<F> {
    // SAFETY: as above; the library is never unloaded.
    unsafe { DRIVER_LIBRARY.get()?.get::<F>(name.to_bytes_with_nul()) }.ok().map(|found| *found)
}

/// The driver's own name of an error.
#[allow(unsafe_code, reason = "calls of the driver")]
pub(super) fn name_of_error(code: u32) -> Option<String> {
    type GetName = unsafe extern "C" fn(c_uint, *mut *const c_char) -> c_uint;
    // SAFETY: the type is that of the driver's documentation; the name is text that stays, or null.
    unsafe {
        let mut name = std::ptr::null();
        let found = driver_function::<GetName>(c"cuGetErrorName")?(code, &raw mut name);
        let is_there = found == 0 && !name.is_null();
        is_there.then(|| CStr::from_ptr(name).to_string_lossy().into_owned())
    }
}

/// The major version of CUDA that the driver supports.
#[allow(unsafe_code, reason = "calls of the driver")]
fn version_of(driver: &Library) -> Option<i32> {
    type GetVersion = unsafe extern "C" fn(*mut c_int) -> c_uint;
    let mut version = 0;
    // SAFETY: the type is that of the driver's documentation; it fills in one number.
    let answer = unsafe {
        driver.get::<GetVersion>(b"cuDriverGetVersion\0").ok().map(|get| get(&raw mut version))
    };
    (answer == Some(0)).then_some(version / 1000)
}

impl Wanted {
    /// The first one found, trying these versions in order, and its version.
    fn load(&self, versions: &[i32]) -> Result<(Library, i32), String> {
        let mut faults = String::new();
        for &version in versions {
            let file = format!("{}.{version}", self.file);
            for place in self.places() {
                match open(&place, &file) {
                    Ok(library) => {
                        self.find_functions(&library, &file)?;
                        return Ok((library, version));
                    }
                    Err(Some(fault)) => {
                        // Writing to a string does not fail.
                        let _ = write!(faults, " ({fault})");
                    }
                    Err(None) => {}
                }
            }
        }
        let files: Vec<_> = versions.iter().map(|n| format!("{}.{n}", self.file)).collect();
        Err(format!(
            "{} was not found: there is no {} that can be loaded in {}{faults}; {}",
            self.name,
            files.join(" or "),
            self.searched(),
            self.remedy
        ))
    }

    #[allow(unsafe_code, reason = "looks up addresses")]
    fn find_functions(&self, library: &Library, file: &str) -> Result<(), String> {
        let find = |name: &str| {
            // SAFETY: only its address is used, by code that knows its type.
            let found = unsafe { library.get::<*mut c_void>(name.as_bytes()) };
            found.map(|found| *found).map_err(|_| {
                format!("{file} has no function {name}: it is too old or too new for this program")
            })
        };
        // All or none: a library that lacks one is closed.
        let found = self.functions.iter().map(|(name, _)| find(name));
        let found = found.collect::<Result<Vec<_>, _>>()?;
        for ((_, address), found) in self.functions.iter().zip(found) {
            address.store(found, Ordering::Release);
        }
        Ok(())
    }

    /// Folders to look in; an empty one stands for those of the system's loader.
    fn places(&self) -> Vec<PathBuf> {
        if let Some(folders) = chosen() {
            return std::env::split_paths(&folders).collect();
        }
        let mut places = vec![PathBuf::new()];
        if self.file != DRIVER.file {
            places.push(TOOLKIT.into());
            places.extend(python_packages());
        }
        places
    }

    fn searched(&self) -> String {
        if let Some(folders) = chosen() {
            return format!("{FOLDERS}={}", folders.display());
        }
        let system = "the folders of the system's loader (LD_LIBRARY_PATH adds some)";
        if self.file == DRIVER.file {
            return system.to_owned();
        }
        let environment = std::env::var_os("VIRTUAL_ENV")
            .map_or("which is not set".into(), |folder| folder.display().to_string());
        format!("{system}, {TOOLKIT}, or the Python environment VIRTUAL_ENV ({environment})")
    }
}

/// Where a toolkit is usually installed.
const TOOLKIT: &str = "/usr/local/cuda/lib64";

fn chosen() -> Option<std::ffi::OsString> {
    let chosen = std::env::var_os(FOLDERS).filter(|folders| !folders.is_empty());
    #[cfg(feature = "cuda-check")]
    let chosen = chosen.or_else(|| Some(env!("EMULATED_CUDA").into()));
    chosen
}

/// Where NVIDIA's packages keep libraries, in the Python environment that is active.
fn python_packages() -> Vec<PathBuf> {
    let folders = |folder: PathBuf| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path())
    };
    let Some(environment) = std::env::var_os("VIRTUAL_ENV") else { return Vec::new() };
    let versions = folders(PathBuf::from(environment).join("lib"));
    let packages = versions.flat_map(|python| folders(python.join("site-packages/nvidia")));
    let mut libraries: Vec<_> = packages.map(|package| package.join("lib")).collect();
    libraries.sort();
    libraries
}

/// Loads `file` from a folder. If it exists but cannot be loaded, the error gives the reason.
#[allow(unsafe_code, reason = "a library may do anything when it is loaded")]
fn open(folder: &std::path::Path, file: &str) -> Result<Library, Option<String>> {
    let path = folder.join(file);
    let by_the_system = folder.as_os_str().is_empty();
    if !by_the_system && !path.exists() {
        return Err(None);
    }
    // SAFETY: NVIDIA's libraries, or those that stand in for them, expect to be loaded like this.
    unsafe { Library::new(&path) }.map_err(|error| {
        // The error itself only says that loading failed.
        let reason = std::error::Error::source(&error);
        let fault = reason.map_or_else(|| error.to_string(), ToString::to_string);
        // In the loader's message, the missing file comes first.
        let is_missing = by_the_system && fault.starts_with(file);
        (!is_missing).then_some(fault)
    })
}
