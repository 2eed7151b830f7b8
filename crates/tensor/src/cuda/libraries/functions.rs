//! The functions of CUDA's libraries that this program calls, most of them through cudarc and dfdx.
//!
//! cudarc declares them; they are defined here. Each passes its arguments on to the function of the
//! same name in the library that was loaded, and answers with a code that cudarc knows.

#![allow(unsafe_code, reason = "functions of other languages")]
#![allow(clippy::wildcard_imports, reason = "most types of three libraries")]

use std::ffi::{c_char, c_int, c_uchar, c_uint, c_ulonglong, c_void};
use std::mem::transmute;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::{Functions, codes};

/// Defines functions and the list of them. They answer `absent` if their library is not loaded;
/// other answers go through `known`. With `unless done`, a call succeeds without being passed on while
/// `done()` holds.
macro_rules! functions {
    ($status:ty, $absent:expr, $known:path;
     $($name:ident($($argument:ident: $type:ty),* $(,)?) $(unless $done:path)?;)*) => {
        pub(in super::super) const ALL: Functions =
            &[$((stringify!($name), &addresses::$name)),*];

        #[allow(non_upper_case_globals, reason = "named as the functions")]
        mod addresses {
            use super::*;

            $(pub(super) static $name: AtomicPtr<c_void> = AtomicPtr::new(null_mut());)*
        }

        $(
            /// Passes the call on. The result is as wide as cudarc's enumeration.
            ///
            /// # Safety
            /// That of the library's function.
            #[unsafe(no_mangle)]
            unsafe extern "C" fn $name($($argument: $type),*) -> c_uint {
                $(if $done() {
                    return 0;
                })?
                let address = addresses::$name.load(Ordering::Acquire);
                if address.is_null() {
                    return $absent as c_uint;
                }
                // SAFETY: the library has a function of this name, which is declared like this.
                let function = unsafe {
                    transmute::<*mut c_void, unsafe extern "C" fn($($type),*) -> c_uint>(address)
                };
                // SAFETY: that of the caller.
                $known(unsafe { function($($argument),*) })
            }

            // cudarc declares it with the same arguments.
            const _: unsafe extern "C" fn($($type),*) -> $status = sys::$name;
        )*
    };
}

pub(super) mod driver {
    use cudarc::driver::sys::{self, *};

    use super::*;

    functions! {
        CUresult, CUresult::CUDA_ERROR_NOT_INITIALIZED, codes::driver;
        cuInit(flags: c_uint);
        cuGetErrorString(error: CUresult, p_str: *mut *const c_char);
        cuDeviceGet(device: *mut CUdevice, ordinal: c_int);
        cuDeviceGetCount(count: *mut c_int);
        cuDeviceGetAttribute(pi: *mut c_int, attrib: CUdevice_attribute, dev: CUdevice);
        cuDeviceGetDefaultMemPool(pool_out: *mut CUmemoryPool, dev: CUdevice);
        cuDeviceSetMemPool(dev: CUdevice, pool: CUmemoryPool);
        cuDevicePrimaryCtxRetain(pctx: *mut CUcontext, dev: CUdevice);
        cuDevicePrimaryCtxRelease_v2(dev: CUdevice);
        cuCtxSetCurrent(ctx: CUcontext);
        cuCtxSynchronize();
        cuMemAlloc_v2(dptr: *mut CUdeviceptr, bytesize: usize);
        cuMemAllocAsync(dptr: *mut CUdeviceptr, bytesize: usize, h_stream: CUstream);
        cuMemFree_v2(dptr: CUdeviceptr);
        cuMemFreeAsync(dptr: CUdeviceptr, h_stream: CUstream);
        cuMemHostAlloc(pp: *mut *mut c_void, bytesize: usize, flags: c_uint);
        cuMemFreeHost(p: *mut c_void);
        cuMemcpyDtoD_v2(dst_device: CUdeviceptr, src_device: CUdeviceptr, byte_count: usize);
        cuMemcpyDtoDAsync_v2(
            dst_device: CUdeviceptr, src_device: CUdeviceptr, byte_count: usize, h_stream: CUstream
        );
        cuMemcpyDtoH_v2(dst_host: *mut c_void, src_device: CUdeviceptr, byte_count: usize);
        cuMemcpyDtoHAsync_v2(
            dst_host: *mut c_void, src_device: CUdeviceptr, byte_count: usize, h_stream: CUstream
        );
        cuMemcpyHtoD_v2(dst_device: CUdeviceptr, src_host: *const c_void, byte_count: usize);
        cuMemcpyHtoDAsync_v2(
            dst_device: CUdeviceptr, src_host: *const c_void, byte_count: usize, h_stream: CUstream
        );
        cuMemsetD8_v2(dst_device: CUdeviceptr, uc: c_uchar, n: usize);
        cuMemsetD8Async(dst_device: CUdeviceptr, uc: c_uchar, n: usize, h_stream: CUstream)
            unless super::super::fills_are_left_out;
        cuMemsetD32Async(dst_device: CUdeviceptr, ui: c_uint, n: usize, h_stream: CUstream);
        cuMemPoolCreate(pool: *mut CUmemoryPool, pool_props: *const CUmemPoolProps);
        cuMemPoolDestroy(pool: CUmemoryPool);
        cuMemPoolGetAttribute(pool: CUmemoryPool, attr: CUmemPool_attribute, value: *mut c_void);
        cuMemPoolSetAttribute(pool: CUmemoryPool, attr: CUmemPool_attribute, value: *mut c_void);
        cuStreamCreate(ph_stream: *mut CUstream, flags: c_uint);
        cuStreamDestroy_v2(h_stream: CUstream);
        cuStreamSynchronize(h_stream: CUstream);
        cuStreamWaitEvent(h_stream: CUstream, h_event: CUevent, flags: c_uint);
        cuStreamBeginCapture_v2(h_stream: CUstream, mode: CUstreamCaptureMode);
        cuStreamEndCapture(h_stream: CUstream, ph_graph: *mut CUgraph);
        cuGraphInstantiateWithFlags(
            ph_graph_exec: *mut CUgraphExec, h_graph: CUgraph, flags: c_ulonglong
        );
        cuGraphLaunch(h_graph_exec: CUgraphExec, h_stream: CUstream);
        cuGraphDestroy(h_graph: CUgraph);
        cuGraphExecDestroy(h_graph_exec: CUgraphExec);
        cuEventCreate(ph_event: *mut CUevent, flags: c_uint);
        cuEventDestroy_v2(h_event: CUevent);
        cuEventRecord(h_event: CUevent, h_stream: CUstream);
        cuEventSynchronize(h_event: CUevent);
        cuModuleLoad(module: *mut CUmodule, fname: *const c_char);
        cuModuleLoadData(module: *mut CUmodule, image: *const c_void);
        cuModuleGetFunction(hfunc: *mut CUfunction, hmod: CUmodule, name: *const c_char);
        cuModuleUnload(hmod: CUmodule);
        cuFuncSetAttribute(hfunc: CUfunction, attrib: CUfunction_attribute, value: c_int);
        cuLaunchKernel(
            f: CUfunction, grid_dim_x: c_uint, grid_dim_y: c_uint, grid_dim_z: c_uint,
            block_dim_x: c_uint, block_dim_y: c_uint, block_dim_z: c_uint, shared_mem_bytes: c_uint,
            h_stream: CUstream, kernel_params: *mut *mut c_void, extra: *mut *mut c_void
        );
    }
}

pub(super) mod cublas {
    use cudarc::cublas::sys::{self, *};

    use super::*;

    functions! {
        cublasStatus_t, cublasStatus_t::CUBLAS_STATUS_NOT_INITIALIZED, codes::cublas;
        cublasCreate_v2(handle: *mut cublasHandle_t);
        cublasDestroy_v2(handle: cublasHandle_t);
        cublasSetStream_v2(handle: cublasHandle_t, stream_id: cudaStream_t);
        cublasSetWorkspace_v2(
            handle: cublasHandle_t, workspace: *mut c_void, workspace_size_in_bytes: usize
        );
        cublasGemmEx(
            handle: cublasHandle_t, transa: cublasOperation_t, transb: cublasOperation_t, m: c_int,
            n: c_int, k: c_int, alpha: *const c_void, a: *const c_void, atype: cudaDataType,
            lda: c_int, b: *const c_void, btype: cudaDataType, ldb: c_int, beta: *const c_void,
            c: *mut c_void, ctype: cudaDataType, ldc: c_int, compute_type: cublasComputeType_t,
            algo: cublasGemmAlgo_t
        );
    }
}

pub(super) mod nvrtc {
    use cudarc::nvrtc::sys::{self, *};

    use super::*;

    functions! {
        nvrtcResult, nvrtcResult::NVRTC_ERROR_INTERNAL_ERROR, codes::nvrtc;
        nvrtcCreateProgram(
            prog: *mut nvrtcProgram, src: *const c_char, name: *const c_char, num_headers: c_int,
            headers: *const *const c_char, include_names: *const *const c_char
        );
        nvrtcDestroyProgram(prog: *mut nvrtcProgram);
        nvrtcCompileProgram(prog: nvrtcProgram, num_options: c_int, options: *const *const c_char);
        nvrtcGetProgramLog(prog: nvrtcProgram, log: *mut c_char);
        nvrtcGetProgramLogSize(prog: nvrtcProgram, log_size_ret: *mut usize);
        nvrtcGetCUBIN(prog: nvrtcProgram, cubin: *mut c_char);
        nvrtcGetCUBINSize(prog: nvrtcProgram, cubin_size_ret: *mut usize);
    }
}

/// Functions that only dfdx's own operations call. A model's code refers to them, because it is
/// written for all devices, but on a GPU [`Pass::dfdx`](crate::Pass::dfdx) refuses before.
mod of_dfdx {
    use super::c_uint;

    macro_rules! refused {
        ($($name:ident)*) => {
            $(
                #[unsafe(no_mangle)]
                extern "C" fn $name() -> c_uint {
                    NOT_SUPPORTED
                }
            )*
        };
    }

    /// In every library an error.
    const NOT_SUPPORTED: c_uint = 7;

    refused! {
        cublasSgemm_v2 cublasDgemm_v2 cublasSgemv_v2 cublasDgemv_v2
        cublasSgemmStridedBatched cublasDgemmStridedBatched
        nvrtcGetPTX nvrtcGetPTXSize
    }
}
