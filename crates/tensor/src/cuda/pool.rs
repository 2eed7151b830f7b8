//! The driver's memory pools, the source of all memory on a GPU.

#![allow(unsafe_code, reason = "calls of the driver that cudarc does not wrap")]

use std::ffi::c_void;

use cudarc::driver::CudaDevice;
use cudarc::driver::sys::{self, CUmemPool_attribute_enum as Attribute};

use super::error::Error;

/// A pool of one GPU. The default one lives as long as the process.
pub(super) struct Pool(sys::CUmemoryPool);

// SAFETY: a pool is a handle that any thread may use.
unsafe impl Send for Pool {}
// SAFETY: as above.
unsafe impl Sync for Pool {}

impl Pool {
    /// The default pool of a GPU, configured to keep freed memory: every step allocates the same
    /// again.
    pub(super) fn of(device: &CudaDevice) -> Result<Self, Error> {
        let mut pool = std::ptr::null_mut();
        // SAFETY: it fills in the handle before it returns.
        unsafe { sys::cuDeviceGetDefaultMemPool(&raw mut pool, *device.cu_device()) }
            .result()
            .map_err(Error::driver("find the memory pool"))?;
        Self::that_keeps(pool)
    }

    /// A separate pool on the same GPU.
    pub(super) fn new(device: &CudaDevice) -> Result<Self, Error> {
        let mut pool = std::ptr::null_mut();
        // SAFETY: zeros are the defaults.
        let mut wish: sys::CUmemPoolProps = unsafe { std::mem::zeroed() };
        wish.allocType = sys::CUmemAllocationType_enum::CU_MEM_ALLOCATION_TYPE_PINNED;
        wish.location = sys::CUmemLocation {
            type_: sys::CUmemLocationType_enum::CU_MEM_LOCATION_TYPE_DEVICE,
            id: *device.cu_device(),
        };
        // SAFETY: it reads the properties and fills in the handle before it returns.
        unsafe { sys::cuMemPoolCreate(&raw mut pool, &raw const wish) }
            .result()
            .map_err(Error::driver("create a memory pool"))?;
        Self::that_keeps(pool)
    }

    fn that_keeps(pool: sys::CUmemoryPool) -> Result<Self, Error> {
        let pool = Self(pool);
        pool.set(Attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, u64::MAX)?;
        Ok(pool)
    }

    /// Makes this pool the source of memory on the GPU from now on.
    pub(super) fn use_on(&self, device: &CudaDevice) -> Result<(), Error> {
        // SAFETY: both exist.
        unsafe { sys::cuDeviceSetMemPool(*device.cu_device(), self.0) }
            .result()
            .map_err(Error::driver("choose a memory pool"))
    }

    /// Destroys the pool; memory from it that is still in use stays until it is freed.
    pub(super) fn destroy(self) {
        // SAFETY: nobody else has the handle.
        let _ = unsafe { sys::cuMemPoolDestroy(self.0) };
    }

    /// Peak memory in use since the last call, in bytes.
    pub(super) fn take_peak_bytes(&self) -> Result<u64, Error> {
        let mut peak = 0_u64;
        // SAFETY: it fills in the 64 bits of this attribute before it returns.
        unsafe {
            sys::cuMemPoolGetAttribute(
                self.0,
                Attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH,
                (&raw mut peak).cast::<c_void>(),
            )
        }
        .result()
        .map_err(Error::driver("query the memory use"))?;
        // Restarts from the current use; only 0 is allowed.
        self.set(Attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH, 0)?;
        Ok(peak)
    }

    fn set(&self, attribute: Attribute, mut value: u64) -> Result<(), Error> {
        // SAFETY: both attributes that are set here are 64 bits, which it reads before it returns.
        unsafe { sys::cuMemPoolSetAttribute(self.0, attribute, (&raw mut value).cast::<c_void>()) }
            .result()
            .map_err(Error::driver("configure the memory pool"))
    }
}
