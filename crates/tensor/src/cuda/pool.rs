//! The driver's pools, from which all memory on a GPU comes.

#![allow(unsafe_code, reason = "calls of the driver that cudarc does not wrap")]

use std::ffi::c_void;

use cudarc::driver::CudaDevice;
use cudarc::driver::sys::{self, CUmemPool_attribute_enum as Attribute};

use super::error::Error;

/// A pool of one GPU. The default one lives as long as the process.
pub(super) struct Pool(sys::CUmemoryPool);

// SAFETY: a pool is a handle that CUDA lets every thread use.
unsafe impl Send for Pool {}
// SAFETY: as above.
unsafe impl Sync for Pool {}

impl Pool {
    /// The pool of a GPU, which from now on keeps memory that was freed: every step asks for the same
    /// again.
    pub(super) fn of(device: &CudaDevice) -> Result<Self, Error> {
        let mut pool = std::ptr::null_mut();
        // SAFETY: it fills in the handle before it returns.
        unsafe { sys::cuDeviceGetDefaultMemPool(&raw mut pool, *device.cu_device()) }
            .result()
            .map_err(Error::driver("find the pool of memory"))?;
        Self::that_keeps(pool)
    }

    /// A pool of its own on the same GPU.
    pub(super) fn new(device: &CudaDevice) -> Result<Self, Error> {
        let mut pool = std::ptr::null_mut();
        // SAFETY: zeros are what is not asked for.
        let mut wish: sys::CUmemPoolProps = unsafe { std::mem::zeroed() };
        wish.allocType = sys::CUmemAllocationType_enum::CU_MEM_ALLOCATION_TYPE_PINNED;
        wish.location = sys::CUmemLocation {
            type_: sys::CUmemLocationType_enum::CU_MEM_LOCATION_TYPE_DEVICE,
            id: *device.cu_device(),
        };
        // SAFETY: it reads the wish and fills in the handle before it returns.
        unsafe { sys::cuMemPoolCreate(&raw mut pool, &raw const wish) }
            .result()
            .map_err(Error::driver("make a pool of memory"))?;
        Self::that_keeps(pool)
    }

    fn that_keeps(pool: sys::CUmemoryPool) -> Result<Self, Error> {
        let pool = Self(pool);
        pool.set(Attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, u64::MAX)?;
        Ok(pool)
    }

    /// From now on memory of the GPU comes from this pool.
    pub(super) fn use_on(&self, device: &CudaDevice) -> Result<(), Error> {
        // SAFETY: both exist.
        unsafe { sys::cuDeviceSetMemPool(*device.cu_device(), self.0) }
            .result()
            .map_err(Error::driver("choose a pool of memory"))
    }

    /// Gives the pool back; memory from it that is still in use stays until it is freed.
    pub(super) fn destroy(self) {
        // SAFETY: nobody else has the handle.
        let _ = unsafe { sys::cuMemPoolDestroy(self.0) };
    }

    /// Largest memory in use at once since the last call, in bytes.
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
        .map_err(Error::driver("say how much memory was in use"))?;
        // Counting begins anew with what is in use now; no other number is allowed.
        self.set(Attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH, 0)?;
        Ok(peak)
    }

    fn set(&self, attribute: Attribute, mut value: u64) -> Result<(), Error> {
        // SAFETY: both attributes that are set here are 64 bits, which it reads before it returns.
        unsafe { sys::cuMemPoolSetAttribute(self.0, attribute, (&raw mut value).cast::<c_void>()) }
            .result()
            .map_err(Error::driver("set up the pool of memory"))
    }
}
