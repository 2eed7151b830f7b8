//! Locates a dfdx tensor on the GPU: the only place that reads its address.
//!
//! dfdx 0.13 gives access to the memory of gradients but not to that of tensors. The address is
//! part of the `Debug` output, which is produced here only up to that number (well below a
//! microsecond). [`check`] tests this, and the other facts that kernels rely on, when a device is
//! opened.

use std::fmt::{self, Write};

use cudarc::driver::{DevicePtr, result, sys::CUdeviceptr};
use dfdx::prelude::*;

use super::error::Error;
use super::{Buffer, Dense};

/// The address of a tensor's first element. It stays valid while the tensor or a clone of it lives.
pub(super) fn of_tensor<S: Shape>(tensor: &Tensor<S, f32, Cuda>) -> CUdeviceptr {
    number_after("cu_device_ptr", tensor)
        .expect("that tensors show their address is checked when a device is opened")
}

/// The address of a buffer's first element.
pub(super) fn of_buffer(buffer: &Buffer) -> CUdeviceptr {
    *buffer.device_ptr()
}

/// The index of the GPU of `cuda`.
pub(super) fn ordinal(cuda: &Cuda) -> Option<usize> {
    usize::try_from(number_after("cu_device", cuda)?).ok()
}

/// Whether the elements of a matrix are contiguous in row-major order.
pub(super) fn is_contiguous(tensor: &Dense) -> bool {
    let &(n_row, n_column) = tensor.shape();
    if n_row * n_column == 0 {
        return true;
    }
    let mut strides = Strides::default();
    // An error only means that both numbers were found.
    let _ = write!(strides, "{tensor:?}");
    let [row, column] = strides.values;
    (n_column <= 1 || column == Some(1)) && (n_row <= 1 || row == Some(n_column))
}

/// The first number in the `Debug` output after a field of this name.
fn number_after(field: &'static str, shown: &impl fmt::Debug) -> Option<u64> {
    let mut reader = Number { field, at_field: false, value: None };
    // An error only means that the number was found, and that the rest need not be printed.
    let _ = write!(reader, "{shown:?}");
    reader.value
}

struct Number {
    field: &'static str,
    at_field: bool,
    value: Option<u64>,
}

impl Write for Number {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if !self.at_field {
            self.at_field = text == self.field;
            return Ok(());
        }
        match text.parse() {
            Ok(value) => {
                self.value = Some(value);
                Err(fmt::Error)
            }
            Err(_) => Ok(()),
        }
    }
}

/// Reads `strides: [row, column]`, the only field of that name.
#[derive(Default)]
struct Strides {
    at_field: bool,
    values: [Option<usize>; 2],
}

impl Write for Strides {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if !self.at_field {
            self.at_field = text == "strides";
            return Ok(());
        }
        if let (Some(place), Ok(value)) =
            (self.values.iter_mut().find(|value| value.is_none()), text.parse())
        {
            *place = Some(value);
        }
        if self.values.contains(&None) { Ok(()) } else { Err(fmt::Error) }
    }
}

/// Checks this crate's assumptions about dfdx on this GPU.
///
/// # Errors
/// The assumption that does not hold.
pub(super) fn check(cuda: &Cuda) -> Result<(), Error> {
    let engine = |error: CudaError| Error::Engine(error.to_string());
    let values: Vec<f32> = (0..15_u8).map(f32::from).collect();
    let x = cuda.try_tensor_from_vec(values.clone(), (3, 5)).map_err(engine)?;
    let address = number_after("cu_device_ptr", &x).ok_or(Error::Layout("no address is shown"))?;
    require(read(cuda, address, 15)? == values, "the address shown is not that of the values")?;
    let shared = x.clone();
    require(of_tensor(&shared) == address, "a clone has memory of its own")?;
    require(is_contiguous(&x), "a new matrix does not pass for a contiguous one")?;
    let turned = x.clone().permute::<(usize, usize), _>();
    require(!is_contiguous(&turned), "a transposed matrix passes for a contiguous one")?;

    let mut gradients = Gradients::<f32, Cuda>::leaky();
    let buffer = gradients.get_or_alloc_mut(&x).map_err(engine)?;
    let gradient = of_buffer(buffer);
    require(read(cuda, gradient, 15)? == [0.0; 15], "a new gradient is not an array of zeros")?;
    let again = gradients.get_or_alloc_mut(&shared).map_err(engine)?;
    require(of_buffer(again) == gradient, "a clone has a gradient of its own")
}

#[allow(unsafe_code, reason = "copies from an address")]
fn read(cuda: &Cuda, address: CUdeviceptr, n: usize) -> Result<Vec<f32>, Error> {
    cuda.try_synchronize().map_err(|error| Error::Engine(error.to_string()))?;
    let mut values = vec![f32::NAN; n];
    // SAFETY: the driver rejects addresses that are not device memory; whatever is there is plain
    // numbers. It copies before it returns.
    unsafe { result::memcpy_dtoh_sync(&mut values, address) }
        .map_err(Error::driver("copy from the address of a tensor"))?;
    Ok(values)
}

fn require(holds: bool, otherwise: &'static str) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(Error::Layout(otherwise)) }
}
